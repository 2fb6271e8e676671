// Computes powers of two that scale numbers to about 1 without rounding errors, so that the squares of the scaled
// numbers neither overflow nor underflow.
#pragma once

namespace gaussmix::GAUSSMIX_ISA {

// Returns a power of two near 1 / x for x > 0, and 1 for x = 0. The power and its reciprocal are normal numbers.
inline double power_of_two_near_reciprocal(double x) {
    constexpr int kFurthest = 1000;
    int exponent = 0;
    (void)__builtin_frexp(x, &exponent);
    exponent = exponent > kFurthest ? kFurthest : exponent < -kFurthest ? -kFurthest : exponent;
    return __builtin_ldexp(1, -exponent);
}

}  // namespace gaussmix::GAUSSMIX_ISA
