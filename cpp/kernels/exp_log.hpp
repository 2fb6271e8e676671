// Computes exp and log in eight lanes. FMAs are used only where the code calls `fma`, so that every instruction set
// gives bit-identical results.
//
// The formula for exp is exp(x) = 2^(n/8) e^r with n = round(8 x / ln 2) and |r| <= ln(2)/16. Each number 2^(j/8) is
// stored as the sum of two doubles, and e^r is approximated by a polynomial of degree 7; the error of exp is at most
// 0.7 ulp. For x = 2^e (1 + f), log(x) is computed as e ln 2 + log(1 + f), with fdlibm's polynomial in s = f/(2 + f);
// the error of log is below 1 ulp.
#pragma once
#include "../kernel_table.hpp"
#include "simd/simd.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// The numbers 2^(j/8), and their rounding errors 2^(j/8) - kRootOfTwo[j].
alignas(64) constexpr double kRootOfTwo[8] = {0x1.0000000000000p+0, 0x1.172b83c7d517bp+0, 0x1.306fe0a31b715p+0,
                                              0x1.4bfdad5362a27p+0, 0x1.6a09e667f3bcdp+0, 0x1.8ace5422aa0dbp+0,
                                              0x1.ae89f995ad3adp+0, 0x1.d5818dcfba487p+0};
alignas(64) constexpr double kRootOfTwoRest[8] = {0,
                                                  -0x1.19041b9d78a76p-55,
                                                  0x1.6f46ad23182e4p-55,
                                                  0x1.d4397afec42e2p-56,
                                                  -0x1.bdd3413b26456p-54,
                                                  0x1.6e9f156864b27p-54,
                                                  0x1.7a1cd345dcc81p-54,
                                                  0x1.2ed02d75b3707p-55};
// coefficients of r^7 to r^2 in the polynomial for e^r
constexpr double kExpTerms[6] = {0x1.a01e2bdf9010cp-13, 0x1.6c1b70f4cae2ep-10, 0x1.1111110e10a35p-7,
                                 0x1.5555554e945c0p-5,  0x1.555555555556ap-3,  0x1.000000000002ep-1};
// fdlibm's coefficients Lg1 to Lg7
constexpr double kLogTerms[7] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                                 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                                 1.479819860511658591e-01};
constexpr double kLeastExponent = -708;  // if x is at least this value, e^x is a normal number

// Computes e^x for kLeastExponent <= x <= 0. If x is less than kLeastExponent, the result is arbitrary, and the caller
// must mask the lane.
GAUSSMIX_INLINE Vec exp_normal(Vec x) {
    constexpr double eighths_per_nat = 0x1.71547652b82fep+3, round_to_integer = 0x1.8p52;
    constexpr double eighth_high = 0x1.62e42fef00000p-4, eighth_low = 0x1.473de6af278edp-37;  // the sum is ln(2) / 8
    const Vec index = fma(x, Vec::broadcast(eighths_per_nat), Vec::broadcast(round_to_integer));
    const Vec n = index - Vec::broadcast(round_to_integer);
    const Vec r = fma(n, Vec::broadcast(-eighth_low), fma(n, Vec::broadcast(-eighth_high), x));
    const auto pair = [&](int i) { return fma(Vec::broadcast(kExpTerms[i]), r, Vec::broadcast(kExpTerms[i + 1])); };
    // Adding terms in pairs takes as many operations as Horner's method, but the longest chain of dependent operations
    // is shorter.
    const Vec square = r * r;
    const Vec p = fma(square, fma(fma(pair(0), square, pair(2)), square, pair(4)), r);
    const Vec root = lookup(kRootOfTwo, index);
    return scale_by_eighths(root + fma(root, p, lookup(kRootOfTwoRest, index)), index);
}

// Computes e^x for any x <= 0; the result may be a subnormal number or zero.
GAUSSMIX_INLINE Vec exp(Vec x) {
    const Vec least = Vec::broadcast(kLeastExponent);
    const Mask is_tiny = less(x, least);
    if (!any(is_tiny)) return exp_normal(x);
    const Vec half = exp_normal(max(x * Vec::broadcast(0.5), least));
    return select(is_tiny, half * half, exp_normal(x));
}

// Computes log x for normal x > 0, and -inf for 0.
GAUSSMIX_INLINE Vec log(Vec x) {
    constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    Vec fraction, exponent;
    split(x, fraction, exponent);
    const Vec f = fraction - Vec::broadcast(1);
    const Vec s = f / (Vec::broadcast(2) + f);
    const Vec z = s * s;
    Vec p = Vec::broadcast(kLogTerms[6]);
    GAUSSMIX_UNROLL for (int i = 5; i >= 0; --i) p = fma(p, z, Vec::broadcast(kLogTerms[i]));
    const Vec half_square = Vec::broadcast(0.5) * f * f;
    const Vec correction = fma(s, half_square + z * p, exponent * Vec::broadcast(ln2_low));
    const Vec result = fma(exponent, Vec::broadcast(ln2_high), f - (half_square - correction));
    return select(equal(x, Vec::zero()), Vec::broadcast(-__builtin_inf()), result);
}

// Computes log x for any x: a subnormal x is first scaled to a normal number, and a negative x gives NaN.
GAUSSMIX_INLINE Vec log_of_any(Vec x) {
    constexpr double scale = 0x1p54, log_scale = 0x1.2b708872320e2p+5;
    const Mask is_small = less(x, Vec::broadcast(__DBL_MIN__));
    const Vec result = log(select(is_small, x * Vec::broadcast(scale), x)) - keep(is_small, Vec::broadcast(log_scale));
    const Vec finite = select(less(Vec::broadcast(__DBL_MAX__), x), x, result);
    const Vec real = select(less(x, Vec::zero()), Vec::broadcast(__builtin_nan("")), finite);
    return select(equal(x, x), real, x);
}

inline void log_each(const double* values, Index count, double* out) noexcept {
    for (; count > 0; count -= kLanes, values += kLanes, out += kLanes) {
        const int n_lanes = count < kLanes ? static_cast<int>(count) : kLanes;
        log_of_any(Vec::load_head(values, n_lanes)).store_head(out, n_lanes);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
