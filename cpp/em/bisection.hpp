// Splits of components: EM with two components on the rows of one component. The rows are whitened first, so that the
// shape of the group does not decide the cuts.
#pragma once
#include <vector>

#include "run_em.hpp"

namespace gaussmix {

constexpr double kRidge = 1e-9;        // added to the variances of a half; the whole group has variance 1
constexpr double kLeastWeight = 0.02;  // least weight of a half
constexpr double kResolved = 0x1p-26;  // least spread of a feature, relative to its size

struct GroupView {  // rows of a component, in C order
    Index n_rows, n_features;
    const double* rows;
    const double* weight;  // (n_rows,), sums to 1
};

struct Bisection {
    double gain;       // gain over one component, nats per unit of weight; -inf if a half has hardly any rows
    bool is_full;      // whether halves have full covariances; otherwise variances only
    Values middle;     // (n_features,)
    Values whitening;  // (n_features, n_features), or (n_features,) without covariances
    Mixture mixture;   // mixture of the whitened rows
};

// Runs EM with two components from a cut; `is_second`, (n_rows,), marks the rows of the second half. Returns the
// log-likelihood, or -inf if a half has less than the least weight.
double end_of_em(const KernelTable& kernels, const GroupView& group, const Algebra& algebra, const double* ridge,
                 const std::vector<bool>& is_second, const Execution& execution, Mixture& mixture,
                 double least = kLeastWeight);

struct Cuts {
    // (1 + n_features,), random numbers in [0, 1): the position of the cut in a random direction, and this direction.
    // If it is null, a single cut of rows far from the mean from near rows replaces the random cut and the cut across
    // the longest axis.
    const double* random;
    bool has_heavy = false;  // whether a further cut separates the heaviest row from the others
    // whether a further cut separates far rows from near ones along the axis with the farthest row
    bool has_tails = false;
    double least_weight = kLeastWeight;
};

// Splits a group from each cut, and returns the best split. `scale`, (n_features,), holds the units in which axes are
// compared.
Bisection bisect(const KernelTable& kernels, const GroupView& group, bool is_full, const double* scale,
                 const Cuts& cuts, const Execution& execution);

// Returns responsibilities of the first half, (n_rows,), for rows in data units. Empty if interrupted.
Values first_responsibility(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                            const Execution& execution);

// Returns gains of log density over one component, nats, (n_rows,), for rows in data units. Empty if interrupted.
Values gains(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
             const Execution& execution);

}  // namespace gaussmix
