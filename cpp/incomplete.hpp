// Passes over rows with missing cells and errors. Of the parameters, log_scale are the logarithms of the weights.
#pragma once
#include <cstdint>
#include <vector>

#include "spans.hpp"

namespace gaussmix {

// The rows in the order of their missing cells, and the number of each pattern in its leaf; empty at first.
struct Patterns {
    std::vector<std::uint16_t> indices, pattern;
};

// Sums moments of the true rows: their means and covariances given what is seen. False if interrupted. Passes over the
// same rows may share the patterns, which the first one finds.
bool step_incomplete(const KernelTable& kernels, IncompleteView task, const ParametersView& parameters,
                     const Execution& execution, MomentsView out, Patterns* patterns = nullptr);

// Writes log p(x, k), (n_rows, n_components). False if interrupted.
bool evaluate_incomplete(const KernelTable& kernels, IncompleteView task, const ParametersView& parameters,
                         const Execution& execution, double* out);

// Writes means (n_rows, n_features) and covariances (n_rows, n_features, n_features) of the true rows. False if
// interrupted.
bool denoise(const KernelTable& kernels, const IncompleteView& task, const ParametersView& parameters,
             const Execution& execution, double* means, double* covariances);

}  // namespace gaussmix
