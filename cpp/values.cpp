#include "values.hpp"

#include <cmath>

namespace gaussmix {

double exponential(double x) {
    // log 2 as a sum of two numbers; kLn2High ends in zero bits, so that power * kLn2High is exact
    constexpr double kLn2High = 0.693147180369123816490, kLn2Low = 1.90821492927058770002e-10;
    const double power = std::nearbyint(x / (kLn2High + kLn2Low));
    const double rest = (x - power * kLn2High) - power * kLn2Low;
    double series = 1;
    // Because |rest| < 0.35, the omitted terms of the series are below 2^-62.
    for (int n = 14; n > 0; --n) series = 1 + rest / n * series;
    return std::ldexp(series, static_cast<int>(power));
}

double log_of(const KernelTable& kernels, double x) {
    double result;
    kernels.log(&x, 1, &result);
    return result;
}

double sum(const double* values, Index count) {
    double total = 0;
    for (Index i = 0; i < count; ++i) total += values[i];
    return total;
}

void normalise(Values& weights) {
    const double total = sum(weights.data(), static_cast<Index>(weights.size()));
    for (double& weight : weights) weight /= total;
}

double sum_in_pairs(const double* values, Index count) {
    // NumPy adds fewer than 8 values one by one, and at most 128 values in 8 partial sums. It divides more values into
    // two parts of nearly equal size, and adds the sums of both parts. The size of the first part is a multiple of 8.
    if (count < 8) return sum(values, count);
    if (count > 128) {
        const Index half = count / 16 * 8;
        return sum_in_pairs(values, half) + sum_in_pairs(values + half, count - half);
    }
    double partial[8] = {};
    Index i = 0;
    for (; i + 8 <= count; i += 8) {
        for (Index j = 0; j < 8; ++j) partial[j] += values[i + j];
    }
    double total = ((partial[0] + partial[1]) + (partial[2] + partial[3])) +
                   ((partial[4] + partial[5]) + (partial[6] + partial[7]));
    for (; i < count; ++i) total += values[i];
    return total;
}

}  // namespace gaussmix
