// Eight lanes of 64 bits in two 256-bit registers: what random numbers need beyond `Vec`.
#pragma once
#include <cstdint>

#include "avx2.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Integers of 32 bits: products read the low halves of lanes; what is in the high halves is up to the caller.
struct Words {
    __m256i low, high;

    GAUSSMIX_INLINE static Words broadcast(std::uint64_t x) {
        const __m256i all = _mm256_set1_epi64x(static_cast<long long>(x));
        return {all, all};
    }
    GAUSSMIX_INLINE static Words load(const std::uint64_t* p) {
        return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p)),
                _mm256_load_si256(reinterpret_cast<const __m256i*>(p + 4))};
    }
};

GAUSSMIX_INLINE Words operator*(Words a, Words b) {
    return {_mm256_mul_epu32(a.low, b.low), _mm256_mul_epu32(a.high, b.high)};
}
GAUSSMIX_INLINE Words high_half(Words a) { return {_mm256_srli_epi64(a.low, 32), _mm256_srli_epi64(a.high, 32)}; }
GAUSSMIX_INLINE Words exclusive_or(Words a, Words b, Words c) {
    return {_mm256_xor_si256(_mm256_xor_si256(a.low, b.low), c.low),
            _mm256_xor_si256(_mm256_xor_si256(a.high, b.high), c.high)};
}

// 2^52 + the integer in those low bits of a lane that `mask` names.
GAUSSMIX_INLINE Part above_2_to_52(__m256i a, __m256i mask) {
    return {_mm256_castsi256_pd(_mm256_or_si256(_mm256_and_si256(a, mask), _mm256_set1_epi64x(0x4330000000000000)))};
}
GAUSSMIX_INLINE Vec above_2_to_52(Words a, std::uint64_t mask) {
    const __m256i bits = Words::broadcast(mask).low;
    return {above_2_to_52(a.low, bits), above_2_to_52(a.high, bits)};
}

// Turns (cosine, sine) by as many quarters as the low bits of `quarters` say.
GAUSSMIX_INLINE void turn(Part quarters, Part& cosine, Part& sine) {
    const __m256i q = _mm256_castpd_si256(quarters.v);
    const __m256d is_odd = _mm256_castsi256_pd(_mm256_slli_epi64(q, 63));  // a blend reads the sign alone
    const auto signed_by = [](__m256i bit_1, __m256d a) {
        const __m256d shifted = _mm256_castsi256_pd(_mm256_slli_epi64(bit_1, 62));
        return Part{_mm256_xor_pd(a, _mm256_and_pd(shifted, _mm256_set1_pd(-0.0)))};
    };
    const __m256d c = _mm256_blendv_pd(cosine.v, sine.v, is_odd), s = _mm256_blendv_pd(sine.v, cosine.v, is_odd);
    cosine = signed_by(_mm256_add_epi64(q, _mm256_set1_epi64x(1)), c);
    sine = signed_by(q, s);
}
GAUSSMIX_INLINE void turn(Vec quarters, Vec& cosine, Vec& sine) {
    turn(quarters.low, cosine.low, sine.low);
    turn(quarters.high, cosine.high, sine.high);
}

}  // namespace gaussmix::GAUSSMIX_ISA
