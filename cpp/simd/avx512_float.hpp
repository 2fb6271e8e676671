// Sixteen lanes of float in one 512-bit register: what is not written once in part.hpp and vec.hpp.
#pragma once
#include "vec.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Sums of many numbers, lane by lane in double.
struct Total {
    __m512d low, high;

    GAUSSMIX_INLINE static Total zero() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
    GAUSSMIX_INLINE void store(double* p) const { _mm512_store_pd(p, low), _mm512_store_pd(p + 8, high); }
};
GAUSSMIX_INLINE Total operator+(Total a, Vec b) {
    return {_mm512_add_pd(a.low, _mm512_cvtps_pd(_mm512_castps512_ps256(b.v))),
            _mm512_add_pd(a.high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(b.v, 1)))};
}

// a * 2^i, where the low bits of each lane of `index` hold the integer i.
GAUSSMIX_INLINE Vec scale_by_twos(Vec a, Vec index) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(index.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), exponent))};
}

GAUSSMIX_INLINE void split(Vec x, Vec& fraction, Vec& exponent) {
    const __m512i half_root = _mm512_set1_epi32(0x3f3504f3);
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x3f800000 - 0x3f3504f3));
    exponent = {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(bits, 23), _mm512_set1_epi32(127)))};
    const __m512i mantissa = _mm512_and_si512(bits, _mm512_set1_epi32(0x007fffff));
    fraction = {_mm512_castsi512_ps(_mm512_add_epi32(mantissa, half_root))};
}

// sums[i] += the sixteen lanes of a[i]: lanes j and j+8 first, then j and j+4, j and j+2, then the last pair.
GAUSSMIX_INLINE void add_lane_sums(double* sums, const Vec* a) {
    __m512 half[4], quarter[2];
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        half[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[i].v, a[i + 4].v, 0x44),
                                _mm512_shuffle_f32x4(a[i].v, a[i + 4].v, 0xEE));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        quarter[i] = _mm512_add_ps(_mm512_shuffle_f32x4(half[i], half[i + 2], 0x88),
                                   _mm512_shuffle_f32x4(half[i], half[i + 2], 0xDD));
    }
    const __m512 pairs =
        _mm512_add_ps(_mm512_unpacklo_ps(quarter[0], quarter[1]), _mm512_unpackhi_ps(quarter[0], quarter[1]));
    const __m512 mixed = _mm512_add_ps(pairs, _mm512_permute_ps(pairs, 0x4E));
    const __m512i order = _mm512_setr_epi32(0, 1, 8, 9, 4, 5, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512d total = _mm512_cvtps_pd(_mm512_castps512_ps256(_mm512_permutexvar_ps(order, mixed)));
    _mm512_store_pd(sums, _mm512_add_pd(_mm512_load_pd(sums), total));
}

// Lane j of features[i] becomes feature i of row j, of the first `count` of eight features; others are zero, and their
// memory is not touched.
GAUSSMIX_INLINE void load_transposed(const char* const (&rows)[kLanes], int count, Vec (&features)[8]) {
    const auto row = [&](int i) { return _mm256_maskz_loadu_ps(static_cast<__mmask8>((1u << count) - 1), rows[i]); };
    __m512 fours[2][4];  // of rows 8 b .. 8 b + 7: features 0..3 and 4..7 of four rows, twice
    GAUSSMIX_UNROLL for (int b = 0; b < 2; ++b) {
        __m512 both[4], pairs[4];
        GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
            both[i] = _mm512_insertf32x8(_mm512_castps256_ps512(row(8 * b + i)), row(8 * b + 4 + i), 1);
        }
        GAUSSMIX_UNROLL for (int i = 0; i < 4; i += 2) {
            pairs[i] = _mm512_unpacklo_ps(both[i], both[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_ps(both[i], both[i + 1]);
        }
        GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
            fours[b][2 * i] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
            fours[b][2 * i + 1] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
        }
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        features[i].v = _mm512_shuffle_f32x4(fours[0][i], fours[1][i], 0x88);
        features[i + 4].v = _mm512_shuffle_f32x4(fours[0][i], fours[1][i], 0xDD);
    }
}

GAUSSMIX_INLINE Vec pick(Vec a, Vec b, __m512i places) { return {_mm512_permutex2var_ps(a.v, places, b.v)}; }

// Sixteen rows of two, three or four numbers, one after another, become a vector for each number.
GAUSSMIX_INLINE void deinterleave(Vec (&a)[2]) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const Vec first = pick(a[0], a[1], even);
    a[1] = pick(a[0], a[1], _mm512_add_epi32(even, _mm512_set1_epi32(1)));
    a[0] = first;
}
GAUSSMIX_INLINE void deinterleave(Vec (&a)[3]) {
    const Vec x = pick(a[0], a[1], _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0));
    const Vec y = pick(a[0], a[1], _mm512_setr_epi32(1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0));
    const Vec z = pick(a[0], a[1], _mm512_setr_epi32(2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0));
    const Vec last = a[2];
    a[0] = pick(x, last, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29));
    a[1] = pick(y, last, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30));
    a[2] = pick(z, last, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31));
}
GAUSSMIX_INLINE void deinterleave(Vec (&a)[4]) {
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
    Vec pairs[4];
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {  // of rows 8 i .. 8 i + 7: features 0 and 1, then 2 and 3
        pairs[i] = pick(a[2 * i], a[2 * i + 1], first);
        pairs[2 + i] = pick(a[2 * i], a[2 * i + 1], _mm512_add_epi32(first, _mm512_set1_epi32(2)));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        a[2 * i] = {_mm512_shuffle_f32x4(pairs[2 * i].v, pairs[2 * i + 1].v, 0x44)};
        a[2 * i + 1] = {_mm512_shuffle_f32x4(pairs[2 * i].v, pairs[2 * i + 1].v, 0xEE)};
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
