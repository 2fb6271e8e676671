// Computes uniform and normal variates from random bits, eight lanes at a time. The results are
// bit-identical on every instruction set.
//
// A uniform variate u = (2^21 a + b mod 2^21) 2^-53 is made from two words a and b of 32 bits, and has exactly 53
// random bits. Two independent normal variates are sqrt(-2 log u) (cos 2 pi v, sin 2 pi v) for u in (0, 1] and v in [0,
// 1) (Box & Muller 1958). The absolute values of the normal variates are at most sqrt(-2 log 2^-53) = 8.57.
#pragma once
#include "exp_log.hpp"
#include "philox.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Coefficients of polynomials in f^2 <= 1/4 for sin(pi/2 f) / f - pi/2 and cos(pi/2 f) - 1, both divided by f^2. The
// polynomials interpolate these functions at Chebyshev points; the coefficients were computed with 60 digits. Without
// rounding errors, the relative errors of sine and cosine would be 1.4e-17 and 2e-19.
constexpr double kSineTerms[6] = {-0x1.4abbce625be52p-1, 0x1.466bc6775a476p-4,   -0x1.32d2cce500387p-8,
                                  0x1.50783208843ebp-13, -0x1.e3027dea82bd7p-19, 0x1.e4a9d9166f052p-25};
constexpr double kCosineTerms[7] = {-0x1.3bd3cc9be45dep+0, 0x1.03c1f081b5ac0p-2,   -0x1.55d3c7e3cb241p-6,
                                    0x1.e1f5068688d5bp-11, -0x1.a6d1eef479be1p-16, 0x1.f9ce245cada0bp-22,
                                    -0x1.b2f3eb054afcdp-28};
constexpr std::uint64_t kLow32Bits = 0xffffffff, kLow21Bits = 0x1fffff;
constexpr double kLeastUniform = 0x1p-53;

// Returns uniform variates in [least, 1 + least), where `least` is 0 or kLeastUniform.
GAUSSMIX_INLINE Vec uniform(Words a, Words b, double least) {
    const Vec high = above_2_to_52(a, kLow32Bits) - Vec::broadcast(0x1p52);
    const Vec low = fma(above_2_to_52(b, kLow21Bits), Vec::broadcast(0x1p-53), Vec::broadcast(least - 0.5));
    return fma(high, Vec::broadcast(0x1p-32), low);
}

template <int kCount>
GAUSSMIX_INLINE Vec polynomial(const double (&terms)[kCount], Vec x) {
    Vec sum = Vec::broadcast(terms[kCount - 1]);
    GAUSSMIX_UNROLL for (int i = kCount - 2; i >= 0; --i) sum = fma(sum, x, Vec::broadcast(terms[i]));
    return sum;
}

// Computes cosine and sine of 2 pi v for v in [0, 1), with relative errors of at most 0.85 * 2^-52.
GAUSSMIX_INLINE void cosine_and_sine(Vec v, Vec& cosine, Vec& sine) {
    constexpr double half_pi = 0x1.921fb54442d18p+0, half_pi_rest = 0x1.1a62633145c07p-54;
    constexpr double round_to_integer = 0x1.8p52;
    const Vec quarter = fma(v, Vec::broadcast(4), Vec::broadcast(round_to_integer));
    const Vec f = fma(v, Vec::broadcast(4), Vec::broadcast(round_to_integer) - quarter);  // f is exact and at most 1/2
    const Vec square = f * f;
    cosine = fma(square, polynomial(kCosineTerms, square), Vec::broadcast(1));
    const Vec rest = fma(square, polynomial(kSineTerms, square), Vec::broadcast(half_pi_rest));
    sine = fma(f, Vec::broadcast(half_pi), f * rest);
    rotate_quarters(quarter, cosine, sine);
}

// Computes two normal variates from four words of random bits with the method of Box and Muller.
GAUSSMIX_INLINE void normals(const Random& random, Vec& one, Vec& other) {
    const Vec u = uniform(random.words[0], random.words[1], kLeastUniform);
    const Vec radius = sqrt(Vec::broadcast(-2) * log(u));
    Vec cosine, sine;
    cosine_and_sine(uniform(random.words[2], random.words[3], 0), cosine, sine);
    one = radius * cosine;
    other = radius * sine;
}

}  // namespace gaussmix::GAUSSMIX_ISA
