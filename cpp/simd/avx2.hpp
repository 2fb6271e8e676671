// Backend for the 256-bit registers of AVX2, with fused multiply-add (FMA).
#pragma once

#define GAUSSMIX_EACH_PART GAUSSMIX_UNROLL
#define GAUSSMIX_MM(name) _mm256_##name##_pd
#include "x86.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr int kRegisters = 16, kParts = 2, kPartLanes = kLanes / kParts;

// Forces the compiler to keep a vector in a register. Without this function, gcc loads the vector again in each
// instruction that uses the vector, and the loop waits for these loads (M-step with 64 features: 68 % of the peak
// performance, instead of 79 %).
GAUSSMIX_INLINE Part in_register(Part a) {
    asm("" : "+x"(a.v));
    return a;
}

struct PartMask {
    decltype(Part::v) v;
};
GAUSSMIX_INLINE PartMask less(Part a, Part b) { return {GAUSSMIX_MM(cmp)(a.v, b.v, _CMP_LT_OQ)}; }
GAUSSMIX_INLINE PartMask equal(Part a, Part b) { return {GAUSSMIX_MM(cmp)(a.v, b.v, _CMP_EQ_OQ)}; }
GAUSSMIX_INLINE Part keep(PartMask m, Part a) { return {GAUSSMIX_MM (and)(m.v, a.v)}; }
GAUSSMIX_INLINE Part select(PartMask m, Part yes, Part no) { return {GAUSSMIX_MM(blendv)(no.v, yes.v, m.v)}; }
GAUSSMIX_INLINE PartMask operator|(PartMask a, PartMask b) { return {GAUSSMIX_MM(or)(a.v, b.v)}; }
GAUSSMIX_INLINE unsigned bits(PartMask m) { return static_cast<unsigned>(GAUSSMIX_MM(movemask)(m.v)); }
GAUSSMIX_INLINE bool any(PartMask m) { return bits(m) != 0; }

GAUSSMIX_INLINE __m256i head_mask(int count) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
GAUSSMIX_INLINE Part Part::load_floats(const void* p) {
    return {_mm256_cvtps_pd(_mm_loadu_ps(static_cast<const float*>(p)))};
}
GAUSSMIX_INLINE Part Part::load_head(const void* p, int count) {
    return {_mm256_maskload_pd(static_cast<const double*>(p), head_mask(count))};
}
GAUSSMIX_INLINE Part Part::load_floats_head(const void* p, int count) {
    const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3));
    return {_mm256_cvtps_pd(_mm_maskload_ps(static_cast<const float*>(p), mask))};
}
GAUSSMIX_INLINE void Part::store_head(double* p, int count) const { _mm256_maskstore_pd(p, head_mask(count), v); }

// Looks up the index in both halves of the table, and chooses one of the two numbers by bit 2 of the index. A number is
// looked up as two words of 32 bits, because AVX2 has no permutation of 64-bit lanes by variable indices. A gather
// instruction would take three times as long on Zen 3.
GAUSSMIX_INLINE Part lookup(const double* table, Part index) {
    const __m256i low_words = _mm256_castps_si256(_mm256_moveldup_ps(_mm256_castpd_ps(index.v)));
    const __m256i words = _mm256_add_epi32(_mm256_slli_epi32(low_words, 1), _mm256_set1_epi64x(Bits{1} << 32));
    const auto in_half = [&](int first) {
        return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(_mm256_load_pd(table + first)), words));
    };
    const __m256d is_upper = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(index.v), 61));
    return {_mm256_blendv_pd(in_half(0), in_half(4), is_upper)};
}

template <class T>
GAUSSMIX_INLINE T wide_product(T a, T b) {
    return (T)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}

GAUSSMIX_INLINE void add_lane_sums(double* sums, const Part* a) {
    GAUSSMIX_UNROLL for (int first = 0; first < 8; first += 4) {
        __m256d quarter[2];
        GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
            const __m256d one = a[first + i].v, other = a[first + i + 2].v;
            quarter[i] =
                _mm256_add_pd(_mm256_permute2f128_pd(one, other, 0x20), _mm256_permute2f128_pd(one, other, 0x31));
        }
        const __m256d total =
            _mm256_add_pd(_mm256_unpacklo_pd(quarter[0], quarter[1]), _mm256_unpackhi_pd(quarter[0], quarter[1]));
        _mm256_store_pd(sums + first, _mm256_add_pd(_mm256_load_pd(sums + first), total));
    }
}

GAUSSMIX_INLINE void transpose(Part (&a)[4]) {
    const __m256d ab_even = _mm256_unpacklo_pd(a[0].v, a[1].v), ab_odd = _mm256_unpackhi_pd(a[0].v, a[1].v);
    const __m256d cd_even = _mm256_unpacklo_pd(a[2].v, a[3].v), cd_odd = _mm256_unpackhi_pd(a[2].v, a[3].v);
    a[0].v = _mm256_permute2f128_pd(ab_even, cd_even, 0x20);
    a[1].v = _mm256_permute2f128_pd(ab_odd, cd_odd, 0x20);
    a[2].v = _mm256_permute2f128_pd(ab_even, cd_even, 0x31);
    a[3].v = _mm256_permute2f128_pd(ab_odd, cd_odd, 0x31);
}

GAUSSMIX_INLINE void deinterleave(Part (&a)[2]) {
    const __m256d low = _mm256_permute2f128_pd(a[0].v, a[1].v, 0x20),
                  high = _mm256_permute2f128_pd(a[0].v, a[1].v, 0x31);
    a[0].v = _mm256_unpacklo_pd(low, high);
    a[1].v = _mm256_unpackhi_pd(low, high);
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[3]) {  // order of the numbers before the call: x y z x | y z x y | z x y z
    const __m256d x = _mm256_blend_pd(_mm256_blend_pd(a[0].v, a[1].v, 0x4), a[2].v, 0x2);
    const __m256d y = _mm256_blend_pd(_mm256_blend_pd(a[1].v, a[0].v, 0x2), a[2].v, 0x4);
    const __m256d z = _mm256_blend_pd(_mm256_blend_pd(a[2].v, a[0].v, 0x4), a[1].v, 0x2);
    a[0].v = _mm256_permute4x64_pd(x, 0x6C);  // changes the row order of x from 0, 3, 2, 1 to 0, 1, 2, 3
    a[1].v = _mm256_permute4x64_pd(y, 0xB1);  // changes the row order of y from 1, 0, 3, 2 to 0, 1, 2, 3
    a[2].v = _mm256_permute4x64_pd(z, 0xC6);  // changes the row order of z from 2, 1, 0, 3 to 0, 1, 2, 3
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[4]) {
    // half[0] and half[1] hold features 0 and 1 of all rows, and half[2] and half[3] hold features 2 and 3. The
    // intrinsic is not called in a loop, because the intrinsic needs a literal as its last argument, and a loop index
    // is not a constant before the loop is unrolled.
    const __m256d half[4] = {_mm256_permute2f128_pd(a[0].v, a[2].v, 0x20), _mm256_permute2f128_pd(a[1].v, a[3].v, 0x20),
                             _mm256_permute2f128_pd(a[0].v, a[2].v, 0x31),
                             _mm256_permute2f128_pd(a[1].v, a[3].v, 0x31)};
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        a[2 * i].v = _mm256_unpacklo_pd(half[2 * i], half[2 * i + 1]);
        a[2 * i + 1].v = _mm256_unpackhi_pd(half[2 * i], half[2 * i + 1]);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
