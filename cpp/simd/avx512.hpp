// Backend for the 512-bit registers of AVX-512, with the extensions of x86-64-v4.
#pragma once

#define GAUSSMIX_EACH_PART GAUSSMIX_UNROLL
#define GAUSSMIX_MM(name) _mm512_##name##_pd
#include "x86.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr int kRegisters = 32, kParts = 1, kPartLanes = kLanes;

GAUSSMIX_INLINE Part in_register(Part a) { return a; }

using PartMask = __mmask8;
GAUSSMIX_INLINE PartMask less(Part a, Part b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
GAUSSMIX_INLINE PartMask equal(Part a, Part b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
GAUSSMIX_INLINE Part keep(PartMask m, Part a) { return {GAUSSMIX_MM(maskz_mov)(m, a.v)}; }
GAUSSMIX_INLINE Part select(PartMask m, Part yes, Part no) { return {GAUSSMIX_MM(mask_mov)(no.v, m, yes.v)}; }
GAUSSMIX_INLINE unsigned bits(PartMask m) { return m; }
GAUSSMIX_INLINE bool any(PartMask m) { return m != 0; }

GAUSSMIX_INLINE __mmask8 head_mask(int count) { return static_cast<__mmask8>((1u << count) - 1); }
GAUSSMIX_INLINE Part Part::load_floats(const void* p) {
    return {_mm512_cvtps_pd(_mm256_loadu_ps(static_cast<const float*>(p)))};
}
GAUSSMIX_INLINE Part Part::load_head(const void* p, int count) { return {_mm512_maskz_loadu_pd(head_mask(count), p)}; }
GAUSSMIX_INLINE Part Part::load_floats_head(const void* p, int count) {
    return {_mm512_cvtps_pd(_mm512_castps512_ps256(_mm512_maskz_loadu_ps(head_mask(count), p)))};
}
GAUSSMIX_INLINE void Part::store_head(double* p, int count) const { _mm512_mask_storeu_pd(p, head_mask(count), v); }

GAUSSMIX_INLINE Part lookup(const double* table, Part index) {
    return {_mm512_permutexvar_pd(_mm512_castpd_si512(index.v), _mm512_load_pd(table))};
}

template <class T>
GAUSSMIX_INLINE T wide_product(T a, T b) {
    return (T)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}

GAUSSMIX_INLINE void add_lane_sums(double* sums, const Part* a) {
    __m512d half[4], quarter[2];
    // half[i] holds four partial sums of a[i], and then four partial sums of a[i + 4].
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        half[i] = _mm512_add_pd(_mm512_shuffle_f64x2(a[i].v, a[i + 4].v, 0x44),
                                _mm512_shuffle_f64x2(a[i].v, a[i + 4].v, 0xEE));
    }
    // quarter[i] holds two partial sums each of a[i], a[i + 4], a[i + 2] and a[i + 6].
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        quarter[i] = _mm512_add_pd(_mm512_shuffle_f64x2(half[i], half[i + 2], 0x88),
                                   _mm512_shuffle_f64x2(half[i], half[i + 2], 0xDD));
    }
    // the sums of a[0], a[1], a[4], a[5], a[2], a[3], a[6] and a[7]
    const __m512d unordered =
        _mm512_add_pd(_mm512_unpacklo_pd(quarter[0], quarter[1]), _mm512_unpackhi_pd(quarter[0], quarter[1]));
    const __m512d total = _mm512_permutexvar_pd(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), unordered);
    _mm512_store_pd(sums, _mm512_add_pd(_mm512_load_pd(sums), total));
}

GAUSSMIX_INLINE void transpose(Part (&a)[8]) {
    __m512d pairs[8], low[4], high[4];
    // For even i, pairs[i] holds columns 0, 2, 4 and 6 of rows i and i + 1, and pairs[i + 1] holds columns 1, 3, 5 and
    // 7 of these rows.
    GAUSSMIX_UNROLL for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm512_unpacklo_pd(a[i].v, a[i + 1].v);
        pairs[i + 1] = _mm512_unpackhi_pd(a[i].v, a[i + 1].v);
    }
    GAUSSMIX_UNROLL for (int odd = 0; odd < 2; ++odd) {
        low[0] = _mm512_shuffle_f64x2(pairs[odd], pairs[2 + odd], 0x88);  // columns `odd`, 4 + `odd` of rows 0-3
        low[1] = _mm512_shuffle_f64x2(pairs[odd], pairs[2 + odd], 0xDD);  // columns 2 + `odd`, 6 + `odd` of rows 0-3
        high[0] = _mm512_shuffle_f64x2(pairs[4 + odd], pairs[6 + odd], 0x88);  // columns `odd`, 4 + `odd` of rows 4-7
        high[1] = _mm512_shuffle_f64x2(pairs[4 + odd], pairs[6 + odd], 0xDD);
        a[odd].v = _mm512_shuffle_f64x2(low[0], high[0], 0x88);
        a[odd + 4].v = _mm512_shuffle_f64x2(low[0], high[0], 0xDD);
        a[odd + 2].v = _mm512_shuffle_f64x2(low[1], high[1], 0x88);
        a[odd + 6].v = _mm512_shuffle_f64x2(low[1], high[1], 0xDD);
    }
}

GAUSSMIX_INLINE Part pick(Part a, Part b, __m512i indices) { return {_mm512_permutex2var_pd(a.v, indices, b.v)}; }

GAUSSMIX_INLINE void deinterleave(Part (&a)[2]) {
    const Part even = pick(a[0], a[1], _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14));
    a[1] = pick(a[0], a[1], _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15));
    a[0] = even;
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[3]) {
    const Part x = pick(a[0], a[1], _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0));
    const Part y = pick(a[0], a[1], _mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0));
    const Part z = pick(a[0], a[1], _mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0));
    const Part last = a[2];
    a[0] = pick(x, last, _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 10, 13));
    a[1] = pick(y, last, _mm512_setr_epi64(0, 1, 2, 3, 4, 8, 11, 14));
    a[2] = pick(z, last, _mm512_setr_epi64(0, 1, 2, 3, 4, 9, 12, 15));
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[4]) {
    Part pairs[4];
    // pairs[i] holds features 0 and 1 of rows 4 i to 4 i + 3, and pairs[2 + i] holds features 2 and 3 of these rows.
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        pairs[i] = pick(a[2 * i], a[2 * i + 1], _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13));
        pairs[2 + i] = pick(a[2 * i], a[2 * i + 1], _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        a[2 * i] = {_mm512_shuffle_f64x2(pairs[2 * i].v, pairs[2 * i + 1].v, 0x44)};
        a[2 * i + 1] = {_mm512_shuffle_f64x2(pairs[2 * i].v, pairs[2 * i + 1].v, 0xEE)};
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
