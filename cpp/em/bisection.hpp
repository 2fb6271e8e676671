// Splits a component into two halves by running EM with two components on the rows of this component. The rows are
// whitened first, so that the initial cuts between the halves do not depend on the scale and shape of the component.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

constexpr double kMinSplitWeight = 0.02;  // minimum weight of each half, as a fraction of the weight of both halves
constexpr double kMixed = 0.05;           // initial responsibility of each half for the rows of the other half

struct GroupView {  // C-contiguous rows of the component that is split
    Index n_rows, n_features;
    const double* rows;
    const double* weight;  // weights of the rows, (n_rows,)

    // Calls visit(row, j, value) for each value, where `value` is feature j of a row. Two nested loops visit the
    // values, because a single loop would spend half of the time on divisions that compute the row index.
    template <class Visit>
    void each_value(Visit&& visit) const {
        for (Index row = 0, i = 0; row < n_rows; ++row) {
            for (Index j = 0; j < n_features; ++j, ++i) visit(row, j, rows[i]);
        }
    }
};

// Raises the scale of each feature, where necessary, to the smallest spread that exceeds rounding errors.
Values at_least_rounding(const GroupView& group, Values scale);

// Returns a task for the moments of the rows, or for EM of the two halves. The caller sets the other fields.
EmView view_group(const GroupView& group, bool is_full);

struct Bisection {
    // gain in log-likelihood of the two halves over a single component, in nats per unit of weight; -inf if a half has
    // too little weight
    double gain;
    bool is_full;   // whether the halves have full covariances; otherwise, they have only variances
    Values middle;  // mean of the rows, (n_features,)
    // whitening matrix, (n_features, n_features), or whitening factors, (n_features,), if the halves have variances
    // only
    Values whitening;
    Mixture mixture;  // two components, fitted to the whitened rows; empty if `gain` is -inf
};

struct Cuts {
    // (1 + n_features,), random numbers in [0, 1): the first number decides the position of a random cut, and the other
    // numbers decide the direction of this cut. If `random` is null, the random cut and the cut across the longest axis
    // are replaced by a single cut, which separates the rows far from the mean from the rows near the mean.
    const double* random;
    bool has_heavy = false;  // whether a further cut separates the row with the largest weight from the other rows
    // whether a further cut separates the rows far from the mean from the rows near the mean, along the axis on which
    // some row is farthest from the mean
    bool has_tails = false;
    double least_weight = kMinSplitWeight;
};

// Splits a group of rows, whose weights sum to 1, into two halves, once for each initial cut, and returns the split
// with the highest log-likelihood. Each feature is divided by its element of `scale`, (n_features,), before the lengths
// of the group's axes are compared.
Bisection bisect(const KernelTable& kernels, const GroupView& group, bool is_full, const double* scale,
                 const Cuts& cuts, const Execution& execution);

// Returns the responsibility of the first half for each row, (n_rows,). The rows are in the units of the data, not
// whitened. The result is empty if interrupted.
Values first_responsibility(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                            const Execution& execution);

// Returns the log density of each row under the two halves minus the log density of this row under a single component,
// in nats, (n_rows,). The rows are in the units of the data. The result is empty if interrupted.
Values log_density_gains(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                         const Execution& execution);

}  // namespace gaussmix
