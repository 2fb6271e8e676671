// Weighted subsamples of the rows. A split-and-merge search tries its moves on subsamples, because a move takes less
// time with fewer rows.
#pragma once
#include <memory>
#include <optional>

#include "run_em.hpp"

namespace gaussmix {

struct RowSample {             // all rows, or a weighted subsample of the rows
    EmView em;                 // EM on these rows
    Values rows, weight;       // memory of `em.rows` and `em.row_weight` of a subsample
    TotalMoments total;        // memory of `em.total`
    mutable Indices extremes;  // result of `extreme_rows`, computed when `draw_subsample` first needs it
};
using SharedSample = std::shared_ptr<const RowSample>;

// Returns a sample that consists of all rows.
SharedSample all_rows(const KernelTable& kernels, const EmView& em, const Execution& execution);

// Draws about `n_wanted` rows by systematic sampling: rows are taken at equal steps of the cumulative weight. The first
// row is at `offset`, in [0, 1), times the step. The rows with the smallest or largest value of a feature are added, so
// that the subsample contains all extreme outliers. Returns `from` if there is no offset.
SharedSample draw_subsample(const KernelTable& kernels, const SharedSample& from, Index n_wanted,
                            std::optional<double> offset, const Execution& execution);

}  // namespace gaussmix
