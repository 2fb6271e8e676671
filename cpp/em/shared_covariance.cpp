#include "shared_covariance.hpp"

#include <algorithm>
#include <cmath>

namespace gaussmix {

namespace {

constexpr Index kPowerSteps = 10;  // number of steps of the power method that finds the longest axis
constexpr Index kEmSteps = 5;      // number of EM steps from the first cut
// lower limit on the ratio of the variance after a split to the variance before it
constexpr double kLeastRatio = 1e-9;
constexpr double kMaxLogOdds = 600;  // `exponential` does not accept much larger arguments

double dot(const double* one, const double* other, Index count) {
    double result = 0;
    for (Index j = 0; j < count; ++j) result += one[j] * other[j];
    return result;
}

// Returns e^-|x|.
double decay(double x) { return exponential(-std::min(std::fabs(x), kMaxLogOdds)); }

double sigmoid(double x) {
    const double small = decay(x);
    return (x > 0 ? 1 : small) / (1 + small);
}

// Returns the sum of the rows, weighted by the weights of the rows times `factors`.
Values weighted_sum(const GroupView& group, const Values& factors) {
    Values result = zeros(group.n_features);
    for (Index row = 0; row < group.n_rows; ++row) {
        const double own = group.weight[row] * factors[row];
        for (Index j = 0; j < group.n_features; ++j) result[j] += own * group.rows[row * group.n_features + j];
    }
    return result;
}

// Returns the product of each row with `direction`, minus `threshold`.
Values scores_of(const GroupView& group, const Values& direction, double threshold) {
    Values scores = zeros(group.n_rows);
    for (Index row = 0; row < group.n_rows; ++row) {
        scores[row] = dot(direction.data(), group.rows + row * group.n_features, group.n_features) - threshold;
    }
    return scores;
}

// Returns the mean over all rows of the entropy of a row's two responsibilities, given the log odds of each row.
double mean_entropy(const KernelTable& kernels, const double* weight, const Values& log_odds) {
    const auto n_rows = static_cast<Index>(log_odds.size());
    Values terms = zeros(n_rows);
    for (Index row = 0; row < n_rows; ++row) terms[row] = 1 + decay(log_odds[row]);
    kernels.log(terms.data(), n_rows, terms.data());
    for (Index row = 0; row < n_rows; ++row) {
        terms[row] += std::fabs(log_odds[row]) * sigmoid(-std::fabs(log_odds[row]));
    }
    return dot(weight, terms.data(), n_rows);
}

}  // namespace

// Returns W u, where W is the whitening factor.
Values SharedCovariance::whitened(const Values& u) const {
    Values result = zeros(d_);
    for (Index i = 0; i < d_; ++i) {
        result[i] = whitened_element(algebra_.factor_shape(), d_, factor_, i, [&](Index j) { return u[j]; });
    }
    return result;
}

// Returns the vector whose product with a row equals the product of `whitened_direction` with the whitened row.
Values SharedCovariance::direction_of(const Values& whitened_direction) const {
    if (algebra_.second() != Second::full) return whitened(whitened_direction);
    Values result = zeros(d_);
    for (Index i = 0; i < d_; ++i) {
        for (Index j = 0; j <= i; ++j) result[j] += factor_[i * d_ + j] * whitened_direction[i];
    }
    return result;
}

// Returns the factors by which variances change if `factor` times u u' is added to the covariance of whitened rows. A
// diagonal covariance has one factor per feature, a full covariance has the factor of the variance along u, and a
// spherical covariance has the factor of its single variance.
Values SharedCovariance::variance_ratios(const Values& u, double factor) const {
    const double square = dot(u.data(), u.data(), d_);
    Values ratios = zeros(algebra_.second() == Second::diagonal ? d_ : 1);
    for (std::size_t j = 0; j < ratios.size(); ++j) {
        const double change = algebra_.second() == Second::full    ? square
                              : algebra_.second() == Second::trace ? square / static_cast<double>(d_)
                                                                   : u[j] * u[j];
        ratios[j] = std::max(kLeastRatio, 1 + factor * change);
    }
    return ratios;
}

// Returns the change of log |covariance| if `factor` times u u' is added to the covariance of whitened rows.
double SharedCovariance::log_det_change(const Values& u, double factor) const {
    Values ratios = variance_ratios(u, factor);
    const auto count = static_cast<Index>(ratios.size());
    kernels_.log(ratios.data(), count, ratios.data());
    return sum(ratios.data(), count) * algebra_.features_per_variance(d_);
}

double SharedCovariance::merge_gain(const Values& gap, double one, double other) const {
    if (!(one > 0 && other > 0)) return 0;
    const double both = one + other;
    const double weight_gain = one * log_of(kernels_, both / one) + other * log_of(kernels_, both / other);
    return weight_gain - 0.5 * log_det_change(whitened(gap), one * (other / both));
}

// Returns the axis on which the whitened rows vary most, in the units of `direction_of`. The mean of the rows must be
// 0. The result is empty if the rows do not vary.
Values SharedCovariance::longest_axis(const GroupView& group, const double* random) const {
    Values axis(random, random + d_);
    for (double& each : axis) each = 2 * each - 1;
    for (Index step = 0; step < kPowerSteps; ++step) {
        axis = whitened(weighted_sum(group, scores_of(group, direction_of(axis), 0)));
        const double length = std::sqrt(dot(axis.data(), axis.data(), d_));
        if (!(length > 0)) return {};
        for (double& each : axis) each /= length;
    }
    return direction_of(axis);
}

LinearSplit SharedCovariance::split(const GroupView& group, double mass, const double* random) const {
    LinearSplit result{-kInfinity, weighted_sum(group, Values(group.n_rows, 1.0)), {}, 0};
    Values rows = zeros(group.n_rows * d_);
    group.each_value([&, i = Index{0}](Index, Index j, double value) mutable { rows[i++] = value - result.mean[j]; });
    const GroupView centred{group.n_rows, d_, rows.data(), group.weight};
    result.direction = longest_axis(centred, random);
    if (result.direction.empty()) return result;
    Values log_odds = scores_of(centred, result.direction, 0), first(log_odds);
    for (double& each : first) each = each > 0 ? 1 - kMixed : kMixed;

    for (Index step = 0; step <= kEmSteps; ++step) {
        const double weight = dot(group.weight, first.data(), group.n_rows);  // weight of the first half
        if (!(std::min(weight, 1 - weight) > kMinSplitWeight)) return {-kInfinity, {}, {}, 0};
        // The mean of all rows is 0. Therefore, the sum over the first half gives the difference of both means.
        Values gap = weighted_sum(centred, first);
        for (double& each : gap) each /= weight * (1 - weight);
        const double log_weight = log_of(kernels_, weight), log_rest = log_of(kernels_, 1 - weight);
        const double factor = -mass * weight * (1 - weight);
        Values whitened_gap = whitened(gap);
        if (step == kEmSteps) {
            const double entropy = mean_entropy(kernels_, group.weight, log_odds);
            result.gain = mass * (weight * log_weight + (1 - weight) * log_rest + entropy) -
                          0.5 * log_det_change(whitened_gap, factor);
            break;
        }
        // The hyperplane is the linear discriminant of both halves, with the covariance after the split.
        const Values ratios = variance_ratios(whitened_gap, factor);
        for (Index j = 0; j < d_; ++j) whitened_gap[j] /= ratios[ratios.size() > 1 ? j : 0];
        result.direction = direction_of(whitened_gap);
        result.threshold = (0.5 - weight) * dot(result.direction.data(), gap.data(), d_) - (log_weight - log_rest);
        log_odds = scores_of(centred, result.direction, result.threshold);
        std::transform(log_odds.begin(), log_odds.end(), first.begin(), sigmoid);
    }
    return result;
}

Values first_responsibility(const LinearSplit& split, const double* rows, Index n_rows) {
    const auto d = static_cast<Index>(split.direction.size());
    Values first = zeros(n_rows);
    for (Index row = 0; row < n_rows; ++row) {
        double log_odds = -split.threshold;
        for (Index j = 0; j < d; ++j) log_odds += split.direction[j] * (rows[row * d + j] - split.mean[j]);
        first[row] = sigmoid(log_odds);
    }
    return first;
}

}  // namespace gaussmix
