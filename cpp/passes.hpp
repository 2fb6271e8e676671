// One pass over the rows with the kernels of one instruction set: allocates, packs, runs the spans and unpacks.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Sums responsibility-weighted moments. Returns false if interrupted.
bool step(const KernelTable& kernels, const StepView& task, const ParametersView& parameters,
          const Execution& execution, MomentsView out);

// Sums moments of rows that have few candidate components each, and updates their candidates. Rows are visited in the
// order of `rank`, (n_components,), of their most probable component, so that consecutive rows have candidates in
// common. Returns false if interrupted.
bool step_truncated(const KernelTable& kernels, TruncatedView task, const ParametersView& parameters,
                    const std::int32_t* rank, const Execution& execution, MomentsView out);

// Writes one result for each row. Returns false if interrupted.
bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out);

// Counts the panels that the scores fill.
void count_scores(ScoresView& task);

// Sums products of scores between all entries of their panels: (n_all, n_all) and (n_components, n_own, n_own). The
// scores of very distant rows are not correct. Returns false if interrupted.
bool add_scores(const KernelTable& kernels, const ScoresView& task, const ParametersView& parameters,
                const Execution& execution, double* all, double* own);

// Measures how components moved between two steps, (n_components,) each. Returns false if interrupted.
bool measure_motion(const KernelTable& kernels, const Shape& shape, const ParametersView& before,
                    const ParametersView& after, float* ratio, float* shift, Interrupt& interrupt);

// Computes whitening factors of covariances (count, n_features, n_features) and their log |det|, and marks the failed
// ones. Returns false if interrupted.
bool factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed, Interrupt& interrupt);

// Computes W' W of factors W (count, n_features, n_features). Returns false if interrupted.
bool gram(const KernelTable& kernels, Index count, Index n_features, const double* factors, double* out,
          Interrupt& interrupt);

}  // namespace gaussmix
