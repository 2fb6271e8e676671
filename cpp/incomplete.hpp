// Passes over rows with missing values or measurement errors. In all functions, `parameters.log_scale` holds the
// logarithms of the weights.
#pragma once
#include <cstdint>
#include <vector>

#include "spans.hpp"

namespace gaussmix {

// Order of the rows by their patterns of missing values, and the index of each row's pattern within its leaf (block of
// 65,520 rows). `indices` and `pattern` are empty until the first pass has computed these arrays.
struct Patterns {
    std::vector<std::uint16_t> indices, pattern;
};

// Sums moments of the latent rows, which are all rows as they would be without missing values and measurement errors.
// The moments are computed from the conditional means and covariances of the latent rows, given the observed values.
// Several passes over the same rows may use the same `patterns`, which the first pass fills. Returns false on
// interrupt.
bool step_incomplete(const KernelTable& kernels, IncompleteView task, const ParametersView& parameters,
                     const Execution& execution, MomentsView out, Patterns* patterns = nullptr);

// Writes log p(x, k), the joint log density of each row's observed values x and component k, (n_rows, n_components).
// Returns false if interrupted.
bool evaluate_incomplete(const KernelTable& kernels, IncompleteView task, const ParametersView& parameters,
                         const Execution& execution, double* out);

// Writes the conditional means (n_rows, n_features) and covariances (n_rows, n_features, n_features) of the latent
// rows, given the observed values. Returns false if interrupted.
bool denoise(const KernelTable& kernels, const IncompleteView& task, const ParametersView& parameters,
             const Execution& execution, double* means, double* covariances);

}  // namespace gaussmix
