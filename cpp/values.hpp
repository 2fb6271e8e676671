// Arrays of numbers, sorted indices, random numbers, and functions that give the same bits on every platform: sums,
// the logarithm and the exponential.
#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

using Values = std::vector<double>;

inline Values zeros(Index count) { return Values(count); }

// Returns the indices from 0 to count - 1 in ascending order of `value_of`. Equal values keep the order of the indices.
template <class Function>
std::vector<Index> sorted_indices(Index count, Function&& value_of) {
    std::vector<Index> order(count);
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return value_of(a) < value_of(b); });
    return order;
}

// Returns the index of the largest value (the first index if several values are equal).
inline Index argmax(const Values& values) { return std::max_element(values.begin(), values.end()) - values.begin(); }

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

// Divides the weights by their sum.
void normalise(Values& weights);

// Returns log x. A kernel computes it, because the results of the C library's log differ between platforms.
double log_of(const KernelTable& kernels, double x);

// Sums values in the same order as NumPy (pairwise, in runs of eight), because the Python code computes some of the
// same sums with NumPy.
double sum_in_pairs(const double* values, Index count);

// Computes e^x for |x| < 700 with basic arithmetic, because the results of the C library's exp differ
// between platforms.
double exponential(double x);

}  // namespace gaussmix
