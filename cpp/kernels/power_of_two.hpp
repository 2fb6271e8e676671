// Factors that bring numbers near to 1 without rounding, so that their squares are in the range of double.
#pragma once

namespace gaussmix::GAUSSMIX_ISA {

// For x > 0 returns a power of two near 1 / x; it and its reciprocal are normal numbers. Returns 1 for 0.
inline double power_of_two_near_reciprocal(double x) {
    constexpr int kFurthest = 1000;
    int exponent = 0;
    (void)__builtin_frexp(x, &exponent);
    exponent = exponent > kFurthest ? kFurthest : exponent < -kFurthest ? -kFurthest : exponent;
    return __builtin_ldexp(1, -exponent);
}

}  // namespace gaussmix::GAUSSMIX_ISA
