// Eight lanes of double in one 512-bit register: what is not written once in part.hpp and vec.hpp.
#pragma once
#include "vec.hpp"

namespace gaussmix::GAUSSMIX_ISA {

GAUSSMIX_INLINE __mmask8 head_mask(int count) { return static_cast<__mmask8>((1u << count) - 1); }
GAUSSMIX_INLINE Part Part::load_floats(const void* p) {
    return {_mm512_cvtps_pd(_mm256_loadu_ps(static_cast<const float*>(p)))};
}
GAUSSMIX_INLINE Part Part::load_head(const void* p, int count) { return {_mm512_maskz_loadu_pd(head_mask(count), p)}; }
GAUSSMIX_INLINE Part Part::load_floats_head(const void* p, int count) {
    return {_mm512_cvtps_pd(_mm512_castps512_ps256(_mm512_maskz_loadu_ps(head_mask(count), p)))};
}
GAUSSMIX_INLINE void Part::store_head(double* p, int count) const { _mm512_mask_storeu_pd(p, head_mask(count), v); }

using Total = Vec;  // sums of many numbers, lane by lane in double

// table[i mod 8], where the low bits of each lane of `index` hold the integer i.
GAUSSMIX_INLINE Vec lookup(const double* table, Vec index) {
    return {_mm512_permutexvar_pd(_mm512_castpd_si512(index.v), _mm512_load_pd(table))};
}

// a * 2^(i div 8): the exponent field, at bit 52, is raised by the integer that starts at bit 3.
GAUSSMIX_INLINE Vec scale_by_eighths(Vec a, Vec index) {
    const __m512i eighths = _mm512_andnot_si512(_mm512_set1_epi64(7), _mm512_castpd_si512(index.v));
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a.v), _mm512_slli_epi64(eighths, 49)))};
}

GAUSSMIX_INLINE void split(Vec x, Vec& fraction, Vec& exponent) {
    const __m512i half_root = _mm512_set1_epi64(0x3fe6a09e00000000);
    const __m512i bits =
        _mm512_add_epi64(_mm512_castpd_si512(x.v), _mm512_set1_epi64(0x3ff0000000000000 - 0x3fe6a09e00000000));
    const __m512i biased = _mm512_or_si512(_mm512_srli_epi64(bits, 52), _mm512_set1_epi64(0x4330000000000000));
    exponent = {_mm512_sub_pd(_mm512_castsi512_pd(biased), _mm512_set1_pd(0x1p52 + 1023))};
    const __m512i mantissa = _mm512_and_si512(bits, _mm512_set1_epi64(0x000fffffffffffff));
    fraction = {_mm512_castsi512_pd(_mm512_add_epi64(mantissa, half_root))};
}

// sums[i] += the eight lanes of a[i]: lanes j and j+4 first, then j and j+2, then the last pair.
GAUSSMIX_INLINE void add_lane_sums(double* sums, const Vec* a) {
    __m512d half[4], quarter[2];
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        half[i] = _mm512_add_pd(_mm512_shuffle_f64x2(a[i].v, a[i + 4].v, 0x44),
                                _mm512_shuffle_f64x2(a[i].v, a[i + 4].v, 0xEE));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        quarter[i] = _mm512_add_pd(_mm512_shuffle_f64x2(half[i], half[i + 2], 0x88),
                                   _mm512_shuffle_f64x2(half[i], half[i + 2], 0xDD));
    }
    const __m512d mixed =
        _mm512_add_pd(_mm512_unpacklo_pd(quarter[0], quarter[1]), _mm512_unpackhi_pd(quarter[0], quarter[1]));
    const __m512d total = _mm512_permutexvar_pd(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), mixed);
    _mm512_store_pd(sums, _mm512_add_pd(_mm512_load_pd(sums), total));
}

// Lane j of row i becomes lane i of row j.
GAUSSMIX_INLINE void transpose(Vec (&rows)[8]) {
    __m512d pairs[8], low[4], high[4];
    GAUSSMIX_UNROLL for (int i = 0; i < 8; i += 2) {  // of rows i, i+1: columns 0, 2, 4, 6, then 1, 3, 5, 7
        pairs[i] = _mm512_unpacklo_pd(rows[i].v, rows[i + 1].v);
        pairs[i + 1] = _mm512_unpackhi_pd(rows[i].v, rows[i + 1].v);
    }
    GAUSSMIX_UNROLL for (int odd = 0; odd < 2; ++odd) {
        low[0] = _mm512_shuffle_f64x2(pairs[odd], pairs[2 + odd], 0x88);       // columns 0, 4 of rows 0..3
        low[1] = _mm512_shuffle_f64x2(pairs[odd], pairs[2 + odd], 0xDD);       // columns 2, 6
        high[0] = _mm512_shuffle_f64x2(pairs[4 + odd], pairs[6 + odd], 0x88);  // and of rows 4..7
        high[1] = _mm512_shuffle_f64x2(pairs[4 + odd], pairs[6 + odd], 0xDD);
        rows[odd].v = _mm512_shuffle_f64x2(low[0], high[0], 0x88);
        rows[odd + 4].v = _mm512_shuffle_f64x2(low[0], high[0], 0xDD);
        rows[odd + 2].v = _mm512_shuffle_f64x2(low[1], high[1], 0x88);
        rows[odd + 6].v = _mm512_shuffle_f64x2(low[1], high[1], 0xDD);
    }
}

GAUSSMIX_INLINE Vec pick(Vec a, Vec b, __m512i places) { return {_mm512_permutex2var_pd(a.v, places, b.v)}; }

// Eight rows of two, three or four numbers, one after another, become a vector for each number.
GAUSSMIX_INLINE void deinterleave(Vec (&a)[2]) {
    const Vec even = pick(a[0], a[1], _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14));
    a[1] = pick(a[0], a[1], _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15));
    a[0] = even;
}
GAUSSMIX_INLINE void deinterleave(Vec (&a)[3]) {
    const Vec x = pick(a[0], a[1], _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0));
    const Vec y = pick(a[0], a[1], _mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0));
    const Vec z = pick(a[0], a[1], _mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0));
    const Vec last = a[2];
    a[0] = pick(x, last, _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 10, 13));
    a[1] = pick(y, last, _mm512_setr_epi64(0, 1, 2, 3, 4, 8, 11, 14));
    a[2] = pick(z, last, _mm512_setr_epi64(0, 1, 2, 3, 4, 9, 12, 15));
}
GAUSSMIX_INLINE void deinterleave(Vec (&a)[4]) {
    Vec pairs[4];
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {  // of rows 4 i .. 4 i + 3: features 0 and 1, then 2 and 3
        pairs[i] = pick(a[2 * i], a[2 * i + 1], _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13));
        pairs[2 + i] = pick(a[2 * i], a[2 * i + 1], _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        a[2 * i] = {_mm512_shuffle_f64x2(pairs[2 * i].v, pairs[2 * i + 1].v, 0x44)};
        a[2 * i + 1] = {_mm512_shuffle_f64x2(pairs[2 * i].v, pairs[2 * i + 1].v, 0xEE)};
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
