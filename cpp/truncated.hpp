// One pass of truncated EM with the kernels of one instruction set.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Sums moments of rows that few components share, and renews the candidates of the rows. Rows are visited in the order of
// `rank`, (n_components,), of their likeliest component, so that consecutive rows have candidates in common. False
// if interrupted.
bool step_truncated(const KernelTable& kernels, TruncatedView task, const ParametersView& parameters,
                    const std::int32_t* rank, const Execution& execution, MomentsView out);

}  // namespace gaussmix
