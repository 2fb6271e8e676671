// Code that the backends for AVX2 and AVX-512 share: the type `Part`, implemented with intrinsics.
//
// GAUSSMIX_MM(name) completes the name of an intrinsic. For example, GAUSSMIX_MM(add) is _mm512_add_pd or
// _mm256_add_pd.
#pragma once
#include <immintrin.h>

#include "part.hpp"

namespace gaussmix::GAUSSMIX_ISA {

struct Part {
    decltype(GAUSSMIX_MM(setzero)()) v;

    GAUSSMIX_INLINE static Part zero() { return {GAUSSMIX_MM(setzero)()}; }
    GAUSSMIX_INLINE static Part broadcast(double x) { return {GAUSSMIX_MM(set1)(x)}; }
    GAUSSMIX_INLINE static Part load(const double* p) { return {GAUSSMIX_MM(load)(p)}; }
    GAUSSMIX_INLINE static Part load_unaligned(const void* p) {
        return {GAUSSMIX_MM(loadu)(static_cast<const double*>(p))};
    }
    GAUSSMIX_INLINE void store(double* p) const { GAUSSMIX_MM(store)(p, v); }
    GAUSSMIX_INLINE void store_unaligned(double* p) const { GAUSSMIX_MM(storeu)(p, v); }

    GAUSSMIX_INLINE static Part load_floats(const void* p);
    GAUSSMIX_INLINE static Part load_head(const void* p, int count);
    GAUSSMIX_INLINE static Part load_floats_head(const void* p, int count);
    GAUSSMIX_INLINE void store_head(double* p, int count) const;
};

GAUSSMIX_INLINE Part operator+(Part a, Part b) { return {GAUSSMIX_MM(add)(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator-(Part a, Part b) { return {GAUSSMIX_MM(sub)(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator*(Part a, Part b) { return {GAUSSMIX_MM(mul)(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator/(Part a, Part b) { return {GAUSSMIX_MM(div)(a.v, b.v)}; }
GAUSSMIX_INLINE Part fma(Part a, Part b, Part c) { return {GAUSSMIX_MM(fmadd)(a.v, b.v, c.v)}; }
GAUSSMIX_INLINE Part fma(double a, Part b, Part c) { return fma(Part::broadcast(a), b, c); }
GAUSSMIX_INLINE Part max(Part a, Part b) { return {GAUSSMIX_MM(max)(a.v, b.v)}; }
GAUSSMIX_INLINE Part min(Part a, Part b) { return {GAUSSMIX_MM(min)(a.v, b.v)}; }
GAUSSMIX_INLINE Part sqrt(Part a) { return {GAUSSMIX_MM(sqrt)(a.v)}; }

}  // namespace gaussmix::GAUSSMIX_ISA
