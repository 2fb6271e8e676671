// Eight lanes of 64 bits in one 512-bit register: what random numbers need beyond `Vec`.
#pragma once
#include <cstdint>

#include "avx512.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Integers of 32 bits: products read the low halves of lanes; what is in the high halves is up to the caller.
struct Words {
    __m512i v;

    GAUSSMIX_INLINE static Words broadcast(std::uint64_t x) { return {_mm512_set1_epi64(static_cast<long long>(x))}; }
    GAUSSMIX_INLINE static Words load(const std::uint64_t* p) { return {_mm512_load_si512(p)}; }
};

GAUSSMIX_INLINE Words operator*(Words a, Words b) { return {_mm512_mul_epu32(a.v, b.v)}; }
GAUSSMIX_INLINE Words high_half(Words a) { return {_mm512_srli_epi64(a.v, 32)}; }
GAUSSMIX_INLINE Words exclusive_or(Words a, Words b, Words c) {
    return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)};
}

// 2^52 + the integer in those low bits of a lane that `mask` names.
GAUSSMIX_INLINE Vec above_2_to_52(Words a, std::uint64_t mask) {
    const __m512i exponent = _mm512_set1_epi64(0x4330000000000000);
    return {_mm512_castsi512_pd(_mm512_ternarylogic_epi64(a.v, Words::broadcast(mask).v, exponent, 0xEA))};
}

// Turns (cosine, sine) by as many quarters as the low bits of `quarters` say.
GAUSSMIX_INLINE void turn(Vec quarters, Vec& cosine, Vec& sine) {
    const __m512i q = _mm512_castpd_si512(quarters.v), one = _mm512_set1_epi64(1);
    const __mmask8 is_odd = _mm512_test_epi64_mask(q, one);
    const auto signed_by = [](__m512i bit_1, Vec a) {
        const __m512i shifted = _mm512_slli_epi64(bit_1, 62), sign = _mm512_castpd_si512(_mm512_set1_pd(-0.0));
        return Vec{_mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(a.v), shifted, sign, 0x78))};
    };
    const Vec c = select(is_odd, sine, cosine), s = select(is_odd, cosine, sine);
    cosine = signed_by(_mm512_add_epi64(q, one), c);
    sine = signed_by(q, s);
}

}  // namespace gaussmix::GAUSSMIX_ISA
