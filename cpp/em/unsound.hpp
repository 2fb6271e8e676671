// Unsound components, which fit few rows so closely that their log-likelihood is misleadingly high.
#pragma once
#include "ascent.hpp"

namespace gaussmix {

// Counts unsound components: components with too few distinct rows, and components that have few distinct rows and a
// covariance that is nearly singular compared with the mean covariance before the first move. `n_rows` is the number of
// rows of each component, (n_components,).
Index count_unsound(const KernelTable& kernels, const AscentView& task, const Mixture& mixture, const Values& n_rows,
                    const Execution& execution);

}  // namespace gaussmix
