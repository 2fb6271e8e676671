// Defines the type `Words`, vectors with one integer in each lane, which the random number generator uses.
#pragma once
#include "simd.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Integers of 32 bits in the low halves of lanes. Products read only the low halves, so the high halves may hold any
// bits.
struct PartWords {
    Integers v;

    GAUSSMIX_INLINE static PartWords broadcast(Bits x) { return {x - Integers{}}; }
    GAUSSMIX_INLINE static PartWords load(const Bits* p) {
        PartWords a;
        __builtin_memcpy(&a.v, __builtin_assume_aligned(p, sizeof a.v), sizeof a.v);
        return a;
    }
};
using Words = InParts<PartWords, kParts>::type;

GAUSSMIX_INLINE PartWords operator*(PartWords a, PartWords b) { return {wide_product(a.v, b.v)}; }
GAUSSMIX_INLINE PartWords operator^(PartWords a, PartWords b) { return {a.v ^ b.v}; }
GAUSSMIX_HALF_BY_HALF(operator^)
GAUSSMIX_INLINE PartWords high_half(PartWords a) { return {a.v >> 32}; }
template <class Half>
GAUSSMIX_INLINE HalfPair<Half> high_half(HalfPair<Half> a) {
    return {high_half(a.low), high_half(a.high)};
}

// Returns, for each lane, 2^52 plus the integer in the low bits that `mask` selects.
GAUSSMIX_INLINE Part above_2_to_52(PartWords a, Bits mask) {
    return of_integers((a.v & mask) | Bits{0x4330000000000000});
}
template <class Half>
GAUSSMIX_INLINE auto above_2_to_52(HalfPair<Half> a, Bits mask) {
    return join(above_2_to_52(a.low, mask), above_2_to_52(a.high, mask));
}

// Rotates the vector (cosine, sine) by the number of quarter turns that the low bits of `quarters` hold. The
// sign of the cosine changes for 1 and 2 quarter turns, and the sign of the sine changes for 2 and 3 quarter turns; a
// bit that is 1 in these cases is shifted to the sign bit.
GAUSSMIX_INLINE void rotate_quarters(Part quarters, Part& cosine, Part& sine) {
    const Integers q = integers(quarters), c = integers(cosine), s = integers(sine);
    const Integers exchanged = (c ^ s) & -(q & 1);  // exchanges cosine and sine if the number of quarter turns is odd
    cosine = of_integers((c ^ exchanged) ^ ((q + 1) >> 1 << 63));
    sine = of_integers((s ^ exchanged) ^ (q >> 1 << 63));
}
template <class Half>
GAUSSMIX_INLINE void rotate_quarters(HalfPair<Half> quarters, HalfPair<Half>& cosine, HalfPair<Half>& sine) {
    rotate_quarters(quarters.low, cosine.low, sine.low);
    rotate_quarters(quarters.high, cosine.high, sine.high);
}

}  // namespace gaussmix::GAUSSMIX_ISA
