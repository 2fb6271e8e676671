// Interface of a backend, i.e. of the code for one instruction set: the type `Part`, which is one register with
// kPartLanes lanes of double, and its operations. The page docs/develop/cpp.md shows how to add a backend.
//
// The macro GAUSSMIX_BACKEND specifies the file of the backend, which defines the following names.
//
//   `kRegisters` is the number of registers of the processor; `kParts` is the number of registers that a vector fills.
//   `GAUSSMIX_EACH_PART` precedes a loop over the parts of a vector, and unrolls the loop or prevents unrolling.
//   `Part` has the member v and the functions zero, broadcast, load, load_unaligned, store and store_unaligned.
//   `load_floats` loads kPartLanes floats and converts each float to double.
//   `load_head`, `load_floats_head` and `store_head` access the memory of the first `count` lanes only, for any
//       `count`. The two load functions set all other lanes to zero.
//   `+`, `-`, `*`, `/`, `fma` and `sqrt` work lane by lane. The first factor of `fma` may also be a number (double).
//   `max` returns a if a > b, and otherwise b; `min` returns a if a < b, and otherwise b. Therefore, `max` and `min`
//       return b if one argument is NaN, or if both arguments are 0.
//   `in_register` forces a value into a register if the compiler would load the value again or postpone its
//       computation.
//   `PartMask` has the functions less, equal, keep, select, any and bits, and the operator |.
//   `lookup` returns table[i mod 8], where the low bits of each lane of `index` hold the integer i. The table has
//       8 numbers and is aligned to 64 bytes.
//   `wide_product` multiplies the low 32 bits of each 64-bit lane, and returns products of 64 bits.
//   `add_lane_sums` adds the sum of the lanes of a[i] to sums[i], for i = 0 to 7, where a[i] is the sum of the parts of
//       a vector. Lanes j and j + kPartLanes/2 are added first, then lanes j and j + kPartLanes/4, and so on.
//   `transpose` moves lane j of part i to lane i of part j.
//   `deinterleave` converts kPartLanes consecutive rows of 2, 3 or 4 values to one part for each column.
//
// Every backend must give bit-identical results: every operation rounds once, and sums are taken in the order described
// above.
#pragma once
#include <cstdint>

#include "inline.hpp"

namespace gaussmix::GAUSSMIX_ISA {

using Bits = std::uint64_t;
// replaces squared distances that are infinite or NaN, so that log densities are finite numbers
constexpr double kLargest = __DBL_MAX__;
// A vector has the same number of lanes on every processor, because the distribution of rows among lanes affects the
// last bits of every sum.
constexpr int kLanes = 8;
constexpr int kSumsTogether = 8;      // number of vectors whose lanes are added up together
constexpr int kFeaturesTogether = 8;  // number of features that are transposed together

}  // namespace gaussmix::GAUSSMIX_ISA

#include GAUSSMIX_BACKEND

namespace gaussmix::GAUSSMIX_ISA {

// Makes the compiler read the numbers at p from memory when they are used, because otherwise the compiler would try to
// keep more numbers in registers than there are registers.
GAUSSMIX_INLINE const double* reread(const double* p) {
    asm volatile("" : "+r"(p));
    return p;
}

}  // namespace gaussmix::GAUSSMIX_ISA
