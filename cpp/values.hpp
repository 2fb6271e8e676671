// Arrays of numbers, random numbers, and functions that give the same bits on every platform: sums, the
// logarithm and the exponential.
#pragma once
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

using Values = std::vector<double>;

inline Values zeros(Index count) { return Values(count); }

struct RandomNumbers {  // random numbers in [0, 1), which are used cyclically
    const double* values;
    Index count;
    Index position = 0;  // index of the next random number

    double next() {
        const double number = values[position];
        position = (position + 1) % count;
        return number;
    }
    Values draw(Index n) {
        Values drawn;
        for (Index i = 0; i < n; ++i) drawn.push_back(next());
        return drawn;
    }
};

double sum(const double* values, Index count);

// Returns log x. A kernel computes it, because the results of the C library's log differ between platforms.
double log_of(const KernelTable& kernels, double x);

// Sums values in the same order as NumPy (pairwise, in runs of eight), because the Python code computes some of the
// same sums with NumPy.
double sum_in_pairs(const double* values, Index count);

// Computes e^x for |x| < 700 with basic arithmetic, because the results of the C library's exp differ
// between platforms.
double exponential(double x);

}  // namespace gaussmix
