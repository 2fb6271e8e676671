// Functions that run one pass over the rows with the kernels of one instruction set: they allocate memory, pack
// parameters, process the spans and unpack the results.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Sums the moments of all rows, weighted by responsibilities. Returns false if interrupted.
bool step(const KernelTable& kernels, const StepView& task, const ParametersView& parameters,
          const Execution& execution, MomentsView out);

// Sums the moments of rows that each have few candidate components, and updates the candidates of each row. Rows are
// visited in the order of the rank of their most probable component (see `rank`, (n_components,)), so that consecutive
// rows have candidates in common. Returns false if interrupted.
bool step_truncated(const KernelTable& kernels, TruncatedView task, const ParametersView& parameters,
                    const std::int32_t* rank, const Execution& execution, MomentsView out);

// Writes, for each row, the results that `output` selects, for example a label or a log density. Returns false if
// interrupted.
bool evaluate(const KernelTable& kernels, const Shape& shape, const RowsView& rows, const ParametersView& parameters,
              Output output, const Execution& execution, void* out);

// Sets n_each, n_own and n_all of `task`, which are the numbers of panels (4 values each) that the scores fill.
void count_scores(ScoresView& task);

// Sums the products of all pairs of scores, where scores are padded to whole panels of 4 values. `all`, (n_all, n_all),
// receives the products of the scores of all components; `own`, (n_components, n_own, n_own), receives one matrix for
// each component. Rows that are extremely far from all means get inaccurate scores, which neither this function nor the
// Python code corrects. Returns false if interrupted.
bool add_scores(const KernelTable& kernels, const ScoresView& task, const ParametersView& parameters,
                const Execution& execution, double* all, double* own);

// Measures how far each component moved between two steps, and writes the arrays `ratio` and `shift` for `VisitView`,
// (n_components,). Returns false if interrupted.
bool measure_motion(const KernelTable& kernels, const Shape& shape, const ParametersView& before,
                    const ParametersView& after, float* ratio, float* shift, Interrupt& interrupt);

// Computes the whitening factors of covariances, (count, n_features, n_features), and log |det| of each factor.
// `failed` is true for each covariance that is not positive definite. Returns false if interrupted.
bool factorise(const KernelTable& kernels, Index count, Index n_features, const double* covariances, double* factors,
               double* log_abs_det, bool* failed, Interrupt& interrupt);

// Computes W' W for each factor W of `factors`, (count, n_features, n_features). Returns false if interrupted.
bool gram(const KernelTable& kernels, Index count, Index n_features, const double* factors, double* out,
          Interrupt& interrupt);

}  // namespace gaussmix
