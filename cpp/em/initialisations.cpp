#include "initialisations.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace gaussmix {

namespace {

constexpr Index kMaxSteps = 40;  // maximum number of EM steps by which an initialisation is judged
// fraction of the remaining rows that each group leaves to later groups (see `initialise_by_groups`)
constexpr double kTailFraction = 0.125;

Mixture empty_mixture(const EmView& em) { return {em.algebra, em.n_components, em.rows.n_features}; }

// Computes minus half the squared Mahalanobis distance of each row from the mean of all rows; for diagonal and
// spherical structures, only variances are used. If a feature is multiplied by a power of two, the result stays the
// same to the last bit. The result is empty if the covariance is singular, or if interrupted.
Values closeness_to_mean(const SearchContext& context, EmView em) {
    const Across orientation = em.algebra.second() == Second::full ? Across::own : Across::nothing;
    em.n_components = 1;
    em.algebra = {Across::own, Across::own, orientation};
    em.total = {};
    const Values all(em.rows.n_rows, 1.0), log_scale = zeros(1);
    Mixture one = empty_mixture(em);
    if (!begin_em(context.kernels, em, context.execution, {nullptr, all.data(), 1, 1}, one.view())) return {};
    return evaluate(context.kernels, em.algebra, one, log_scale, em.rows, Output::weighted_log_density,
                    context.execution);
}

// Returns the values of the feature with the smallest kurtosis, because no distribution has a smaller kurtosis than two
// separate groups of equal size. The result is empty if all features are constant.
Values flattest_feature(const EmView& em) {
    const auto* values = static_cast<const double*>(em.rows.data);
    const Index n_rows = em.rows.n_rows, d = em.rows.n_features;
    Values mean = zeros(d), spread = zeros(d), kurtosis = zeros(d);
    const auto add_up = [&](Values& sums, auto&& term) {
        for (Index row = 0; row < n_rows; ++row) {
            for (Index j = 0; j < d; ++j) sums[j] += em.row_weight.data[row] * term(values[row * d + j], j);
        }
    };
    const auto square = [&](double value, Index j) { return (value - mean[j]) * (value - mean[j]); };
    add_up(mean, [](double value, Index) { return value; });
    for (double& each : mean) each /= em.total_weight;
    add_up(spread, square);
    // The squared deviation is divided by `spread` so that the square of this quotient does not underflow.
    add_up(kurtosis, [&](double value, Index j) {
        const double ratio = square(value, j) / spread[j];
        return ratio * ratio;
    });
    double least = kInfinity;
    Index flattest = -1;
    for (Index j = 0; j < d; ++j) {  // the kurtosis of a constant feature is NaN, which is not less
        if (kurtosis[j] < least) least = kurtosis[j], flattest = j;
    }
    Values result;
    for (Index row = 0; row < n_rows && flattest >= 0; ++row) result.push_back(values[row * d + flattest]);
    return result;
}

// Sorts the rows in descending order of `values`, (n_rows,), divides the sorted rows into one group for each component,
// and performs an M-step from these groups. If `tail_fraction` is 0, all groups have equal weights. If `tail_fraction`
// is positive, the first group leaves this fraction of the rows to later groups, the second group leaves the same
// fraction of these remaining rows, and so on. Returns nothing if `values` is empty, or if a group has too few rows.
std::optional<Mixture> initialise_by_groups(const SearchContext& context, const EmView& em, const Values& values,
                                            double tail_fraction) {
    if (values.empty()) return std::nullopt;
    Values bounds;  // total weight of the rows that follow each group
    for (Index k = 1; k < em.n_components; ++k) {
        const double equal = static_cast<double>(em.n_components - k) / static_cast<double>(em.n_components);
        const double remaining = k == 1 ? em.total_weight : bounds.back();
        bounds.push_back(tail_fraction > 0 ? tail_fraction * remaining : em.total_weight * equal);
    }
    std::vector<std::int32_t> labels(values.size());
    double weight_left = em.total_weight;
    std::size_t group = 0;
    for (const Index row : sorted_indices(static_cast<Index>(values.size()), [&](Index i) { return -values[i]; })) {
        const double weight = em.row_weight.data[row];
        while (group < bounds.size() && weight_left - 0.5 * weight < bounds[group]) ++group;
        weight_left -= weight;
        labels[row] = static_cast<std::int32_t>(group);
    }
    Mixture mixture = empty_mixture(em);
    const AssignmentView assignment{labels.data(), nullptr, 1, 1};
    if (!begin_em(context.kernels, em, context.execution, assignment, mixture.view())) return std::nullopt;
    return mixture;
}

// Runs EM in portions as long as the log-likelihood may exceed `aim` at the end. The further gain is estimated as
// `promising_factor` times the last gain, or less if the gains decline. If EM reaches a log-likelihood above `aim`, the
// function sets `aim` to this log-likelihood and returns true.
bool rises_above(SearchContext& context, const EmView& em, Mixture& mixture, double& aim) {
    const AcceptanceSettings& acceptance = context.settings.acceptance;
    const Steps portion{context.settings.initial_limits.tolerance, acceptance.trial_limits.limit};
    double gain = kInfinity, log_likelihood = -kInfinity;
    for (Index steps_left = kMaxSteps; steps_left > 0 && !(gain < portion.tolerance); steps_left -= portion.limit) {
        Values history;
        if (!context.run_to_end(em, portion, mixture, history)) return false;
        log_likelihood = history.back();
        const std::size_t n = history.size();
        gain = n > 1 ? log_likelihood - history[n - 2] : 0;
        const double gain_before = n > 2 ? history[n - 2] - history[n - 3] : 0;
        double n_gains = acceptance.promising_factor;
        // If the gains decline geometrically, the sum of all further gains is gain^2 / (gain_before - gain);
        // at most kCaution times this sum is expected.
        if (gain > 0 && gain_before > gain) n_gains = std::min(n_gains, kCaution * gain / (gain_before - gain));
        if (log_likelihood + n_gains * gain < aim) return false;
    }
    if (!(log_likelihood > aim + acceptance.min_move_gain)) return false;
    aim = log_likelihood;
    return true;
}

}  // namespace

