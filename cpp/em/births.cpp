#include "births.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "families/axes.hpp"

namespace gaussmix {

namespace {

constexpr Index kMaxAxes = 32, kMinAxes = 4;  // maximum and minimum number of axes along which components are split
constexpr Index kMinRowsPerAxis = 20;         // minimum number of rows per axis among the rows that determine a split
// A split of a component with n rows is computed from at most max(kMinSplitRows, kRowsPerAxis * number of axes, n /
// kRowDivisor) rows, and validated with as many other rows.
constexpr Index kMinSplitRows = 100, kRowsPerAxis = 40, kRowDivisor = 8;
// If there are at most this many rows per axis, a split is computed from all of these rows, and is not validated.
constexpr Index kUnvalidatedRowsPerAxis = 32;
// To split off outliers, the farthest kFarthestRows rows and at most kMaxOtherRows other rows are used.
constexpr Index kFarthestRows = 256, kMaxOtherRows = 2048;
// Only complete rows are used if they have more than this fraction of a component's weight.
constexpr double kMinCompleteFraction = 0.25;
// If the weight of a row exceeds the mean weight times this factor, the split is computed from all rows, and is not
// validated.
constexpr double kMaxRelativeWeight = 5;
// Minimum of (mean |x|)^2 / mean x^2, where x is the distance from the mean, for a feature that is probably bimodal.
// The ratio is 1 for two points, 3/4 for a uniform distribution, and 2/pi for a normal distribution.
constexpr double kMinBimodality = 0.7;
// If a feature's variance is less than this fraction of the largest variance, the feature may be constant except for
// rounding errors.
constexpr double kMinRelativeVariance = 1e-9;
constexpr double kMinDivisor = 1e-300;  // minimum of a divisor that could otherwise be 0

struct Group {  // some rows, and their weights
    Index n_rows, n_features;
    Values rows, weight;

