// Births of components in variational Bayes: a component is split into two halves, which are computed from a sample of
// the rows.
#pragma once
#include <optional>

#include "bisection.hpp"

namespace gaussmix {

constexpr Index kMinRowsSplit = 2;  // minimum number of distinct rows of a component that may be split
// minimum weight of a half, as a fraction of the weight of both halves, if a few distant rows are split off
constexpr double kMinTailWeight = 1e-9;

struct SampleView {  // distinct rows of a sample
    Index n_features;
    const double* rows;       // (n_rows, n_features), C-contiguous; means of features replace missing values
    const double* weight;     // (n_rows,)
    const bool* is_complete;  // whether a row has no missing value, (n_rows,); null if all rows are complete
    const double* scale;      // standard deviation of each feature, (n_features,)
};

// Number of random numbers that `split_component` uses.
constexpr Index n_cut_draws(Index n_features) { return 3 * (1 + n_features); }

// Splits a component with the given rows in two. Returns the weights of both halves, which sum to 1, their means, and
// their covariance matrices, variances, or mean variances (`second`). Returns nothing if no split is found, or if
// interrupted. `uniform`, (n_cut_draws,), are random numbers in [0, 1) that decide where the component is cut.
//
// A split along the longest principal axes is determined from every second row. If such a split lowers the density of
// the other rows, the component is instead split into a narrow component within a wide component, which suits
// distributions with long tails. If there are few rows, or if one row has the weight of many rows, all rows determine
// the split. If no split is found, the function tries to split off a few distant rows.
std::optional<Mixture> split_component(const KernelTable& kernels, const SampleView& sample, Second second,
                                       const Indices& rows, const double* uniform, const Execution& execution);

}  // namespace gaussmix
