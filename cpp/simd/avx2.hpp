// Eight lanes of double in two 256-bit registers.
#pragma once
#include <immintrin.h>

#include "inline.hpp"

namespace gaussmix::GAUSSMIX_ISA {

using Real = double;
constexpr Real kLargest = __DBL_MAX__;
constexpr int kLanes = 8;
constexpr int kRegisters = 16;

// A register tile works on one part of the lanes at a time, or its accumulators would not fit the registers.
struct Part {
    __m256d v;

    GAUSSMIX_INLINE static Part zero() { return {_mm256_setzero_pd()}; }
    GAUSSMIX_INLINE static Part broadcast(double x) { return {_mm256_set1_pd(x)}; }
    GAUSSMIX_INLINE static Part load(const double* p) { return {_mm256_load_pd(p)}; }
    GAUSSMIX_INLINE void store(double* p) const { _mm256_store_pd(p, v); }
};

struct Vec {
    Part low, high;

    GAUSSMIX_INLINE static Vec zero() { return {Part::zero(), Part::zero()}; }
    GAUSSMIX_INLINE static Vec broadcast(double x) { return {Part::broadcast(x), Part::broadcast(x)}; }
    GAUSSMIX_INLINE static Vec load(const double* p) { return {Part::load(p), Part::load(p + 4)}; }
    GAUSSMIX_INLINE static Vec load_unaligned(const void* p) {
        const double* q = static_cast<const double*>(p);
        return {{_mm256_loadu_pd(q)}, {_mm256_loadu_pd(q + 4)}};
    }
    GAUSSMIX_INLINE static Vec load_floats(const void* p) {
        const float* q = static_cast<const float*>(p);
        return {{_mm256_cvtps_pd(_mm_loadu_ps(q))}, {_mm256_cvtps_pd(_mm_loadu_ps(q + 4))}};
    }
    GAUSSMIX_INLINE void store(double* p) const { low.store(p), high.store(p + 4); }
    GAUSSMIX_INLINE void store_unaligned(double* p) const {
        _mm256_storeu_pd(p, low.v), _mm256_storeu_pd(p + 4, high.v);
    }