    GroupView view() const { return {n_rows, n_features, rows.data(), weight.data()}; }
    // Returns the weighted mean of f(value, j) for each feature j.
    template <class Function>
    Values mean_of(Function&& f) const {
        Values means = zeros(n_features);
        view().each_value([&](Index row, Index j, double value) { means[j] += weight[row] * f(value, j); });
        const double all = sum(weight.data(), n_rows);
        for (double& mean : means) mean /= all;
        return means;
    }
    Values means() const {
        return mean_of([](double value, Index) { return value; });
    }
};

struct Division {     // a division of rows into two halves
    Indices indices;  // indices of the rows in the sample
    Group projected;  // the rows on the axes along which they are divided
    Bisection bisection;
};

// Returns at most `limit` of the indices, equally spaced.
Indices select_evenly(const Indices& indices, Index limit) {
    const auto n = static_cast<Index>(indices.size());
    if (n <= limit) return indices;
    Indices result(limit);
    for (Index i = 0; i < limit; ++i) result[i] = indices[(2 * i + 1) * n / (2 * limit)];
    return result;
}

// Copies the rows with the given indices, and their weights.
Group select_rows(const double* rows, const double* weight, Index d, const Indices& indices) {
    Group result{static_cast<Index>(indices.size()), d, {}, {}};
    for (const Index row : indices) {
        result.rows.insert(result.rows.end(), rows + row * d, rows + (row + 1) * d);
        result.weight.push_back(weight[row]);
    }
    return result;
}

Group select_rows(const Group& group, const Indices& indices) {
    return select_rows(group.rows.data(), group.weight.data(), group.n_features, indices);
}

// Returns rows first, first + 2, first + 4 and so on.
Group alternate_rows(const Group& group, Index first) {
    Indices indices;
    for (Index row = first; row < group.n_rows; row += 2) indices.push_back(row);
    return select_rows(group, indices);
}

// Sets constant features to 0, so that their means are exact.
Group without_constants(Group group) {
    std::vector<bool> varies(group.n_features);
    group.view().each_value([&](Index, Index j, double value) { varies[j] = varies[j] || value != group.rows[j]; });
    for (Index i = 0; i < group.n_rows * group.n_features; ++i) {
        if (!varies[i % group.n_features]) group.rows[i] = 0;
    }
    return group;
}

// Projects scaled rows on their longest principal axes. The result is empty if interrupted.
Group project_on_axes(const KernelTable& kernels, const Group& group, Index n_axes, const Values& scale,
                      const Execution& execution) {
    const Index d = group.n_features;
    const Values unit = at_least_rounding(group.view(), scale), means = group.means();
    Group offsets = group;
    group.view().each_value(
        [&, i = Index{0}](Index, Index j, double value) mutable { offsets.rows[i++] = (value - means[j]) / unit[j]; });
    const EmView em = view_group(offsets.view(), true);
    Values centre = zeros(d), second = zeros(d * d);
    if (!find_scatter(kernels, em, execution, centre.data(), second.data())) return {};
    const Values axes = own_axes(kernels, {1, d, second.data(), nullptr}, execution.interrupt.listener()).axes;
    Group projected{group.n_rows, n_axes, zeros(group.n_rows * n_axes), group.weight};
    offsets.view().each_value([&](Index row, Index j, double value) {
        for (Index axis = 0; axis < n_axes; ++axis) projected.rows[row * n_axes + axis] += value * axes[j * d + axis];
    });
    return projected;
}

// Returns one or two candidate scales of the features for a cut across the longest principal axis.
//
// If features are divided by their standard deviations, the feature that separates two groups varies no more than the
// other features, and the longest principal axis may not lie along this feature. Therefore, the second scale stretches
// the feature whose distribution is most similar to two points, as measured by mean |x| divided by the standard
// deviation; Geary (1935), Biometrika 27.
std::vector<Values> candidate_scales(const Group& group, const Values& scale) {
    const Values unit = at_least_rounding(group.view(), scale), means = group.means();
    const auto offset = [&](double value, Index j) { return (value - means[j]) / unit[j]; };
    const Values squares = group.mean_of([&](double value, Index j) { return offset(value, j) * offset(value, j); });
    const Values lengths = group.mean_of([&](double value, Index j) { return std::fabs(offset(value, j)); });
    const double largest = *std::max_element(squares.begin(), squares.end());
    Values likeness = zeros(group.n_features);
    for (Index j = 0; j < group.n_features; ++j) {
        if (squares[j] > kMinRelativeVariance * largest) likeness[j] = lengths[j] * lengths[j] / squares[j];
    }
    const Index j = argmax(likeness);
    if (group.n_features == 1 || likeness[j] < kMinBimodality) return {scale};
    Values changed = scale;
    changed[j] *= 0.5 * std::sqrt(squares[j] / largest);
    return {scale, changed};
}

class Splitter {
public:
    Splitter(const KernelTable& kernels, const SampleView& sample, Second second, const double* uniform,
             const Execution& execution)
        : kernels_(kernels),
          sample_(sample),
          scale_(sample.scale, sample.scale + sample.n_features),
          second_(second),
          execution_(execution),
          uniform_(uniform) {}

    std::optional<Mixture> split_component(const Indices& rows) {
        if (static_cast<Index>(rows.size()) < kMinRowsSplit) return std::nullopt;
        const Indices used = prefer_complete(rows);
        std::optional<Division> split = bisect_rows(used);
        if (!split) split = split_off_outliers(used);
        if (!split) return std::nullopt;
        return moments_of(*split);
    }

private:
    // Returns the complete rows if they have enough weight, because a split could otherwise separate rows that have
    // different missing values.
    Indices prefer_complete(const Indices& rows) const {
        Indices complete;
        double weight = 0, complete_weight = 0;
        for (const Index row : rows) {
            weight += sample_.weight[row];
            if (!is_complete(row)) continue;
            complete_weight += sample_.weight[row];
            complete.push_back(row);
        }
        return complete_weight > kMinCompleteFraction * weight ? complete : rows;
    }

    bool is_complete(Index row) const { return sample_.is_complete == nullptr || sample_.is_complete[row]; }

