// Eight lanes of double in two 256-bit registers: what is not written once in part.hpp and vec.hpp.
#pragma once
#include "vec.hpp"

namespace gaussmix::GAUSSMIX_ISA {

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

using Total = Vec;  // sums of many numbers, lane by lane in double

// table[i mod 8], where the low bits of each lane of `index` hold the integer i.
GAUSSMIX_INLINE Part lookup(const double* table, Part index) {
    return {_mm256_i64gather_pd(table, _mm256_and_si256(_mm256_castpd_si256(index.v), _mm256_set1_epi64x(7)), 8)};
}
GAUSSMIX_INLINE Vec lookup(const double* table, Vec index) {
    return {lookup(table, index.low), lookup(table, index.high)};
}

// a * 2^(i div 8): the exponent field, at bit 52, is raised by the integer that starts at bit 3.
GAUSSMIX_INLINE Part scale_by_eighths(Part a, Part index) {
    const __m256i eighths = _mm256_andnot_si256(_mm256_set1_epi64x(7), _mm256_castpd_si256(index.v));
    return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a.v), _mm256_slli_epi64(eighths, 49)))};
}
GAUSSMIX_INLINE Vec scale_by_eighths(Vec a, Vec index) {
    return {scale_by_eighths(a.low, index.low), scale_by_eighths(a.high, index.high)};
}

GAUSSMIX_INLINE void split(Part x, Part& fraction, Part& exponent) {
    const __m256i half_root = _mm256_set1_epi64x(0x3fe6a09e00000000);
    const __m256i bits =
        _mm256_add_epi64(_mm256_castpd_si256(x.v), _mm256_set1_epi64x(0x3ff0000000000000 - 0x3fe6a09e00000000));
    const __m256i biased = _mm256_or_si256(_mm256_srli_epi64(bits, 52), _mm256_set1_epi64x(0x4330000000000000));
    exponent = {_mm256_sub_pd(_mm256_castsi256_pd(biased), _mm256_set1_pd(0x1p52 + 1023))};
    const __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi64x(0x000fffffffffffff));
    fraction = {_mm256_castsi256_pd(_mm256_add_epi64(mantissa, half_root))};
}
// sums[i] += the eight lanes of a[i]: lanes j and j+4 first, then j and j+2, then the last pair.
GAUSSMIX_INLINE void add_lane_sums(double* sums, const Vec* a) {
    GAUSSMIX_UNROLL for (int first = 0; first < 8; first += 4) {
        __m256d half[4], quarter[2];
        GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) half[i] = (a[first + i].low + a[first + i].high).v;
        GAUSSMIX_UNROLL for (int i = 0; i < 2; ++i) {
            quarter[i] = _mm256_add_pd(_mm256_permute2f128_pd(half[i], half[i + 2], 0x20),
                                       _mm256_permute2f128_pd(half[i], half[i + 2], 0x31));
        }
        const __m256d total =
            _mm256_add_pd(_mm256_unpacklo_pd(quarter[0], quarter[1]), _mm256_unpackhi_pd(quarter[0], quarter[1]));
        _mm256_store_pd(sums + first, _mm256_add_pd(_mm256_load_pd(sums + first), total));
    }
}

GAUSSMIX_INLINE void transpose(Part& a, Part& b, Part& c, Part& d) {
    const __m256d ab_even = _mm256_unpacklo_pd(a.v, b.v), ab_odd = _mm256_unpackhi_pd(a.v, b.v);
    const __m256d cd_even = _mm256_unpacklo_pd(c.v, d.v), cd_odd = _mm256_unpackhi_pd(c.v, d.v);
    a.v = _mm256_permute2f128_pd(ab_even, cd_even, 0x20);
    b.v = _mm256_permute2f128_pd(ab_odd, cd_odd, 0x20);
    c.v = _mm256_permute2f128_pd(ab_even, cd_even, 0x31);
    d.v = _mm256_permute2f128_pd(ab_odd, cd_odd, 0x31);
}

// Lane j of row i becomes lane i of row j: the four 4 x 4 blocks in place, then the off-diagonal two change places.
GAUSSMIX_INLINE void transpose(Vec (&rows)[8]) {
    transpose(rows[0].low, rows[1].low, rows[2].low, rows[3].low);
    transpose(rows[0].high, rows[1].high, rows[2].high, rows[3].high);
    transpose(rows[4].low, rows[5].low, rows[6].low, rows[7].low);
    transpose(rows[4].high, rows[5].high, rows[6].high, rows[7].high);
    GAUSSMIX_UNROLL for (int i = 0; i < 4; ++i) {
        const Part corner = rows[i].high;
        rows[i].high = rows[i + 4].low;
        rows[i + 4].low = corner;
    }
}

// Four rows of two, three or four numbers, one after another, become a part for each number.
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

}  // namespace gaussmix::GAUSSMIX_ISA
