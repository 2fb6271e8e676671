// Sixteen lanes of float in two 256-bit registers: what is not written once in part.hpp and vec.hpp.
#pragma once
#include "vec.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Sums of many numbers, lane by lane in double.
struct Total {
    __m256d fours[4];

    GAUSSMIX_INLINE static Total zero() {
        const __m256d none = _mm256_setzero_pd();
        return {{none, none, none, none}};
    }
    GAUSSMIX_INLINE void store(double* p) const {
        GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) _mm256_store_pd(p + 4 * i, fours[i]);
    }
};
GAUSSMIX_INLINE Total operator+(Total a, Vec b) {
    return {{_mm256_add_pd(a.fours[0], _mm256_cvtps_pd(_mm256_castps256_ps128(b.low.v))),
             _mm256_add_pd(a.fours[1], _mm256_cvtps_pd(_mm256_extractf128_ps(b.low.v, 1))),
             _mm256_add_pd(a.fours[2], _mm256_cvtps_pd(_mm256_castps256_ps128(b.high.v))),
             _mm256_add_pd(a.fours[3], _mm256_cvtps_pd(_mm256_extractf128_ps(b.high.v, 1)))}};
}

// a * 2^i, where the low bits of each lane of `index` hold the integer i.
GAUSSMIX_INLINE Part scale_by_twos(Part a, Part index) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(index.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), exponent))};
}
GAUSSMIX_INLINE Vec scale_by_twos(Vec a, Vec index) {
    return {scale_by_twos(a.low, index.low), scale_by_twos(a.high, index.high)};
}

GAUSSMIX_INLINE void split(Part x, Part& fraction, Part& exponent) {
    const __m256i half_root = _mm256_set1_epi32(0x3f3504f3);
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(x.v), _mm256_set1_epi32(0x3f800000 - 0x3f3504f3));
    exponent = {_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127)))};
    const __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff));
    fraction = {_mm256_castsi256_ps(_mm256_add_epi32(mantissa, half_root))};
}
// sums[i] += the sixteen lanes of a[i]: lanes j and j+8 first, then j and j+4, j and j+2, then the last pair.
GAUSSMIX_INLINE void add_lane_sums(double* sums, const Vec* a) {
    __m256 half[8], quarter[4], pairs[2];
    GAUSSMIX_UNROLL for (int i = 0; i < 8; ++i) half[i] = (a[i].low + a[i].high).v;
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        quarter[i] = _mm256_add_ps(_mm256_permute2f128_ps(half[i], half[i + 4], 0x20),
                                   _mm256_permute2f128_ps(half[i], half[i + 4], 0x31));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        pairs[i] = _mm256_add_ps(_mm256_unpacklo_ps(quarter[2 * i], quarter[2 * i + 1]),
                                 _mm256_unpackhi_ps(quarter[2 * i], quarter[2 * i + 1]));
    }
    const __m256 total =
        _mm256_add_ps(_mm256_shuffle_ps(pairs[0], pairs[1], 0x44), _mm256_shuffle_ps(pairs[0], pairs[1], 0xEE));
    const __m256d first = _mm256_cvtps_pd(_mm256_castps256_ps128(total)),
                  second = _mm256_cvtps_pd(_mm256_extractf128_ps(total, 1));
    _mm256_store_pd(sums, _mm256_add_pd(_mm256_load_pd(sums), first));
    _mm256_store_pd(sums + 4, _mm256_add_pd(_mm256_load_pd(sums + 4), second));
}

// Eight features of eight rows.
GAUSSMIX_INLINE void load_transposed(const char* const* rows, int count, Part (&features)[8]) {
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const auto row = [&](int i) {
        const float* p = reinterpret_cast<const float*>(rows[i]);
        return count == 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask);
    };
    __m256 fours[2][4];  // of rows 4 b .. 4 b + 3: feature i, then feature 4 + i, of the four
    GAUSSMIX_UNROLL for (int b = 0; b < 2; ++b) {
        __m256 pairs[4];
        GAUSSMIX_UNROLL for (int i = 0; i < 4; i += 2) {
            const __m256 one = row(4 * b + i), other = row(4 * b + i + 1);
            pairs[i] = _mm256_unpacklo_ps(one, other);
            pairs[i + 1] = _mm256_unpackhi_ps(one, other);
        }
        GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
            fours[b][2 * i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
            fours[b][2 * i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
        }
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        features[i].v = _mm256_permute2f128_ps(fours[0][i], fours[1][i], 0x20);
        features[i + 4].v = _mm256_permute2f128_ps(fours[0][i], fours[1][i], 0x31);
    }
}

// Lane j of features[i] becomes feature i of row j, of the first `count` of eight features; others are zero, and their
// memory is not touched.
GAUSSMIX_INLINE void load_transposed(const char* const (&rows)[kLanes], int count, Vec (&features)[8]) {
    Part low[8], high[8];
    load_transposed(rows, count, low);
    load_transposed(rows + 8, count, high);
    GAUSSMIX_UNROLL for (int i = 0; i < 8; ++i) features[i] = {low[i], high[i]};
}

// Eight rows of two, three or four numbers, one after another, become a part for each number.
GAUSSMIX_INLINE void deinterleave(Part (&a)[2]) {
    const __m256 x = _mm256_shuffle_ps(a[0].v, a[1].v, 0x88), y = _mm256_shuffle_ps(a[0].v, a[1].v, 0xDD);
    a[0].v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xD8));  // rows 0 1 4 5 2 3 6 7
    a[1].v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(y), 0xD8));
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[3]) {
    const __m256 low = _mm256_blend_ps(a[0].v, a[1].v, 0xF0);            // x y z x of rows 0, 1 and 4, 5
    const __m256 middle = _mm256_permute2f128_ps(a[0].v, a[2].v, 0x21);  // y z x y of rows 1, 2 and 5, 6
    const __m256 high = _mm256_blend_ps(a[1].v, a[2].v, 0xF0);           // z x y z of rows 2, 3 and 6, 7
    const __m256 later = _mm256_shuffle_ps(middle, high, 0x9E);          // x2 y2 x3 y3
    const __m256 sooner = _mm256_shuffle_ps(low, middle, 0x49);          // y0 z0 y1 z1
    a[0].v = _mm256_shuffle_ps(low, later, 0x8C);
    a[1].v = _mm256_shuffle_ps(sooner, later, 0xD8);
    a[2].v = _mm256_shuffle_ps(sooner, high, 0xCD);
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[4]) {
    __m256 rows[4], pairs[4];
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {  // rows j and j + 4
        rows[2 * i] = _mm256_permute2f128_ps(a[i].v, a[i + 2].v, 0x20);
        rows[2 * i + 1] = _mm256_permute2f128_ps(a[i].v, a[i + 2].v, 0x31);
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 4; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        a[2 * i].v = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        a[2 * i + 1].v = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