    Group sampled_rows(const Indices& indices) const {
        return select_rows(sample_.rows, sample_.weight, sample_.n_features, indices);
    }

    // Checks whether no complete row has the weight of many rows. Incomplete rows are not checked.
    bool has_even_weights(const Indices& rows) const {
        double largest = 0, total = 0;
        for (const Index row : rows) {
            total += sample_.weight[row];
            if (is_complete(row)) largest = std::max(largest, sample_.weight[row]);
        }
        return largest * static_cast<double>(rows.size()) <= kMaxRelativeWeight * total;
    }

    // Bisects a group of rows, whose weights need not sum to 1.
    Bisection bisected(const Group& group, const Values& scale, const Cuts& cuts) const {
        Values fractions = group.weight;
        normalise(fractions);
        const GroupView view{group.n_rows, group.n_features, group.rows.data(), fractions.data()};
        return bisect(kernels_, view, second_ == Second::full, scale.data(), cuts, execution_);
    }

    // Returns the random numbers for the cuts of one bisection.
    const double* draw(Index n_axes) { return std::exchange(uniform_, uniform_ + 1 + n_axes); }

    // Finds the best split of some rows. Returns nothing if two components are not better than one component.
    std::optional<Division> bisect_rows(const Indices& indices) {
        const Index d = sample_.n_features, max_axes = std::min(d, kMaxAxes);
        const auto n_all = static_cast<Index>(indices.size());
        const Indices chosen =
            select_evenly(indices, 2 * std::max({kMinSplitRows, kRowsPerAxis * max_axes, n_all / kRowDivisor}));
        const auto n_rows = static_cast<Index>(chosen.size());
        const Group rows = without_constants(sampled_rows(chosen));
        const Index n_axes = std::min(max_axes, std::max(kMinAxes, n_rows / (2 * kMinRowsPerAxis)));
        const bool is_validated = n_rows > kUnvalidatedRowsPerAxis * n_axes && has_even_weights(chosen);
        const auto bisect_along = [&](const Group& projected, const Values& scale, const double* random) {
            const Group& used = is_validated ? alternate_rows(projected, 0) : projected;
            return Division{chosen, projected, bisected(used, scale, {random, !is_validated})};
        };
        std::optional<Division> across;
        std::vector<std::pair<Group, Values>> subspaces;  // rows projected on axes, and the scales of these axes
        for (const Values& scale : candidate_scales(rows, scale_)) {
            if (n_axes == d) {
                subspaces.emplace_back(rows, scale);
            } else {
                subspaces.emplace_back(project_on_axes(kernels_, rows, n_axes, scale, execution_), Values(n_axes, 1.0));
            }
            if (execution_.interrupt.has_come()) return std::nullopt;
            Division split = bisect_along(subspaces.back().first, subspaces.back().second, draw(n_axes));
            if (!across || split.bisection.gain > across->bisection.gain) across = std::move(split);
        }
        if (!is_validated) return std::isfinite(across->bisection.gain) ? across : std::nullopt;
        if (is_confirmed(*across)) return across;
        const Division within = bisect_along(subspaces[0].first, subspaces[0].second, nullptr);
        return is_confirmed(within) ? std::optional(within) : std::nullopt;
    }

    // Checks whether a split that was found from every second row increases the density of the other rows.
    bool is_confirmed(const Division& split) const {
        if (!std::isfinite(split.bisection.gain)) return false;
        const Group others = alternate_rows(split.projected, 1);
        const Values rise = log_density_gains(kernels_, split.bisection, others.rows.data(), others.n_rows, execution_);
        return std::inner_product(rise.begin(), rise.end(), others.weight.begin(), 0.0) > 0;
    }

