// A register of this compilation: `Part`, kPartLanes lanes of `Real`, written once for every element and instruction set.
//
// Defined with GAUSSMIX_SINGLE, `Real` is float, otherwise double.
#pragma once
#include <immintrin.h>

#include "inline.hpp"

// The intrinsics' own names: GAUSSMIX_MM(add) is _mm512_add_pd, or _mm256_add_ps, ...
#define GAUSSMIX_GLUE(prefix, name, suffix) prefix##name##suffix
#if defined(__AVX512F__) && defined(GAUSSMIX_SINGLE)
#define GAUSSMIX_MM(name) GAUSSMIX_GLUE(_mm512_, name, _ps)
#elif defined(__AVX512F__)
#define GAUSSMIX_MM(name) GAUSSMIX_GLUE(_mm512_, name, _pd)
#elif defined(__AVX2__) && defined(GAUSSMIX_SINGLE)
#define GAUSSMIX_MM(name) GAUSSMIX_GLUE(_mm256_, name, _ps)
#elif defined(__AVX2__)
#define GAUSSMIX_MM(name) GAUSSMIX_GLUE(_mm256_, name, _pd)
#else
#error "kernels are compiled for one of the instruction sets in cpp/simd"
#endif

namespace gaussmix::GAUSSMIX_ISA {

#ifdef GAUSSMIX_SINGLE
using Real = float;
constexpr Real kLargest = __FLT_MAX__;
constexpr int kLanes = 16;  // of a vector, whatever the registers: the lane of a row decides the bits of every sum
#else
using Real = double;
constexpr Real kLargest = __DBL_MAX__;
constexpr int kLanes = 8;
#endif

// A vector is one register, or two. A register tile works on one part at a time, or its accumulators would not fit the
// registers.
#ifdef __AVX512F__
constexpr int kRegisters = 32, kParts = 1;
#else
constexpr int kRegisters = 16, kParts = 2;
#endif
constexpr int kPartLanes = kLanes / kParts;

struct Part {
    decltype(GAUSSMIX_MM(setzero)()) v;

    GAUSSMIX_INLINE static Part zero() { return {GAUSSMIX_MM(setzero)()}; }
    GAUSSMIX_INLINE static Part broadcast(Real x) { return {GAUSSMIX_MM(set1)(x)}; }
    GAUSSMIX_INLINE static Part load(const Real* p) { return {GAUSSMIX_MM(load)(p)}; }
    GAUSSMIX_INLINE static Part load_unaligned(const void* p) {
        return {GAUSSMIX_MM(loadu)(static_cast<const Real*>(p))};
    }
    GAUSSMIX_INLINE void store(Real* p) const { GAUSSMIX_MM(store)(p, v); }
    GAUSSMIX_INLINE void store_unaligned(Real* p) const { GAUSSMIX_MM(storeu)(p, v); }

#ifndef GAUSSMIX_SINGLE
    // As many floats, widened.
    GAUSSMIX_INLINE static Part load_floats(const void* p);

    // The first `count` lanes; the others are zero, and their memory is not touched.
    GAUSSMIX_INLINE static Part load_head(const void* p, int count);
    GAUSSMIX_INLINE static Part load_floats_head(const void* p, int count);
    GAUSSMIX_INLINE void store_head(Real* p, int count) const;
#endif
};

GAUSSMIX_INLINE Part operator+(Part a, Part b) { return {GAUSSMIX_MM(add)(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator-(Part a, Part b) { return {GAUSSMIX_MM(sub)(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator*(Part a, Part b) { return {GAUSSMIX_MM(mul)(a.v, b.v)}; }
GAUSSMIX_INLINE Part operator/(Part a, Part b) { return {GAUSSMIX_MM(div)(a.v, b.v)}; }
GAUSSMIX_INLINE Part fma(Part a, Part b, Part c) { return {GAUSSMIX_MM(fmadd)(a.v, b.v, c.v)}; }
GAUSSMIX_INLINE Part max(Part a, Part b) { return {GAUSSMIX_MM(max)(a.v, b.v)}; }
GAUSSMIX_INLINE Part min(Part a, Part b) { return {GAUSSMIX_MM(min)(a.v, b.v)}; }  // b where a is NaN
GAUSSMIX_INLINE Part sqrt(Part a) { return {GAUSSMIX_MM(sqrt)(a.v)}; }

// Keeps a loaded operand in a register: gcc would fold the load into each instruction that uses it, and the loop would
// wait for loads (AVX2, M of d = 64: 68 % of the peak without, 79 % with).
GAUSSMIX_INLINE Part held(Part a) {
    if constexpr (kParts == 2) asm("" : "+x"(a.v));
    return a;
}

// x = fraction * 2^exponent with the fraction in [sqrt(1/2), sqrt(2)); x is positive and normal.
GAUSSMIX_INLINE void split(Part x, Part& fraction, Part& exponent);

}  // namespace gaussmix::GAUSSMIX_ISA
