// Passes over rows with missing cells and errors. Of the parameters, log_scale are the logarithms of the weights.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Sums moments of the true rows: their means and covariances given what is seen. False if interrupted.
bool step_incomplete(const KernelTable& kernels, IncompleteView task, const ParametersView& parameters,
                     const Execution& execution, MomentsView out);

// Writes log p(x, k), (n_rows, n_components). False if interrupted.
bool evaluate_incomplete(const KernelTable& kernels, IncompleteView task, const ParametersView& parameters,
                         const Execution& execution, double* out);

// Writes means (n_rows, n_features) and covariances (n_rows, n_features, n_features) of the true rows. False if
// interrupted.
bool denoise(const KernelTable& kernels, const IncompleteView& task, const ParametersView& parameters,
             const Execution& execution, double* means, double* covariances);

}  // namespace gaussmix
