// One pass over the rows with the kernels of one instruction set: allocates, packs, runs the spans, unpacks.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Sums responsibility-weighted moments. False if interrupted.
bool step(const KernelTable& kernels, const StepView& task, const ParametersView& parameters,
          const Execution& execution, MomentsView out);

// Sums moments of rows that few components share, and renews the candidates of the rows. Rows are visited in the order of
// `rank`, (n_components,), of their likeliest component, so that consecutive rows have candidates in common. False
// if interrupted.
bool step_truncated(const KernelTable& kernels, TruncatedView task, const ParametersView& parameters,
                    const std::int32_t* rank, const Execution& execution, MomentsView out);

// Writes one result for each row. False if interrupted.
bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out);

// Finds out how many panels the scores fill.
void count_scores(ScoresView& task);

// Sums products of scores, for each number of their panels: (n_all, n_all) and (n_components, n_own, n_own). The
// scores of far rows are not right. False if interrupted.
bool add_scores(const KernelTable& kernels, const ScoresView& task, const ParametersView& parameters,
                const Execution& execution, double* all, double* own);

// How components moved between two steps, (n_components,) each. False if interrupted.
bool measure_motion(const KernelTable& kernels, const Shape& shape, const ParametersView& before,
                    const ParametersView& after, float* ratio, float* shift, Interrupt& interrupt);

// Whitening factors of covariances (count, n_features, n_features), their log |det|, and which of them failed. False if
// interrupted.
bool factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed, Interrupt& interrupt);

// W' W of factors W (count, n_features, n_features). False if interrupted.
bool gram(const KernelTable& kernels, Index count, Index n_features, const double* factors, double* out,
          Interrupt& interrupt);

}  // namespace gaussmix
