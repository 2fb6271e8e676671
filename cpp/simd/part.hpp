// What a backend owes the vectors: `Part`, one register with kPartLanes lanes of double. docs/develop/cpp.md: how to add one.
//
// GAUSSMIX_BACKEND names the file of the backend:
//
//   kRegisters, kParts     registers of the processor; parts of a vector
//   GAUSSMIX_EACH_PART     before a loop over the parts: unroll it, or not
//   Part                   {v}: zero, broadcast, load, load_unaligned, store, store_unaligned; and:
//       load_floats            as many floats, widened
//       load_head, load_floats_head, store_head    the first `count` lanes, any number: others are zero, and their memory is
//                          not touched
//   + - * / fma sqrt       the first factor of fma may be a number
//   max, min               a if a > b, else b; a if a < b, else b: so b where one is NaN, or both are 0
//   held                   is in a register by now: where the compiler would load it again, or put it off
//   PartMask               less, equal, keep, select, any, bits, |
//   lookup                 table[i mod 8], where the low bits of each lane of `index` hold the integer i
//   wide_product           of the low 32 bits of lanes of 64 bits
//   add_lane_sums          sums[i] += the lanes of a[i], eight vectors, each folded to a part before: lanes j and
//                          j + kPartLanes/2 first, then j and j + kPartLanes/4, and so on
//   transpose              lane j of part i becomes lane i of part j
//   deinterleave           as many rows as there are lanes, of 2, 3 or 4 numbers one after another, become a part for each
//
// The bits must be those of the other backends: every operation rounds once, and sums go in the order above.
#pragma once
#include <cstdint>

#include "inline.hpp"

namespace gaussmix::GAUSSMIX_ISA {

using Bits = std::uint64_t;
constexpr double kLargest = __DBL_MAX__;
// A vector has as many lanes on every processor, because the lane of a row decides the bits of every sum.
constexpr int kLanes = 8;
constexpr int kSumsTogether = 8;      // vectors whose lanes are added up together
constexpr int kFeaturesTogether = 8;  // features that are transposed together

}  // namespace gaussmix::GAUSSMIX_ISA

#include GAUSSMIX_BACKEND

namespace gaussmix::GAUSSMIX_ISA {

// The numbers there become unknown to the compiler: it reads them again, rather than keep more than it has registers for.
GAUSSMIX_INLINE const double* reread(const double* p) {
    asm volatile("" : "+r"(p));
    return p;
}

}  // namespace gaussmix::GAUSSMIX_ISA
