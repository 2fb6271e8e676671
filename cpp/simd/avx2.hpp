// Registers of 256 bits: AVX2 with its fused multiply-add.
#pragma once

#define GAUSSMIX_EACH_PART GAUSSMIX_UNROLL
#ifdef GAUSSMIX_SINGLE
#define GAUSSMIX_MM(name) _mm256_##name##_ps
#else
#define GAUSSMIX_MM(name) _mm256_##name##_pd
#endif
#include "x86.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr int kRegisters = 16, kParts = 2, kPartLanes = kLanes / kParts;

// gcc would fold the load into each instruction that uses it, and the loop would wait for loads (M of d = 64: 68 % of
// the peak without, 79 % with).
GAUSSMIX_INLINE Part held(Part a) {
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

#ifndef GAUSSMIX_SINGLE

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

GAUSSMIX_INLINE Part lookup(const double* table, Part index) {
    return {_mm256_i64gather_pd(table, _mm256_and_si256(_mm256_castpd_si256(index.v), _mm256_set1_epi64x(7)), 8)};
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
GAUSSMIX_INLINE void deinterleave(Part (&a)[3]) {  // x y z x | y z x y | z x y z
    const __m256d x = _mm256_blend_pd(_mm256_blend_pd(a[0].v, a[1].v, 0x4), a[2].v, 0x2);
    const __m256d y = _mm256_blend_pd(_mm256_blend_pd(a[1].v, a[0].v, 0x2), a[2].v, 0x4);
    const __m256d z = _mm256_blend_pd(_mm256_blend_pd(a[2].v, a[0].v, 0x4), a[1].v, 0x2);
    a[0].v = _mm256_permute4x64_pd(x, 0x6C);  // rows 0, 3, 2, 1
    a[1].v = _mm256_permute4x64_pd(y, 0xB1);  // rows 1, 0, 3, 2
    a[2].v = _mm256_permute4x64_pd(z, 0xC6);  // rows 2, 1, 0, 3
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[4]) {
    // Features 0, 1 of all rows, then 2, 3; an immediate operand must be one before loops are unrolled.
    const __m256d half[4] = {_mm256_permute2f128_pd(a[0].v, a[2].v, 0x20), _mm256_permute2f128_pd(a[1].v, a[3].v, 0x20),
                             _mm256_permute2f128_pd(a[0].v, a[2].v, 0x31),
                             _mm256_permute2f128_pd(a[1].v, a[3].v, 0x31)};
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        a[2 * i].v = _mm256_unpacklo_pd(half[2 * i], half[2 * i + 1]);
        a[2 * i + 1].v = _mm256_unpackhi_pd(half[2 * i], half[2 * i + 1]);
    }
}

#else

using Doubles = __m256d;
GAUSSMIX_INLINE Doubles low_half(Part a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)); }
GAUSSMIX_INLINE Doubles high_half(Part a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)); }

GAUSSMIX_INLINE void add_lane_sums(double* sums, const Part* a) {
    __m256 quarter[4], pairs[2];
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        quarter[i] = _mm256_add_ps(_mm256_permute2f128_ps(a[i].v, a[i + 4].v, 0x20),
                                   _mm256_permute2f128_ps(a[i].v, a[i + 4].v, 0x31));
    }
    GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
        pairs[i] = _mm256_add_ps(_mm256_unpacklo_ps(quarter[2 * i], quarter[2 * i + 1]),
                                 _mm256_unpackhi_ps(quarter[2 * i], quarter[2 * i + 1]));
    }
    const Part total{
        _mm256_add_ps(_mm256_shuffle_ps(pairs[0], pairs[1], 0x44), _mm256_shuffle_ps(pairs[0], pairs[1], 0xEE))};
    _mm256_store_pd(sums, _mm256_add_pd(_mm256_load_pd(sums), low_half(total)));
    _mm256_store_pd(sums + 4, _mm256_add_pd(_mm256_load_pd(sums + 4), high_half(total)));
}

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

#endif

}  // namespace gaussmix::GAUSSMIX_ISA
