#include "volume.hpp"

#include <algorithm>
#include <limits>

namespace gaussmix {

namespace {

// log 2 as a sum of two numbers; n * kLn2High is exact for all integers n that occur in `exponential`
constexpr double kLn2High = 0.693147180369123816490, kLn2Low = 1.90821492927058770002e-10;

}  // namespace

double exponential(double x) {
    const double power = std::nearbyint(x / (kLn2High + kLn2Low));
    const double rest = (x - power * kLn2High) - power * kLn2Low;
    double series = 1;
    // Because |rest| < 0.35, the omitted terms of the series are below 2^-62.
    for (int n = 14; n > 0; --n) series = 1 + rest / n * series;
    return std::ldexp(series, static_cast<int>(power));
}

double sum(const double* values, Index count) {
    double total = 0;
    for (Index i = 0; i < count; ++i) total += values[i];
    return total;
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

Values geometric_means(const KernelTable& kernels, const double* variances, Index n, Index d) {
    Values relative = room(n * d), means = room(n);
    for (Index k = 0; k < n; ++k) {
        const double* v = variances + k * d;
        bool is_usable = true;
        for (Index j = 0; j < d; ++j) is_usable &= v[j] > 0;
        double size = is_usable ? sum(v, d) / static_cast<double>(d) : 0;
        const auto [smallest, largest] = std::minmax_element(v, v + d);
        // A variance divided by a far larger mean variance would underflow.
        if (is_usable && *smallest / size < std::numeric_limits<double>::min())
            size = std::sqrt(*smallest) * std::sqrt(*largest);
        means[k] = size;
        for (Index j = 0; j < d; ++j) relative[k * d + j] = is_usable ? v[j] / size : 1;
    }
    kernels.log(relative.data(), n * d, relative.data());
    for (Index k = 0; k < n; ++k) {
        means[k] *= exponential(sum(relative.data() + k * d, d) / static_cast<double>(d));
    }
    return means;
}

Values equal_volumes(const Values& roots, const double* mass) {
    const Index count = static_cast<Index>(roots.size());
    const double volume = sum(roots.data(), count) / sum(mass, count);
    Values factors;
    for (Index k = 0; k < count; ++k) {
        const double root = roots[k];
        factors.push_back(root > 0 ? volume / root : 1 / mass[k]);
    }
    return factors;
}

}  // namespace gaussmix