    // The first `count` lanes; the others are zero, and their memory is not touched.
    GAUSSMIX_INLINE static Vec load_head(const void* p, int count) {
        const double* q = static_cast<const double*>(p);
        return {{_mm256_maskload_pd(q, head(count))}, {_mm256_maskload_pd(q + 4, head(count - 4))}};
    }
    GAUSSMIX_INLINE static Vec load_floats_head(const void* p, int count) {
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        const __m256 floats = _mm256_maskload_ps(static_cast<const float*>(p), mask);
        return {{_mm256_cvtps_pd(_mm256_castps256_ps128(floats))}, {_mm256_cvtps_pd(_mm256_extractf128_ps(floats, 1))}};
    }
    GAUSSMIX_INLINE void store_head(double* p, int count) const {
        _mm256_maskstore_pd(p, head(count), low.v);
        _mm256_maskstore_pd(p + 4, head(count - 4), high.v);
    }

private:
    GAUSSMIX_INLINE static __m256i head(int count) {
        return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
    }
};

constexpr int kParts = 2;
GAUSSMIX_INLINE Part part(const Vec& a, int h) { return h == 0 ? a.low : a.high; }
GAUSSMIX_INLINE void set_part(Vec& a, int h, Part x) { (h == 0 ? a.low : a.high) = x; }

// Keeps a loaded operand in a register: gcc would fold the load into each instruction that uses it, and the loop
// would wait for loads (M of d = 64: 68 % of the peak without, 79 % with).
GAUSSMIX_INLINE Part held(Part a) {
    asm("" : "+x"(a.v));
    return a;
}

GAUSSMIX_INLINE Part operator+(Part a, Part b) { return {_mm256_add_pd(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator-(Part a, Part b) { return {_mm256_sub_pd(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator*(Part a, Part b) { return {_mm256_mul_pd(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator/(Part a, Part b) { return {_mm256_div_pd(a.v, b.v)}; }
GAUSSMIX_INLINE Part fma(Part a, Part b, Part c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
GAUSSMIX_INLINE Part max(Part a, Part b) { return {_mm256_max_pd(a.v, b.v)}; }
GAUSSMIX_INLINE Part min(Part a, Part b) { return {_mm256_min_pd(a.v, b.v)}; }  // b where a is NaN
GAUSSMIX_INLINE Part sqrt(Part a) { return {_mm256_sqrt_pd(a.v)}; }

GAUSSMIX_INLINE Vec operator+(Vec a, Vec b) { return {a.low + b.low, a.high + b.high}; }
GAUSSMIX_INLINE Vec operator-(Vec a, Vec b) { return {a.low - b.low, a.high - b.high}; }
GAUSSMIX_INLINE Vec operator*(Vec a, Vec b) { return {a.low * b.low, a.high * b.high}; }
GAUSSMIX_INLINE Vec operator/(Vec a, Vec b) { return {a.low / b.low, a.high / b.high}; }
GAUSSMIX_INLINE Vec fma(Vec a, Vec b, Vec c) { return {fma(a.low, b.low, c.low), fma(a.high, b.high, c.high)}; }
GAUSSMIX_INLINE Vec max(Vec a, Vec b) { return {max(a.low, b.low), max(a.high, b.high)}; }
GAUSSMIX_INLINE Vec min(Vec a, Vec b) { return {min(a.low, b.low), min(a.high, b.high)}; }
GAUSSMIX_INLINE Vec sqrt(Vec a) { return {sqrt(a.low), sqrt(a.high)}; }

using Total = Vec;  // sums of many numbers, lane by lane in double

struct Mask {
    __m256d low, high;
};
GAUSSMIX_INLINE Mask less(Vec a, Vec b) {
    return {_mm256_cmp_pd(a.low.v, b.low.v, _CMP_LT_OQ), _mm256_cmp_pd(a.high.v, b.high.v, _CMP_LT_OQ)};
}
GAUSSMIX_INLINE Mask equal(Vec a, Vec b) {
    return {_mm256_cmp_pd(a.low.v, b.low.v, _CMP_EQ_OQ), _mm256_cmp_pd(a.high.v, b.high.v, _CMP_EQ_OQ)};
}
GAUSSMIX_INLINE bool any(Mask m) { return _mm256_movemask_pd(_mm256_or_pd(m.low, m.high)) != 0; }
GAUSSMIX_INLINE Vec keep(Mask m, Vec a) { return {{_mm256_and_pd(m.low, a.low.v)}, {_mm256_and_pd(m.high, a.high.v)}}; }
GAUSSMIX_INLINE Vec select(Mask m, Vec yes, Vec no) {
    return {{_mm256_blendv_pd(no.low.v, yes.low.v, m.low)}, {_mm256_blendv_pd(no.high.v, yes.high.v, m.high)}};
}

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

// x = fraction * 2^exponent with the fraction in [sqrt(1/2), sqrt(2)); x is positive and normal.
GAUSSMIX_INLINE void split(Part x, Part& fraction, Part& exponent) {
    const __m256i half_root = _mm256_set1_epi64x(0x3fe6a09e00000000);
    const __m256i bits =
        _mm256_add_epi64(_mm256_castpd_si256(x.v), _mm256_set1_epi64x(0x3ff0000000000000 - 0x3fe6a09e00000000));
    const __m256i biased = _mm256_or_si256(_mm256_srli_epi64(bits, 52), _mm256_set1_epi64x(0x4330000000000000));
    exponent = {_mm256_sub_pd(_mm256_castsi256_pd(biased), _mm256_set1_pd(0x1p52 + 1023))};
    const __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi64x(0x000fffffffffffff));
    fraction = {_mm256_castsi256_pd(_mm256_add_epi64(mantissa, half_root))};
}
GAUSSMIX_INLINE void split(Vec x, Vec& fraction, Vec& exponent) {
    split(x.low, fraction.low, exponent.low);
    split(x.high, fraction.high, exponent.high);
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

// Eight rows become a vector for each number.
template <int D>
GAUSSMIX_INLINE void deinterleave(Vec (&a)[D]) {
    Part parts[2][D];
    GAUSSMIX_UNROLL for (int i = 0; i < 2 * D; ++i) parts[i / D][i % D] = part(a[i / 2], i % 2);
    deinterleave(parts[0]);
    deinterleave(parts[1]);
    GAUSSMIX_UNROLL for (int i = 0; i < D; ++i) a[i] = {parts[0][i], parts[1][i]};
}

}  // namespace gaussmix::GAUSSMIX_ISA
