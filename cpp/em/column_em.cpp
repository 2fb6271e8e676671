#include "column_em.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace gaussmix {

namespace {

constexpr double kMinComponentRows = 1;  // a component counts as empty if it has fewer rows than this
// Initial limit on the length of an extrapolation, as a multiple of two EM steps, and the factor by which this limit is
// raised or lowered.
constexpr double kInitialMaxLength = 4, kGrowth = 4;

Mixture without_smallest(const Mixture& mixture) {
    Indices indices = by_weight(mixture);
    if (indices.size() > 1) indices.pop_back();
    return select_components(mixture, indices);
}

}  // namespace

Indices by_weight(const Mixture& mixture, const std::vector<bool>& is_left_out) {
    Indices indices;
    for (Index k = 0; k < size(mixture); ++k) {
        if (is_left_out.empty() || !is_left_out[k]) indices.push_back(k);
    }
    std::stable_sort(indices.begin(), indices.end(),
                     [&](Index a, Index b) { return mixture.weights[a] > mixture.weights[b]; });
    return indices;
}

ColumnEm::ColumnEm(const KernelTable& kernels, const ColumnView& task, const Execution& execution)
    : kernels_(kernels),
      task_(task),
      prior_(*task.em.prior),
      execution_(execution),
      end_(Clock::now() + std::chrono::duration<double>(task.em.seconds)) {}

std::optional<State> ColumnEm::judge(const Mixture& mixture) const {
    Mixture following = mixture;
    const std::optional<double> bound = step(following);
    if (!bound) return std::nullopt;
    return State{mixture, std::move(following), *bound * prior_.total_weight};
}

std::optional<State> ColumnEm::after_steps(Mixture mixture) const {
    if (run(mixture, kStepsAfterBirths - 1, task_.min_step_gain).empty()) return std::nullopt;
    return judge(mixture);
}

bool ColumnEm::converge(State& state, double tolerance) const {
    const Index n_empty = count_empty(state.model);
    // `after` is the last mixture that an EM step, and not an extrapolation, has computed.
    Mixture current = state.model, after = current;
    double bound_before = 0;  // lower bound before the EM step that led to `after`, if `current` is an extrapolation
    double max_length = kInitialMaxLength;
    bool is_extrapolated = false, is_limited = false;
    for (Index n_steps = 0; n_steps < task_.em.max_steps; n_steps += 2) {
        Mixture first = current;
        const std::optional<double> bound = step(first);
        Mixture second = first;
        const bool is_usable = bound && (!is_extrapolated || *bound >= bound_before);
        const std::optional<double> next_bound = is_usable ? step(second) : std::nullopt;
        if (!next_bound && is_extrapolated) {
            current = after;  // rejects the extrapolation, and continues from the mixture after the last EM step
            is_extrapolated = false;
            max_length = std::max(1.0, max_length / kGrowth);
            continue;
        }
        after = next_bound ? second : bound ? first : current;
        if (!next_bound) break;
        if (is_extrapolated && is_limited) max_length *= kGrowth;
        if (std::fabs(*next_bound - *bound) < tolerance || count_empty(second) > n_empty || is_over()) break;
        bound_before = *next_bound;
        is_extrapolated = true;
        std::tie(current, is_limited) = extrapolated(current, first, second, max_length);
    }
    std::optional<State> result = judge(after);
    // The step of `judge` fails if a component has just lost its rows, so the smallest component is then left out.
    if (!result) result = judge(without_smallest(after));
    if (result && result->bound >= state.bound) state = std::move(*result);
    return result.has_value();
}

Values ColumnEm::log_scale(const Mixture& mixture) const {
    Posterior posterior(kernels_, prior_, task_.em.algebra, size(mixture), 1);
    posterior.update(mixture);
    Values result(posterior.log_weights(), posterior.log_weights() + size(mixture));
    for (std::size_t k = 0; k < result.size(); ++k) result[k] += mixture.log_abs_det[k];
    return result;
}

Index ColumnEm::count_empty(const Mixture& mixture) const {
    return std::count_if(mixture.weights.begin(), mixture.weights.end(),
                         [&](double weight) { return prior_.total_weight * weight < kMinComponentRows; });
}

// Runs EM steps, and returns the mean lower bound before each step. The result is empty if the first step violates
// `Limits`.
Values ColumnEm::run(Mixture& mixture, Index n_steps, double tolerance) const {
    EmView em = task_.em;
    em.n_components = size(mixture);
    em.max_steps = n_steps;
    em.tolerance = tolerance;
    Values log_likelihoods, objectives;
    run_em(kernels_, em, execution_, mixture.view(), log_likelihoods, &objectives);
    return objectives;
}

// Performs one EM step, and returns the mean lower bound before the step, or nothing if the step violates `Limits`.
std::optional<double> ColumnEm::step(Mixture& mixture) const {
    const Values bounds = run(mixture, 1, -1);
    return bounds.empty() ? std::nullopt : std::optional(bounds[0]);
}

// Extrapolates a mixture along its last two EM steps. The second element of the result is true if `max_length` limits
// the length of the extrapolation. The squared changes of all coordinates are summed with the weight w / variance for a
// mean, w for a log weight and w / 2 for a log variance, the information of a row whose component is known.
std::pair<Mixture, bool> ColumnEm::extrapolated(const Mixture& start, const Mixture& first, const Mixture& second,
                                                double max_length) const {
    const Index n = size(start);
    const Values a = coordinates(start), b = coordinates(first), c = coordinates(second);
    const auto change = [&](Index i) { return b[i] - a[i]; };
    const auto curvature = [&](Index i) { return c[i] - b[i] - change(i); };
    double change_square = 0, curvature_square = 0;
    for (Index k = 0; k < n; ++k) {
        const double w = second.weights[k];
        const double units[] = {w, w / second.covariances[k], 0.5 * w};
        for (Index i = 0; i < 3; ++i) {
            const Index at = i * n + k;
            change_square += units[i] * change(at) * change(at);
            curvature_square += units[i] * curvature(at) * curvature(at);
        }
    }
    const double wanted = curvature_square > 0 ? std::sqrt(change_square / curvature_square) : 1;
    const bool is_limited = wanted >= max_length;
    const double length = std::max(1.0, std::min(wanted, max_length));
    const auto reached = [&](Index i) { return a[i] + 2 * length * change(i) + length * length * curvature(i); };
    Mixture result = second;
    for (Index k = 0; k < n; ++k) {
        const double log_weight = reached(k), log_variance = reached(2 * n + k);
        if (!(std::fabs(log_weight) < 700 && std::fabs(log_variance) < 700)) return {second, is_limited};
        result.weights[k] = exponential(log_weight);
        result.means[k] = reached(n + k);
        result.covariances[k] = exponential(log_variance);
    }
    normalise(result.weights);
    return {result, is_limited};
}

// Returns the log weights, then the means and then the log variances, (3 n_components,).
Values ColumnEm::coordinates(const Mixture& mixture) const {
    const Index n = size(mixture);
    Values result = zeros(3 * n);
    kernels_.log(mixture.weights.data(), n, result.data());
    std::copy_n(mixture.means.begin(), n, result.begin() + n);
    kernels_.log(mixture.covariances.data(), n, result.data() + 2 * n);
    return result;
}

}  // namespace gaussmix
