// Splits a component into two halves by EM with two components on the rows of that component. The rows are whitened
// first, so that the initial cuts between the halves do not depend on the scale and shape of the component.
#pragma once
#include <vector>

#include "run_em.hpp"

namespace gaussmix {

// added to the variances of each half; the whole group has variance 1 after scaling
constexpr double kRidge = 1e-9;
constexpr double kLeastWeight = 0.02;  // smallest weight of a half, as a fraction of the group's weight
constexpr double kResolved = 0x1p-26;  // smallest spread of a feature, relative to its largest absolute value

struct GroupView {  // rows of the component to split, C-contiguous
    Index n_rows, n_features;
    const double* rows;
    const double* weight;  // (n_rows,), sums to 1
};

struct Bisection {
    // gain in log-likelihood over a single component, in nats per unit of weight; -inf if a half has too little weight
    double gain;
    bool is_full;      // whether the halves have full covariances; otherwise they have variances only
    Values middle;     // (n_features,)
    Values whitening;  // (n_features, n_features), or (n_features,) if the halves have variances only
    Mixture mixture;   // two components, fitted to the whitened rows
};

// Runs EM with two components, starting from a cut of the rows into two halves; `is_second`, (n_rows,), marks the rows
// of the second half. Returns the log-likelihood, or -inf if the weight of a half falls below `least`.
double end_of_em(const KernelTable& kernels, const GroupView& group, const Algebra& algebra, const double* ridge,
                 const std::vector<bool>& is_second, const Execution& execution, Mixture& mixture,
                 double least = kLeastWeight);

struct Cuts {
    // (1 + n_features,), random numbers in [0, 1): first for the position of a random cut, and then for the direction
    // of this cut. If `random` is null, one cut that separates rows far from the mean from rows near it replaces both
    // the random cut and the cut across the longest axis.
    const double* random;
    bool has_heavy = false;  // whether a further cut separates the row with the largest weight from the other rows
    // whether a further cut separates far rows from near rows along the axis of the farthest row
    bool has_tails = false;
    double least_weight = kLeastWeight;
};

// Splits a group once from each initial cut, and returns the split with the highest log-likelihood. `scale`,
// (n_features,), holds the units of the features in which the lengths of the group's axes are compared.
Bisection bisect(const KernelTable& kernels, const GroupView& group, bool is_full, const double* scale,
                 const Cuts& cuts, const Execution& execution);

// Returns the responsibility of the first half for each row, (n_rows,). The rows are in the units of the data, not
// whitened. The result is empty if interrupted.
Values first_responsibility(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                            const Execution& execution);

// Returns, for each row (in the units of the data), its log density under the two halves minus its log density under a
// single component, in nats, (n_rows,). The result is empty if interrupted.
Values gains(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
             const Execution& execution);

}  // namespace gaussmix
