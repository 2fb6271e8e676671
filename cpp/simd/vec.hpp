// A vector: kLanes logical lanes of `Real`, in one register or two, and masks of its lanes.
#pragma once
#include "part.hpp"

namespace gaussmix::GAUSSMIX_ISA {

#ifdef __AVX512F__

using Vec = Part;
GAUSSMIX_INLINE Part part(const Vec& a, int) { return a; }
GAUSSMIX_INLINE void set_part(Vec& a, int, Part x) { a = x; }

#ifdef GAUSSMIX_SINGLE
using Mask = __mmask16;
GAUSSMIX_INLINE Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
GAUSSMIX_INLINE Mask equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
#else
using Mask = __mmask8;
GAUSSMIX_INLINE Mask less(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
GAUSSMIX_INLINE Mask equal(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
#endif
GAUSSMIX_INLINE bool any(Mask m) { return m != 0; }
GAUSSMIX_INLINE unsigned bits(Mask m) { return m; }  // bit i for lane i
GAUSSMIX_INLINE Vec keep(Mask m, Vec a) { return {GAUSSMIX_MM(maskz_mov)(m, a.v)}; }
GAUSSMIX_INLINE Vec select(Mask m, Vec yes, Vec no) { return {GAUSSMIX_MM(mask_mov)(no.v, m, yes.v)}; }

#else

struct Vec {
    Part low, high;

    GAUSSMIX_INLINE static Vec zero() { return {Part::zero(), Part::zero()}; }
    GAUSSMIX_INLINE static Vec broadcast(Real x) { return {Part::broadcast(x), Part::broadcast(x)}; }
    GAUSSMIX_INLINE static Vec load(const Real* p) { return {Part::load(p), Part::load(p + kPartLanes)}; }
    GAUSSMIX_INLINE static Vec load_unaligned(const void* p) {
        return {Part::load_unaligned(p), Part::load_unaligned(static_cast<const Real*>(p) + kPartLanes)};
    }
    GAUSSMIX_INLINE void store(Real* p) const { low.store(p), high.store(p + kPartLanes); }
    GAUSSMIX_INLINE void store_unaligned(Real* p) const {
        low.store_unaligned(p), high.store_unaligned(p + kPartLanes);
    }

#ifndef GAUSSMIX_SINGLE
    GAUSSMIX_INLINE static Vec load_floats(const void* p) {
        return {Part::load_floats(p), Part::load_floats(static_cast<const float*>(p) + kPartLanes)};
    }
    GAUSSMIX_INLINE static Vec load_head(const void* p, int count) {
        return {Part::load_head(p, count),
                Part::load_head(static_cast<const Real*>(p) + kPartLanes, count - kPartLanes)};
    }
    GAUSSMIX_INLINE static Vec load_floats_head(const void* p, int count) {
        return {Part::load_floats_head(p, count),
                Part::load_floats_head(static_cast<const float*>(p) + kPartLanes, count - kPartLanes)};
    }
    GAUSSMIX_INLINE void store_head(Real* p, int count) const {
        low.store_head(p, count), high.store_head(p + kPartLanes, count - kPartLanes);
    }
#endif
};

GAUSSMIX_INLINE Part part(const Vec& a, int h) { return h == 0 ? a.low : a.high; }
GAUSSMIX_INLINE void set_part(Vec& a, int h, Part x) { (h == 0 ? a.low : a.high) = x; }

GAUSSMIX_INLINE Vec operator+(Vec a, Vec b) { return {a.low + b.low, a.high + b.high}; }
GAUSSMIX_INLINE Vec operator-(Vec a, Vec b) { return {a.low - b.low, a.high - b.high}; }
GAUSSMIX_INLINE Vec operator*(Vec a, Vec b) { return {a.low * b.low, a.high * b.high}; }
GAUSSMIX_INLINE Vec operator/(Vec a, Vec b) { return {a.low / b.low, a.high / b.high}; }
GAUSSMIX_INLINE Vec fma(Vec a, Vec b, Vec c) { return {fma(a.low, b.low, c.low), fma(a.high, b.high, c.high)}; }
GAUSSMIX_INLINE Vec max(Vec a, Vec b) { return {max(a.low, b.low), max(a.high, b.high)}; }
GAUSSMIX_INLINE Vec min(Vec a, Vec b) { return {min(a.low, b.low), min(a.high, b.high)}; }
GAUSSMIX_INLINE Vec sqrt(Vec a) { return {sqrt(a.low), sqrt(a.high)}; }

struct Mask {
    decltype(Part::v) low, high;
};
GAUSSMIX_INLINE Mask less(Vec a, Vec b) {
    return {GAUSSMIX_MM(cmp)(a.low.v, b.low.v, _CMP_LT_OQ), GAUSSMIX_MM(cmp)(a.high.v, b.high.v, _CMP_LT_OQ)};
}
GAUSSMIX_INLINE Mask equal(Vec a, Vec b) {
    return {GAUSSMIX_MM(cmp)(a.low.v, b.low.v, _CMP_EQ_OQ), GAUSSMIX_MM(cmp)(a.high.v, b.high.v, _CMP_EQ_OQ)};
}
GAUSSMIX_INLINE bool any(Mask m) { return GAUSSMIX_MM(movemask)(GAUSSMIX_MM(or)(m.low, m.high)) != 0; }
GAUSSMIX_INLINE unsigned bits(Mask m) {
    return static_cast<unsigned>(GAUSSMIX_MM(movemask)(m.low)) | static_cast<unsigned>(GAUSSMIX_MM(movemask)(m.high))
                                                                     << kPartLanes;
}
GAUSSMIX_INLINE Vec keep(Mask m, Vec a) {
    return {{GAUSSMIX_MM (and)(m.low, a.low.v)}, {GAUSSMIX_MM (and)(m.high, a.high.v)}};
}
GAUSSMIX_INLINE Vec select(Mask m, Vec yes, Vec no) {
    return {{GAUSSMIX_MM(blendv)(no.low.v, yes.low.v, m.low)}, {GAUSSMIX_MM(blendv)(no.high.v, yes.high.v, m.high)}};
}

GAUSSMIX_INLINE void split(Vec x, Vec& fraction, Vec& exponent) {
    split(x.low, fraction.low, exponent.low);
    split(x.high, fraction.high, exponent.high);
}

// As many rows as there are lanes, of D numbers one after another, become a vector for each number.
template <int D>
GAUSSMIX_INLINE void deinterleave(Vec (&a)[D]) {
    Part parts[2][D];
    GAUSSMIX_UNROLL for (int i = 0; i < 2 * D; ++i) parts[i / D][i % D] = part(a[i / 2], i % 2);
    deinterleave(parts[0]);
    deinterleave(parts[1]);
    GAUSSMIX_UNROLL for (int i = 0; i < D; ++i) a[i] = {parts[0][i], parts[1][i]};
}

#endif

}  // namespace gaussmix::GAUSSMIX_ISA
