// exp and log of sixteen lanes of float, from explicit FMAs alone, as in exp_log.hpp.
//
//   exp(x) = 2^n e^r,  n = round(x / ln 2),  |r| <= ln(2)/2          1 + r + r^2 q(r), q of degree 4 (3e-9); 0.99 ulp
//   log(x) = e ln 2 + log(1 + f)                                     fdlibm's polynomial in s = f/(2 + f); 0.84 ulp
#pragma once
#include "simd/simd.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Minimises the largest relative error of the exponential (Lawson's iteration in 40 digits).
constexpr Real kExpTerms[5] = {0x1.6a2434p-10f, 0x1.1239e2p-7f, 0x1.5558f2p-5f, 0x1.555492p-3f, 0x1.fffffcp-2f};
constexpr Real kLogTerms[4] = {0x1.555554p-1f, 0x1.999c26p-2f, 0x1.23d3dcp-2f, 0x1.f13c4cp-3f};

// For -87 <= x <= 0; below, the lanes hold anything and the caller masks them.
GAUSSMIX_INLINE Vec exp_normal(Vec x) {
    constexpr Real twos_per_nat = 0x1.715476p+0f, round_to_integer = 0x1.8p23f;
    constexpr Real ln2_high = 0x1.62e400p-1f, ln2_low = 0x1.7f7d1cp-20f;  // n ln2_high is exact
    const Vec index = fma(x, Vec::broadcast(twos_per_nat), Vec::broadcast(round_to_integer));
    const Vec n = index - Vec::broadcast(round_to_integer);
    const Vec r = fma(n, Vec::broadcast(-ln2_low), fma(n, Vec::broadcast(-ln2_high), x));
    Vec q = Vec::broadcast(kExpTerms[0]);
    GAUSSMIX_UNROLL for (int i = 1; i < 5; ++i) q = fma(q, r, Vec::broadcast(kExpTerms[i]));
    return scale_by_twos(Vec::broadcast(1) + fma(r * r, q, r), index);
}

// For normal x > 0, and -inf for 0.
GAUSSMIX_INLINE Vec log(Vec x) {
    constexpr Real ln2_high = 0x1.62e300p-1f, ln2_low = 0x1.2fefa2p-17f;
    Vec fraction, exponent;
    split(x, fraction, exponent);
    const Vec f = fraction - Vec::broadcast(1);
    const Vec s = f / (Vec::broadcast(2) + f);
    const Vec z = s * s;
    Vec p = Vec::broadcast(kLogTerms[3]);
    GAUSSMIX_UNROLL for (int i = 2; i >= 0; --i) p = fma(p, z, Vec::broadcast(kLogTerms[i]));
    const Vec half_square = Vec::broadcast(0.5f) * f * f;
    const Vec correction = fma(s, half_square + z * p, exponent * Vec::broadcast(ln2_low));
    const Vec result = fma(exponent, Vec::broadcast(ln2_high), f - (half_square - correction));
    return select(equal(x, Vec::zero()), Vec::broadcast(-__builtin_inff()), result);
}

}  // namespace gaussmix::GAUSSMIX_ISA
