#include "subsample.hpp"

#include <algorithm>

namespace gaussmix {

namespace {

// Returns the indices of two rows for each feature: the first row with the smallest value, and the first row with the
// largest value.
Indices extreme_rows(const double* rows, Index n_rows, Index d) {
    Indices extremes(2 * d);
    Values low(rows, rows + d), high(low);
    for (Index row = 1; row < n_rows; ++row) {
        for (Index j = 0; j < d; ++j) {
            const double number = rows[row * d + j];
            if (number < low[j]) low[j] = number, extremes[j] = row;
            if (number > high[j]) high[j] = number, extremes[d + j] = row;
        }
    }
    return extremes;
}

}  // namespace

SharedSample all_rows(const KernelTable& kernels, const EmView& em, const Execution& execution) {
    auto sample = std::make_shared<RowSample>();
    sample->em = em;
    find_total(kernels, sample->em, execution, sample->total);
    return sample;
}

SharedSample draw_subsample(const KernelTable& kernels, const SharedSample& from, Index n_wanted,
                            std::optional<double> offset, const Execution& execution) {
    if (!offset) return from;
    const Index n_rows = from->em.rows.n_rows, d = from->em.rows.n_features;
    const auto* rows = static_cast<const double*>(from->em.rows.data);
    const double* weight = from->em.row_weight.data;
    const auto n_steps = static_cast<double>(n_wanted);
    const double step = from->em.total_weight / n_steps;
    Values new_weight = zeros(n_rows);  // how often each row is drawn
    double cumulative_weight = 0, n_drawn = 0;
    for (Index row = 0; row < n_rows; ++row) {
        cumulative_weight += weight[row];
        for (; n_drawn < n_steps && (n_drawn + *offset) * step < cumulative_weight; ++n_drawn) ++new_weight[row];
    }
    if (from->extremes.empty()) from->extremes = extreme_rows(rows, n_rows, d);
    for (const Index row : from->extremes) new_weight[row] = std::max(new_weight[row], weight[row] / step);
    auto sample = std::make_shared<RowSample>();
    for (Index row = 0; row < n_rows; ++row) {
        if (!(new_weight[row] > 0)) continue;
        sample->rows.insert(sample->rows.end(), rows + row * d, rows + (row + 1) * d);
        sample->weight.push_back(new_weight[row]);
    }
    const auto n_selected = static_cast<Index>(sample->weight.size());
    sample->em = from->em;
    sample->em.rows = plain_rows(sample->rows.data(), n_selected, d);
    sample->em.row_weight = {sample->weight.data(), 1};
    sample->em.total_weight = sum_in_pairs(sample->weight.data(), n_selected);
    sample->em.total = {};
    find_total(kernels, sample->em, execution, sample->total);
    return sample;
}

}  // namespace gaussmix
