#include "bisection.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "families/axes.hpp"

namespace gaussmix {

namespace {

constexpr Index kSteps = 5;            // number of EM steps from each initial cut
constexpr double kMinCutWeight = 0.2;  // minimum fraction of the weight on each side of a random cut
// smallest variance along an axis, as a fraction of the largest variance and of the squared unit
constexpr double kMinVarianceRatio = 1e-12;
// ridge that is added to the variances of each half; the rows of both halves together have variance 1 after scaling
constexpr double kRidge = 1e-9;
// minimum scale of a feature, relative to the largest absolute value of this feature
constexpr double kMinRelativeScale = 0x1p-26;

Algebra algebra_of_pair(bool is_full) { return {Across::own, Across::own, is_full ? Across::own : Across::nothing}; }

// Subtracts the weighted mean of the whitened rows of a group, so that a constant feature becomes zero up to rounding.
void subtract_mean(const GroupView& group, Values& rows) {
    Values means = zeros(group.n_features);
    const GroupView white{group.n_rows, group.n_features, rows.data(), group.weight};
    white.each_value([&](Index row, Index j, double value) { means[j] += group.weight[row] * value; });
    white.each_value([&, i = Index{0}](Index, Index j, double value) mutable { rows[i++] = value - means[j]; });
}

// Replaces `second`, the covariance of a group of rows, with a matrix that whitens the rows; if `second` holds only
// variances, they are replaced by factors that scale each feature to variance 1. Returns the variances of the rows,
// with each feature divided by its `unit`, along the axes of the whitened rows.
Values convert_to_whitening(const KernelTable& kernels, bool is_full, Index d, const Values& unit, Values& second,
                            Listener listener) {
    Values variances = zeros(d), axes = zeros(is_full ? d * d : 0);
    if (is_full) {
        for (Index i = 0; i < d * d; ++i) second[i] /= unit[i / d] * unit[i % d];
        principal_axes(kernels, 1, d, second.data(), listener, variances.data(), axes.data());
    } else {
        for (Index j = 0; j < d; ++j) variances[j] = second[j] / (unit[j] * unit[j]);
    }
    const double least = kMinVarianceRatio * std::max(*std::max_element(variances.begin(), variances.end()), 1.0);
    for (Index j = 0; j < d; ++j) {
        variances[j] = std::max(variances[j], least);
        const double deviation = std::sqrt(variances[j]);
        if (!is_full) second[j] = 1 / (deviation * unit[j]);
        for (Index i = 0; i < d && is_full; ++i) second[j * d + i] = axes[i * d + j] / deviation / unit[i];
    }
    return variances;
}

// Returns the whitened rows, relative to the mean of the rows from which the bisection was computed.
Values whitened(const Bisection& bisection, const double* rows, Index n_rows) {
    const auto d = static_cast<Index>(bisection.middle.size());
    const Values& whitening = bisection.whitening;
    Values result = zeros(n_rows * d), transposed = whitening;
    for (Index i = 0; i < d * d && bisection.is_full; ++i) transposed[i % d * d + i / d] = whitening[i];
    for (Index row = 0; row < n_rows; ++row) {
        double* z = result.data() + row * d;
        for (Index i = 0; i < d; ++i) {
            const double offset = rows[row * d + i] - bisection.middle[i];
            if (!bisection.is_full) z[i] = offset * whitening[i];
            // The matrix is transposed, so that this loop reads consecutive numbers and can use vectors.
            for (Index j = 0; j < d && bisection.is_full; ++j) z[j] += offset * transposed[i * d + j];
        }
    }
    return result;
}

// Computes either the responsibilities of both halves for whitened rows, or the log densities of these rows without the
// term -d/2 log 2 pi. The result is empty if interrupted.
Values evaluate_bisection(const KernelTable& kernels, const Bisection& bisection, const Values& rows, Output output,
                          const Execution& execution) {
    const auto d = static_cast<Index>(bisection.middle.size()), n_rows = static_cast<Index>(rows.size()) / d;
    Values log_scale = zeros(2);
    kernels.log(bisection.mixture.weights.data(), 2, log_scale.data());
    for (Index k = 0; k < 2; ++k) log_scale[k] += bisection.mixture.log_abs_det[k];
    return evaluate(kernels, algebra_of_pair(bisection.is_full), bisection.mixture, log_scale,
                    plain_rows(rows.data(), n_rows, d), output, execution);
}

// Returns a weighted quantile: the smallest value at which the cumulative weight of the sorted values reaches
// `fraction`.
double quantile(const Values& values, const double* weight, double fraction) {
    std::vector<std::pair<double, double>> sorted;
    sorted.reserve(values.size());
    for (std::size_t row = 0; row < values.size(); ++row) sorted.emplace_back(values[row], weight[row]);
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    double reached = 0;
    for (const auto& [value, value_weight] : sorted) {
        if ((reached += value_weight) >= fraction) return value;
    }
    return sorted.back().first;
}

// Computes the log-likelihood of whitened rows under a single component that is fitted to these rows.
double one_component_log_likelihood(const KernelTable& kernels, const GroupView& white) {
    const Index d = white.n_features;
    Values variances = zeros(d), logarithms = zeros(d);
    white.each_value([&](Index row, Index j, double value) { variances[j] += white.weight[row] * (value * value); });
    double total = 0;
    for (double& variance : variances) {
        total += variance / (variance + kRidge);
        variance += kRidge;
    }
    kernels.log(variances.data(), d, logarithms.data());
    return -0.5 * (total + sum(logarithms.data(), d)) - static_cast<double>(d) * (0.5 * kLog2Pi);
}

// Runs EM with two components on whitened rows, which are initialised from a division of the rows into two halves:
// `is_second(row)` is true for the rows of the second half. Returns the log-likelihood, or -inf if the weight of a half
// falls below `least`.
template <class IsSecond>
double fit_pair(const KernelTable& kernels, const GroupView& group, bool is_full, double least, IsSecond&& is_second,
                const Execution& execution, Mixture& mixture) {
    const Values ridge(group.n_features, kRidge);
    EmView task = view_group(group, is_full);
    task.total_weight = 1;
    task.n_components = 2;
    task.ridge = ridge.data();
    task.limits = {least, 0, kInfinity, kInfinity};
    task.tolerance = -1;  // a negative tolerance is never reached, so that all kSteps steps run
    task.max_steps = kSteps;
    Values fractions, history;
    fractions.reserve(2 * group.n_rows);
    for (Index row = 0; row < group.n_rows; ++row) {
        const auto [first, second] = is_second(row) ? std::pair(kMixed, 1 - kMixed) : std::pair(1 - kMixed, kMixed);
        fractions.insert(fractions.end(), {first, second});
    }
    if (!begin_em(kernels, task, execution, {nullptr, fractions.data(), 2, 1}, mixture.view()) ||
        !run_em(kernels, task, execution, mixture.view(), history) || history.size() < kSteps) {
        return -kInfinity;
    }
    return history.back();
}

}  // namespace

Values at_least_rounding(const GroupView& group, Values scale) {
    group.each_value(
        [&](Index, Index j, double value) { scale[j] = std::max(scale[j], kMinRelativeScale * std::fabs(value)); });
    return scale;
}

EmView view_group(const GroupView& group, bool is_full) {
    EmView em{};
    em.rows = plain_rows(group.rows, group.n_rows, group.n_features);
    em.row_weight = {group.weight, 1};
    em.algebra = algebra_of_pair(is_full);
    return em;
}

Bisection bisect(const KernelTable& kernels, const GroupView& group, bool is_full, const double* scale,
                 const Cuts& cuts, const Execution& execution) {
    const Index n = group.n_rows, d = group.n_features;
    const EmView em = view_group(group, is_full);
    Bisection bisection{-kInfinity, is_full, zeros(d), zeros(em.algebra.size(d)), {}};
    if (!find_scatter(kernels, em, execution, bisection.middle.data(), bisection.whitening.data())) return bisection;
    const Values unit = at_least_rounding(group, Values(scale, scale + d));
    const Index longest =
        argmax(convert_to_whitening(kernels, is_full, d, unit, bisection.whitening, execution.interrupt.listener()));
    Values rows = whitened(bisection, group.rows, n);
    subtract_mean(group, rows);
    const GroupView white{n, d, rows.data(), group.weight};
    const auto try_cut = [&](auto&& is_second) {
        Mixture pair(em.algebra, 2, d);
        const double log_likelihood = fit_pair(kernels, white, is_full, cuts.least_weight, is_second, execution, pair);
        if (log_likelihood > bisection.gain) bisection.gain = log_likelihood, bisection.mixture = std::move(pair);
    };
    if (cuts.random != nullptr) {
        try_cut([&](Index row) { return rows[row * d + longest] > 0; });
        Values along = zeros(n);
        white.each_value([&](Index row, Index j, double value) { along[row] += value * (2 * cuts.random[1 + j] - 1); });
        const double cut = quantile(along, group.weight, kMinCutWeight + (1 - 2 * kMinCutWeight) * cuts.random[0]);
        try_cut([&](Index row) { return along[row] > cut; });
    } else {
        Values squares = zeros(n);
        white.each_value([&](Index row, Index, double value) { squares[row] += value * value; });
        double spread = 0;
        for (Index row = 0; row < n; ++row) spread += group.weight[row] * squares[row];
        try_cut([&](Index row) { return squares[row] > spread; });
    }
    if (cuts.has_heavy) {
        const double* heaviest = group.rows + (std::max_element(group.weight, group.weight + n) - group.weight) * d;
        try_cut([&](Index row) { return std::equal(heaviest, heaviest + d, group.rows + row * d); });
    }
    if (cuts.has_tails) {
        Values largest = zeros(d);
        white.each_value([&](Index, Index j, double value) { largest[j] = std::max(largest[j], value * value); });
        const Index axis = argmax(largest);
        try_cut([&](Index row) { return rows[row * d + axis] * rows[row * d + axis] > 1; });
    }
    bisection.gain -= one_component_log_likelihood(kernels, white);
    return bisection;
}

Values first_responsibility(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                            const Execution& execution) {
    const Values both =
        evaluate_bisection(kernels, bisection, whitened(bisection, rows, n_rows), Output::responsibilities, execution);
    Values first = zeros(static_cast<Index>(both.size()) / 2);
    for (std::size_t row = 0; row < first.size(); ++row) first[row] = both[2 * row];
    return first;
}

Values log_density_gains(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                         const Execution& execution) {
    const auto d = static_cast<Index>(bisection.middle.size());
    const Values white = whitened(bisection, rows, n_rows);
    Values result = evaluate_bisection(kernels, bisection, white, Output::log_density, execution);
    for (std::size_t row = 0; row < result.size(); ++row) {
        double square = 0;
        for (Index j = 0; j < d; ++j) square += white[row * d + j] * white[row * d + j];
        result[row] += 0.5 * square;
    }
    return result;
}

}  // namespace gaussmix
