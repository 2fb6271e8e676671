// Arrays of numbers, and functions that give the same bits on every platform: sums and the exponential.
#pragma once
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

using Values = std::vector<double>;

inline Values zeros(Index count) { return Values(count); }

double sum(const double* values, Index count);

// Sums values in the same order as NumPy (pairwise, in runs of eight), because the Python code computes some of the
// same sums with NumPy.
double sum_in_pairs(const double* values, Index count);

// Computes e^x for |x| < 700 with basic arithmetic, because the results of the C library's exp differ
// between platforms.
double exponential(double x);

}  // namespace gaussmix
