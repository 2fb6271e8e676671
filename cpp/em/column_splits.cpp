#include "column_splits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "bisection.hpp"

namespace gaussmix {

struct ColumnSplits::Group {  // rows of a component, and their weights, which sum to 1
    Values rows, weight;
    Index heaviest;  // index of the row with the largest weight
    double mean, variance;
    double square(Index i) const { return (rows[i] - mean) * (rows[i] - mean); }
    GroupView view() const { return {static_cast<Index>(rows.size()), 1, rows.data(), weight.data()}; }
    // Checks whether some row is so far from the mean that a component at this row must have a smaller weight than
    // kMinSplitWeight.
    bool has_tails() const {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (square(i) * kMinSplitWeight > variance) return true;
        }
        return false;
    }
};

namespace {

constexpr Index kMaxSplitRows = 400;  // maximum number of rows to which splits are fitted, except splits with tails

// Returns at most kMaxSplitRows of the given row indices, which are in ascending order. The returned indices are
// taken from evenly spaced positions. The row with the largest weight, `heaviest`, is always included.
Indices choose_rows(const Indices& indices, Index heaviest) {
    const Index n_all = static_cast<Index>(indices.size()), n_used = std::min(n_all, kMaxSplitRows);
    Indices some(n_used);
    for (Index i = 0; i < n_used; ++i) some[i] = indices[(2 * i + 1) * n_all / (2 * n_used)];
    const Index next = std::lower_bound(some.begin(), some.end(), heaviest) - some.begin();
    // If the row with the largest weight is not yet selected, it replaces a neighbouring selected row.
    some[std::min(n_used - 1, next)] = heaviest;
    return some;
}

}  // namespace

ColumnSplits::ColumnSplits(const KernelTable& kernels, const ColumnView& task, const Execution& execution)
    : kernels_(kernels),
      algebra_(task.em.algebra),
      execution_(execution),
      rows_(static_cast<const double*>(task.em.rows.data)),
      weight_(task.em.row_weight.data) {
    double mean = 0, square = 0;
    for (Index i = 0; i < task.em.rows.n_rows; ++i) mean += weight_[i] * rows_[i] / task.em.total_weight;
    for (Index i = 0; i < task.em.rows.n_rows; ++i) {
        square += weight_[i] * (rows_[i] - mean) * (rows_[i] - mean) / task.em.total_weight;
    }
    scale_ = std::sqrt(std::max(square, std::numeric_limits<double>::min()));
}

std::optional<Mixture> ColumnSplits::parts_of(const Indices& indices, const double* cut) const {
    const Index heaviest =
        *std::max_element(indices.begin(), indices.end(), [&](Index a, Index b) { return weight_[a] < weight_[b]; });
    const Group sample = gathered(choose_rows(indices, heaviest), heaviest), all = gathered(indices, heaviest);
    const Bisection bisection = bisect(kernels_, sample.view(), true, &scale_, {cut}, execution_);
    Mixture parts(algebra_, 2, 1), tails(algebra_, 2, 1);
    const double nested_gain = best_nested_pair(sample, kMinSplitWeight, parts);
    // The sample may lack the rows in the tails, so a pair that needs a very small weight is fitted to all rows.
    const double tails_gain = all.has_tails() ? best_nested_pair(all, kMinTailWeight, tails) : -kInfinity;
    if (tails_gain > std::max({0.0, nested_gain, bisection.gain})) return tails;
    if (nested_gain > bisection.gain) return parts;
    // The halves were fitted to whitened rows, and are converted to the units of the data.
    if (!(bisection.gain > 0 && bisection.gain < kInfinity)) return std::nullopt;
    const double unit = bisection.whitening[0];
    for (int i = 0; i < 2; ++i) {
        parts.weights[i] = bisection.mixture.weights[i];
        parts.means[i] = bisection.middle[0] + bisection.mixture.means[i] / unit;
        parts.covariances[i] = bisection.mixture.covariances[i] / (unit * unit);
    }
    return parts;
}

ColumnSplits::Group ColumnSplits::gathered(const Indices& indices, Index heaviest) const {
    Group group{{}, {}, std::lower_bound(indices.begin(), indices.end(), heaviest) - indices.begin(), 0, 0};
    for (const Index index : indices) group.rows.push_back(rows_[index]), group.weight.push_back(weight_[index]);
    const double total = sum(group.weight.data(), static_cast<Index>(indices.size()));
    for (double& weight : group.weight) weight /= total;
    for (std::size_t i = 0; i < indices.size(); ++i) group.mean += group.weight[i] * group.rows[i];
    for (std::size_t i = 0; i < indices.size(); ++i) group.variance += group.weight[i] * group.square(i);
    return group;
}

// Fits two pairs of components that do not lie side by side: a narrow component within a wide component (for heavy
// tails), and one component for the heaviest row with another component for all other rows. Returns the gain of the
// better pair over a single component, in nats per unit of weight.
double ColumnSplits::best_nested_pair(const Group& group, double least, Mixture& parts) const {
    double log_variance;
    if (!(group.variance > 0)) return -kInfinity;
    kernels_.log(&group.variance, 1, &log_variance);
    std::vector<bool> is_outer, is_other;
    for (std::size_t i = 0; i < group.rows.size(); ++i) {
        is_outer.push_back(!(group.square(i) < group.variance));
        is_other.push_back(group.rows[i] != group.rows[group.heaviest]);
    }
    const double ridge = kRidge * group.variance;
    const auto converge_from = [&](const std::vector<bool>& is_second, Mixture& mixture) {
        return end_of_em(kernels_, group.view(), algebra_, &ridge, is_second, execution_, mixture, least);
    };
    Mixture other = parts;
    const double nested = converge_from(is_outer, parts), alone = converge_from(is_other, other);
    if (alone > nested) parts = other;
    return std::max(nested, alone) + 0.5 * (kLog2Pi + log_variance + 1);
}

}  // namespace gaussmix
