// Interface of a backend, i.e. of the code for one instruction set: the type `Part`, which is one register with
// kPartLanes lanes of double, and its operations. The page docs/develop/cpp.md shows how to add a backend.
//
// GAUSSMIX_BACKEND names the file of the backend:
//
//   kRegisters, kParts     registers of the processor; parts of a vector
//   GAUSSMIX_EACH_PART     before a loop over the parts: unrolls it, or not
//   Part                   {v}: zero, broadcast, load, load_unaligned, store, store_unaligned; and:
//       load_floats            kPartLanes floats, widened
//       load_head, load_floats_head, store_head    the first `count` lanes, any number: other lanes are zero, and
//                          their memory is not touched
//   + - * / fma sqrt       the first factor of fma may be a number
//   max, min               a if a > b, else b; a if a < b, else b: thus b if one is NaN, or if both are 0
//   held                   forces a value into a register, if the compiler would load it again or postpone it
//   PartMask               less, equal, keep, select, any, bits, |
//   lookup                 table[i mod 8], where the low bits of each lane of `index` hold the integer i
//   wide_product           product of the low 32 bits of lanes of 64 bits
//   add_lane_sums          sums[i] += the lanes of a[i], eight vectors, each folded to a part before: lanes j and
//                          j + kPartLanes/2 first, then j and j + kPartLanes/4, and so on
//   transpose              lane j of part i becomes lane i of part j
//   deinterleave           kPartLanes rows of 2, 3 or 4 numbers one after another become one part for each number
//
// The bits must equal the bits of the other backends: every operation rounds once, and sums are taken in the order
// above.
#pragma once
#include <cstdint>

#include "inline.hpp"

namespace gaussmix::GAUSSMIX_ISA {

using Bits = std::uint64_t;
constexpr double kLargest = __DBL_MAX__;
// A vector has the same number of lanes on every processor, because the distribution of rows among lanes affects the
// last bits of every sum.
constexpr int kLanes = 8;
constexpr int kSumsTogether = 8;      // number of vectors whose lanes are added up together
constexpr int kFeaturesTogether = 8;  // number of features that are transposed together

}  // namespace gaussmix::GAUSSMIX_ISA

#include GAUSSMIX_BACKEND

namespace gaussmix::GAUSSMIX_ISA {

// Hides from the compiler that the numbers at p are known, so that the compiler reads these numbers again instead of
// keeping more numbers than there are registers.
GAUSSMIX_INLINE const double* reread(const double* p) {
    asm volatile("" : "+r"(p));
    return p;
}

}  // namespace gaussmix::GAUSSMIX_ISA