std::optional<Mixture> initialise_by_kmeans(SearchContext& context, const SharedSample& sample) {
    const SearchView& settings = context.settings;
    SharedSample kmeans_sample = context.subsample(sample, settings.kmeans_rows);
    if (kmeans_sample->em.rows.n_rows < settings.min_kmeans_rows) kmeans_sample = sample;
    Mixture mixture = empty_mixture(sample->em);
    const Values uniform = context.random.draw(n_seed_draws(sample->em.n_components, settings.kmeans.n_candidates));
    if (!find_centres(context.kernels, kmeans_sample->em, settings.kmeans, uniform.data(), context.execution,
                      mixture.means.data()) ||
        !begin_em(context.kernels, sample->em, context.execution, {}, mixture.view())) {
        return std::nullopt;
    }
    return mixture;
}

std::optional<Mixture> best_initialisation(SearchContext& context, const SharedSample& sample, double log_likelihood) {
    const EmView& em = sample->em;
    const bool is_small = em.n_components <= kSmallMixture;
    std::optional<Mixture> best;
    const auto keep_if_best = [&](std::optional<Mixture> mixture) {
        if (mixture && rises_above(context, em, *mixture, log_likelihood)) best = std::move(mixture);
    };
    const Values closeness = closeness_to_mean(context, em);
    if (is_small) keep_if_best(initialise_by_groups(context, em, closeness, kTailFraction));
    keep_if_best(initialise_by_groups(context, em, closeness, 0));
    keep_if_best(initialise_by_groups(context, em, flattest_feature(em), 0));
    if (is_small) keep_if_best(initialise_by_kmeans(context, sample));
    return best;
}

}  // namespace gaussmix