    // Splits off a few rows far from the other rows, or with most of the weight. Returns nothing if there are no such
    // rows.
    //
    // If one half of a split contains a fraction p of the rows, the squared distance of the mean of this half from the
    // mean of all rows is at most (1 - p) / p variances. A row is far if its squared distance exceeds 1 / p variances
    // for the smallest p that an ordinary split allows. The farthest rows are all used, and a sample represents the
    // other rows.
    std::optional<Division> split_off_outliers(const Indices& indices) {
        const Index d = sample_.n_features;
        const auto n_rows = static_cast<Index>(indices.size());
        const Group rows = without_constants(sampled_rows(indices));
        const Values means = rows.means(), least = at_least_rounding(rows.view(), zeros(d));
        const auto square = [&](double value, Index j) { return (value - means[j]) * (value - means[j]); };
        Values variances = rows.mean_of(square), distance = zeros(n_rows);
        for (Index j = 0; j < d; ++j) variances[j] = std::max(variances[j], least[j] * least[j] + kMinDivisor);
        rows.view().each_value([&](Index row, Index j, double value) {
            distance[row] = std::max(distance[row], square(value, j) / variances[j]);
        });
        const double farthest = *std::max_element(distance.begin(), distance.end());
        if (farthest * kMinSplitWeight <= 1 && has_even_weights(indices)) return std::nullopt;
        const Indices order = sorted_indices(n_rows, [&](Index row) { return distance[row] * rows.weight[row]; });
        const auto end_of_nearby = order.end() - std::min(n_rows, kFarthestRows);
        const auto total_weight = [&](const Indices& chosen) {
            return std::accumulate(chosen.begin(), chosen.end(), 0.0,
                                   [&](double sum, Index row) { return sum + rows.weight[row]; });
        };
        const Indices nearby(order.begin(), end_of_nearby);
        Indices used = select_evenly(nearby, kMaxOtherRows);
        const double factor = nearby.empty() ? 1 : total_weight(nearby) / total_weight(used);
        const auto n_nearby = static_cast<Index>(used.size());
        used.insert(used.end(), end_of_nearby, order.end());
        Division split{{}, select_rows(rows, used), {}};
        for (const Index row : used) split.indices.push_back(indices[row]);
        for (Index row = 0; row < n_nearby; ++row) split.projected.weight[row] *= factor;
        split.bisection = bisected(split.projected, scale_, {draw(d), true, true, kMinTailWeight});
        const double gain = split.bisection.gain;
        return gain > 0 && std::isfinite(gain) ? std::optional(std::move(split)) : std::nullopt;
    }

    // Computes the moments of both halves from the rows in the units of the data.
    std::optional<Mixture> moments_of(const Division& split) const {
        const Group group = sampled_rows(split.indices);
        const Index n_rows = group.n_rows, d = group.n_features;
        const Values first =
            first_responsibility(kernels_, split.bisection, split.projected.rows.data(), n_rows, execution_);
        if (first.empty()) return std::nullopt;
        const bool is_full = second_ == Second::full;
        Mixture pair;
        pair.weights = zeros(2), pair.means = zeros(2 * d);
        for (int half = 0; half < 2; ++half) {
            Values weight = split.projected.weight, second = zeros(is_full ? d * d : d);
            for (Index row = 0; row < n_rows; ++row) weight[row] *= half == 0 ? first[row] : 1 - first[row];
            const double mass = pair.weights[half] = sum(weight.data(), n_rows);
            const EmView em = view_group({n_rows, d, group.rows.data(), weight.data()}, is_full);
            if (!find_scatter(kernels_, em, execution_, &pair.means[half * d], second.data())) return std::nullopt;
            for (double& value : second) value /= mass;
            if (second_ == Second::trace) second = {sum(second.data(), d) / static_cast<double>(d)};
            pair.covariances.insert(pair.covariances.end(), second.begin(), second.end());
        }
        normalise(pair.weights);
        return pair;
    }

    const KernelTable& kernels_;
    const SampleView& sample_;
    const Values scale_;  // standard deviations of the features
    const Second second_;
    const Execution& execution_;
    const double* uniform_;
};

}  // namespace

std::optional<Mixture> split_component(const KernelTable& kernels, const SampleView& sample, Second second,
                                       const Indices& rows, const double* uniform, const Execution& execution) {
    return Splitter(kernels, sample, second, uniform, execution).split_component(rows);
}

}  // namespace gaussmix
