#include "columns.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "bisection.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

constexpr Index kMaxSplitRows = 400, kParameters = 3;
// first tolerance of EM, in nats per row, which is so coarse that moves begin before the slow last phase of EM
constexpr double kCoarse = 1e-6;
constexpr double kEmpty = 1;  // a component counts as empty if it has fewer rows than this
// initial limit on the length of an extrapolation, as a multiple of two EM steps; factor by which this limit is raised
// or lowered
constexpr double kLongest = 4, kGrowth = 4;

using Indices = std::vector<Index>;

struct State {  // a mixture, the same mixture after one more EM step, and the lower bound before this step, in nats
    Mixture model, following;
    double bound;
};

// For each component, `is_tried` stores whether a split has been tried and has failed, and `parents` stores the
// component from which this component was split, or -1.
struct Marked {
    std::vector<bool> is_tried;
    Indices parents;
};

struct Group {  // rows of a component, and their weights, which sum to 1
    Values rows, weight;
    Index heaviest;  // index of the row with the largest weight
    double mean, variance;
    double square(Index i) const { return (rows[i] - mean) * (rows[i] - mean); }
    GroupView view() const { return {static_cast<Index>(rows.size()), 1, rows.data(), weight.data()}; }
};

class Column {
public:
    Column(const KernelTable& kernels, const ColumnView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          prior_(*task.em.prior),
          execution_(execution),
          n_rows_(task.em.rows.n_rows),
          rows_(static_cast<const double*>(task.em.rows.data)),
          weight_(task.em.row_weight.data),
          end_(Clock::now() + std::chrono::duration<double>(task.em.seconds)),
          tool_(kernels, prior_, task.em.algebra, 1, 1) {
        double mean = 0, square = 0;
        for (Index i = 0; i < n_rows_; ++i) mean += weight_[i] * rows_[i] / task.em.total_weight;
        for (Index i = 0; i < n_rows_; ++i) {
            square += weight_[i] * (rows_[i] - mean) * (rows_[i] - mean) / task.em.total_weight;
        }
        scale_ = std::sqrt(std::max(square, std::numeric_limits<double>::min()));
    }

    // Alternates moves (births, merges and deletions) with EM until no move raises the lower bound or the time limit is
    // reached.
    std::optional<State> run_to_end(const Mixture& start) {
        std::optional<State> state = judge(start);
        double tried_at = -kInfinity;
        for (const double tolerance : {std::max(kCoarse, task_.em.tolerance), task_.em.tolerance}) {
            bool is_at_end = false;  // whether EM has converged
            while (state && !is_over()) {
                const double before = state->bound;
                state = raise(std::move(*state), tried_at);
                if (is_at_end && !(state->bound > before)) break;
                tried_at = state->bound;
                const Index n_components = size(state->model);
                const std::ptrdiff_t n_empty = count_empty(state->model);
                if (!converge(*state, tolerance)) break;
                is_at_end = size(state->model) == n_components && count_empty(state->model) <= n_empty;
            }
        }
        return state;
    }

private:
    using Clock = std::chrono::steady_clock;

    bool is_over() const { return execution_.interrupt.has_come() || Clock::now() >= end_; }
    static Index size(const Mixture& mixture) { return static_cast<Index>(mixture.weights.size()); }
    Mixture empty(Index n_components) const { return Mixture(task_.em.algebra, n_components, 1); }
    bool is_higher(const State& one, const State& other) const {
        return one.bound > other.bound + kRoundingOfBound * std::max(1.0, std::fabs(other.bound));
    }

    // Runs EM steps, and returns the mean lower bound before each step. The result is empty if the first step violates
    // `Limits`.
    Values run(Mixture& mixture, Index n_steps, double tolerance) const {
        EmView em = task_.em;
        em.n_components = size(mixture);
        em.max_steps = n_steps;
        em.tolerance = tolerance;
        Values log_likelihoods, objectives;
        run_em(kernels_, em, execution_, mixture.view(), log_likelihoods, &objectives);
        return objectives;
    }

    std::optional<State> judge(const Mixture& mixture) const {
        State state{mixture, mixture, 0};
        const Values bounds = run(state.following, 1, -1);
        if (bounds.empty()) return std::nullopt;
        state.bound = bounds[0] * prior_.total_weight;
        return state;
    }

    std::optional<State> after_steps(Mixture mixture) const {
        if (run(mixture, kStepsAfterBirths - 1, task_.min_step_gain).empty()) return std::nullopt;
        return judge(mixture);
    }

    // --- EM with an extrapolation after every two steps: Varadhan & Roland (2008), Scandinavian Journal of Statistics
    // 35, scheme S3

    // Runs EM with extrapolations until it converges. Returns false if a step violates `Limits`.
    bool converge(State& state, double tolerance) const {
        const std::ptrdiff_t n_empty = count_empty(state.model);
        // `after` is the last mixture that an EM step, and not an extrapolation, has computed.
        Mixture current = state.model, after = current;
        // lower bounds before the two EM steps from which `current` was extrapolated; empty if there was no
        // extrapolation
        Values bounds_before;
        double longest = kLongest;
        bool is_longest = false;
        for (Index n_steps = 0; n_steps < task_.em.max_steps; n_steps += 2) {
            Mixture first = current;
            Values bounds = run(first, 1, -1);
            Mixture second = first;
            const bool is_extrapolated = !bounds_before.empty();
            const bool is_usable = !bounds.empty() && (!is_extrapolated || bounds[0] >= bounds_before[1]);
            const Values more = is_usable ? run(second, 1, -1) : Values();
            if (more.empty() && is_extrapolated) {
                current = after;  // rejects the extrapolation, and continues from the mixture after the last EM step
                bounds_before.clear();
                longest = std::max(1.0, longest / kGrowth);
                continue;
            }
            after = more.empty() ? (bounds.empty() ? current : first) : second;
            if (more.empty()) break;
            if (is_extrapolated && is_longest) longest *= kGrowth;
            if (std::fabs(more[0] - bounds[0]) < tolerance || count_empty(second) > n_empty || is_over()) break;
            bounds_before = {bounds[0], more[0]};
            std::tie(current, is_longest) = extrapolated(current, first, second, longest);
        }
        std::optional<State> result = judge(after);
        // If the mixture cannot be judged, a component has just lost its rows, so the smallest component is left out.
        if (!result) result = judge(without_smallest(after));
        if (result && result->bound >= state.bound) state = std::move(*result);
        return result.has_value();
    }

    // Counts empty components. If a component becomes empty, EM stops, because deleting the component may raise the
    // lower bound.
    std::ptrdiff_t count_empty(const Mixture& mixture) const {
        return std::count_if(mixture.weights.begin(), mixture.weights.end(),
                             [&](double weight) { return prior_.total_weight * weight < kEmpty; });
    }

    Mixture without_smallest(const Mixture& mixture) const {
        Indices indices = by_weight(mixture);
        if (indices.size() > 1) indices.pop_back();
        return taken(mixture, indices);
    }

    // Extrapolates a mixture along its last two EM steps. The second element of the result is true if `longest` limits
    // the length of the extrapolation.
    std::pair<Mixture, bool> extrapolated(const Mixture& start, const Mixture& first, const Mixture& second,
                                          double longest) const {
        const Index n = size(start);
        const Values a = coordinates(start), b = coordinates(first), c = coordinates(second);
        const auto change = [&](Index i) { return b[i] - a[i]; };
        const auto curvature = [&](Index i) { return c[i] - b[i] - change(i); };
        double of_change = 0, of_curvature = 0;
        for (Index k = 0; k < n; ++k) {
            const double w = second.weights[k];
            const double units[] = {w, w / second.covariances[k], 0.5 * w};
            for (Index i = 0; i < 3; ++i) {
                const Index at = i * n + k;
                of_change += units[i] * change(at) * change(at);
                of_curvature += units[i] * curvature(at) * curvature(at);
            }
        }
        const double wanted = of_curvature > 0 ? std::sqrt(of_change / of_curvature) : 1;
        const bool is_longest = wanted >= longest;
        const double step = std::max(1.0, std::min(wanted, longest));
        const auto reached = [&](Index i) { return a[i] + 2 * step * change(i) + step * step * curvature(i); };
        Mixture result = second;
        for (Index k = 0; k < n; ++k) {
            const double log_weight = reached(k), log_variance = reached(2 * n + k);
            if (!(std::fabs(log_weight) < 700 && std::fabs(log_variance) < 700)) return {second, is_longest};
            result.weights[k] = exponential(log_weight);
            result.means[k] = reached(n + k);
            result.covariances[k] = exponential(log_variance);
        }
        const double total = sum(result.weights.data(), n);
        for (double& weight : result.weights) weight /= total;
        return {result, is_longest};
    }

    Values coordinates(const Mixture& mixture) const {
        const Index n = size(mixture);
        Values result = room(3 * n);
        kernels_.log(mixture.weights.data(), n, result.data());
        std::copy_n(mixture.means.begin(), n, result.begin() + n);
        kernels_.log(mixture.covariances.data(), n, result.data() + 2 * n);
        return result;
    }

    // --- moves

    State raise(State state, double tried_at) {
        const bool is_valid = state.bound - tried_at < task_.min_step_gain * prior_.total_weight;
        const auto n = static_cast<std::size_t>(size(state.model));
        Marked marked{std::vector<bool>(n, is_valid), Indices(n, -1)};
        prune(state, marked);
        while (!is_over()) {
            Indices chosen = by_weight(state.model, marked.is_tried);
            const Index left = task_.max_components - size(state.model);
            if (static_cast<Index>(chosen.size()) > left)
                chosen.resize(static_cast<std::size_t>(std::max<Index>(left, 0)));
            if (chosen.empty()) break;
            std::optional<std::pair<State, Marked>> result = after_births(state, chosen, marked.is_tried);
            for (const Index k : chosen) marked.is_tried[k] = true;
            if (result) std::tie(state, marked) = std::move(*result);
        }
        const Indices order = by_weight(state.model);
        // Components are sorted, because with a stick-breaking prior, the lower bound is higher if the components are
        // in descending order of their weights.
        if (!std::is_sorted(order.begin(), order.end())) {
            std::optional<State> ordered = judge(taken(state.model, order));
            if (ordered && ordered->bound >= state.bound) state = std::move(*ordered);
        }
        return state;
    }

    // Returns the components in descending order of their weights.
    static Indices by_weight(const Mixture& mixture, const std::vector<bool>& is_left_out = {}) {
        Indices indices;
        for (Index k = 0; k < size(mixture); ++k) {
            if (is_left_out.empty() || !is_left_out[k]) indices.push_back(k);
        }
        std::stable_sort(indices.begin(), indices.end(),
                         [&](Index a, Index b) { return mixture.weights[a] > mixture.weights[b]; });
        return indices;
    }

    Mixture taken(const Mixture& mixture, const Indices& indices) const {
        Mixture result = empty(static_cast<Index>(indices.size()));
        for (std::size_t i = 0; i < indices.size(); ++i) {
            result.weights[i] = mixture.weights[indices[i]];
            result.means[i] = mixture.means[indices[i]];
            result.covariances[i] = mixture.covariances[indices[i]];
        }
        return result;
    }

    // Splits the chosen components, runs EM steps, and merges components if merging raises the lower bound. Returns
    // nothing if the lower bound does not rise above its value before the splits.
    std::optional<std::pair<State, Marked>> after_births(const State& state, const Indices& chosen,
                                                         const std::vector<bool>& is_tried) {
        Mixture model = state.following;
        Marked marked{is_tried, Indices(is_tried.size(), -1)};
        const std::vector<Indices> groups = own_rows(model);
        for (const Index k : chosen) split(k, groups[k], model, marked);
        if (model.weights.size() == groups.size()) return std::nullopt;
        std::optional<State> now = after_steps(std::move(model));
        if (!now) return std::nullopt;
        prune(*now, marked);
        if (!is_higher(*now, state)) return std::nullopt;
        return std::pair(std::move(*now), std::move(marked));
    }

    void split(Index k, const Indices& group, Mixture& model, Marked& marked) {
        const double cut[] = {draw(), draw()};
        if (static_cast<Index>(group.size()) < kMinRowsSplit) return;
        const std::optional<Mixture> parts = parts_of(group, cut);
        if (!parts) return;
        const double mass = prior_.total_weight * model.weights[k], whole = parts->weights[0] + parts->weights[1];
        Indices all(model.weights.size());
        std::iota(all.begin(), all.end(), Index{0});
        all.push_back(k);
        model = taken(model, all);
        const Index indices[] = {k, size(model) - 1};
        for (int i = 0; i < 2; ++i) {
            const double part = mass * parts->weights[i] / whole;
            model.weights[indices[i]] = part / prior_.total_weight;
            model.means[indices[i]] = parts->means[i];
            model.covariances[indices[i]] = (prior_.scale[0] + part * parts->covariances[i]) / (prior_.dof + part);
        }
        marked.is_tried[k] = false, marked.parents[k] = k;
        marked.is_tried.push_back(false), marked.parents.push_back(k);
    }

    // Returns the best split of a component: the two halves of `bisect`, or a pair of components that
    // `best_nested_pair` fits. Returns nothing if the two halves are the best split but do not raise the
    // log-likelihood.
    std::optional<Mixture> parts_of(const Indices& indices, const double* cut) const {
        const Index heaviest = *std::max_element(indices.begin(), indices.end(),
                                                 [&](Index a, Index b) { return weight_[a] < weight_[b]; });
        const Group some = gathered(some_of(indices, heaviest), heaviest), all = gathered(indices, heaviest);
        const Bisection bisection = bisect(kernels_, some.view(), true, &scale_, {cut}, execution_);
        Mixture parts = empty(2), tails = empty(2);
        const double of_some = best_nested_pair(some, kMinSplitWeight, parts);
        const double of_tails = has_tails(all) ? best_nested_pair(all, kMinTailWeight, tails) : -kInfinity;
        if (of_tails > std::max({0.0, of_some, bisection.gain})) return tails;
        if (of_some > bisection.gain) return parts;
        if (!(bisection.gain > 0 && bisection.gain < kInfinity)) return std::nullopt;
        const double unit = bisection.whitening[0];
        for (int i = 0; i < 2; ++i) {
            parts.weights[i] = bisection.mixture.weights[i];
            parts.means[i] = bisection.middle[0] + bisection.mixture.means[i] / unit;
            parts.covariances[i] = bisection.mixture.covariances[i] / (unit * unit);
        }
        return parts;
    }

    // Returns at most kMaxSplitRows of the given row indices, which are in ascending order. The returned indices are
    // taken from evenly spaced positions. The row with the largest weight, `heaviest`, is always included.
    static Indices some_of(const Indices& indices, Index heaviest) {
        const Index n_all = static_cast<Index>(indices.size()), n_used = std::min(n_all, kMaxSplitRows);
        Indices some(static_cast<std::size_t>(n_used));
        for (Index i = 0; i < n_used; ++i) some[i] = indices[(2 * i + 1) * n_all / (2 * n_used)];
        const Index next = std::lower_bound(some.begin(), some.end(), heaviest) - some.begin();
        // If the row with the largest weight is not yet selected, it replaces a neighbouring selected row.
        some[std::min(n_used - 1, next)] = heaviest;
        return some;
    }

    Group gathered(const Indices& indices, Index heaviest) const {
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
    double best_nested_pair(const Group& group, double least, Mixture& parts) const {
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
            return end_of_em(kernels_, group.view(), task_.em.algebra, &ridge, is_second, execution_, mixture, least);
        };
        Mixture other = parts;
        const double nested = converge_from(is_outer, parts), alone = converge_from(is_other, other);
        if (alone > nested) parts = other;
        return std::max(nested, alone) + 0.5 * (kLog2Pi + log_variance + 1);
    }

    // Checks whether some row is so far from the mean that a component at this row must have a smaller weight than
    // kMinSplitWeight.
    static bool has_tails(const Group& group) {
        for (std::size_t i = 0; i < group.rows.size(); ++i) {
            if (group.square(i) * kMinSplitWeight > group.variance) return true;
        }
        return false;
    }

    double draw() { return task_.uniform[cursor_++ % task_.n_uniform]; }

    Values log_scale(const Mixture& mixture) const {
        Approximation posterior(kernels_, prior_, task_.em.algebra, size(mixture), 1);
        posterior.view_rows(mixture);
        Values result(posterior.log_weights(), posterior.log_weights() + size(mixture));
        for (std::size_t k = 0; k < result.size(); ++k) result[k] += mixture.log_abs_det[k];
        return result;
    }

    // Returns, for each component, the rows for which this component is the most probable component. `mixture` must
    // come from an EM step, so that its whitening factors are known.
    std::vector<Indices> own_rows(const Mixture& mixture) const {
        const Values scale = log_scale(mixture);
        std::vector<Indices> groups(mixture.weights.size());
        for (Index i = 0; i < n_rows_; ++i) {
            double best = -kInfinity;
            Index label = 0;
            for (Index k = 0; k < size(mixture); ++k) {
                const double z = mixture.factors[k] * (rows_[i] - mixture.means[k]), at = scale[k] - 0.5 * z * z;
                if (at > best) best = at, label = k;
            }
            groups[label].push_back(i);
        }
        return groups;
    }

    // Merges components as long as merging raises the lower bound, and deletes components that hardly raise the lower
    // bound.
    void prune(State& state, Marked& marked) {
        while (size(state.model) > 1 && !is_over()) {
            const std::vector<Merge> merges = merges_that_pay(state);
            const std::size_t n_sets = std::min<std::size_t>(2, merges.size());
            bool has_risen = false;
            // The loop first tries all merges together. If they do not raise the lower bound, the loop tries only the
            // best merge.
            for (std::size_t i = 0; i < n_sets && !has_risen; ++i) {
                has_risen = try_merges(state, marked, {merges.begin(), i == 0 ? merges.end() : merges.begin() + 1});
            }
            if (!has_risen && merges.empty()) has_risen = try_deletions(state, marked);
            if (!has_risen) break;
        }
    }

    struct Merge {
        Index one, other;
        double gain, mean, scale;
    };

    bool try_merges(State& state, Marked& marked, const std::vector<Merge>& merges) {
        Mixture model = state.following;
        std::vector<bool> is_left(model.weights.size(), true);
        for (const Merge& merge : merges) {
            model.weights[merge.one] += model.weights[merge.other];
            model.means[merge.one] = merge.mean;
            model.covariances[merge.one] = merge.scale / (prior_.dof + prior_.total_weight * model.weights[merge.one]);
            is_left[merge.other] = false;
        }
        std::vector<bool> is_tried = marked.is_tried;
        for (const Merge& merge : merges) {
            is_tried[merge.one] =
                marked.parents[merge.one] >= 0 && marked.parents[merge.one] == marked.parents[merge.other];
        }
        return accept(state, marked, model, is_left, std::move(is_tried));
    }

    bool try_deletions(State& state, Marked& marked) {
        for (Index k = 0; k < size(state.model); ++k) {
            if (!(prior_.total_weight * state.model.weights[k] < kRowsPerParameter * kParameters)) continue;
            std::vector<bool> is_left(state.model.weights.size(), true);
            is_left[k] = false;
            if (accept(state, marked, state.model, is_left, marked.is_tried, kLossOfDeletion)) return true;
        }
        return false;
    }

    bool accept(State& state, Marked& marked, const Mixture& model, const std::vector<bool>& is_left,
                std::vector<bool> is_tried, double allowed = 0) {
        Indices retained;
        Marked after;
        for (std::size_t k = 0; k < is_left.size(); ++k) {
            if (!is_left[k]) continue;
            retained.push_back(static_cast<Index>(k));
            after.is_tried.push_back(is_tried[k]);
            after.parents.push_back(marked.parents[k]);
        }
        std::optional<State> result = judge(taken(model, retained));
        if (!result || !(result->bound > state.bound - allowed)) return false;
        state = std::move(*result);
        marked = std::move(after);
        return true;
    }

    // Returns merges that are expected to raise the lower bound, best first. No component takes part in two of the
    // returned merges.
    std::vector<Merge> merges_that_pay(const State& state) {
        std::vector<Merge> all = promising(state.following);
        if (all.empty()) return {};
        survey(state.model, all);
        return best_of(std::move(all), size(state.model), 1);
    }

    // Returns the merges with a positive gain, best first; each component takes part in at most `limit` merges.
    static std::vector<Merge> best_of(std::vector<Merge> merges, Index n_components, Index limit) {
        std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.gain > b.gain; });
        std::vector<Index> n_chosen(static_cast<std::size_t>(n_components), 0);
        std::vector<Merge> chosen;
        for (const Merge& merge : merges) {
            if (!(merge.gain > 0) || n_chosen[merge.one] >= limit || n_chosen[merge.other] >= limit) continue;
            ++n_chosen[merge.one], ++n_chosen[merge.other];
            chosen.push_back(merge);
        }
        return chosen;
    }

    // Returns pairs of components whose merge would raise the lower bound without its entropy term Σ r log r;
    // `find_merges` in em/bayes/merges.py does the same.
    std::vector<Merge> promising(const Mixture& after) {
        const Index n = size(after);
        Values mass = room(n), dof = room(n), log_dets = room(n), unused = room(n), of_one = room(n);
        for (Index k = 0; k < n; ++k) {
            mass[k] = prior_.total_weight * after.weights[k];
            dof[k] = prior_.dof + mass[k];
        }
        kernels_.log(after.covariances.data(), n, log_dets.data());
        tool_.moments(dof.data(), log_dets.data(), n, unused.data(), of_one.data());
        const double of_weights = tool_.weigh(mass.data(), n, unused.data());
        std::vector<Merge> result;
        for (const auto& [one, other] : candidate_pairs(after)) {
            std::optional<Merge> merge = joined(after, one, other, mass[one], mass[other]);
            if (!merge) continue;
            Values merged = mass;
            merged[one] += merged[other];
            merged[other] = 0;
            std::sort(merged.begin(), merged.end(), std::greater<>());
            const double of_merged = tool_.weigh(merged.data(), n, unused.data());
            merge->gain = merge->gain - of_one[one] - of_one[other] + of_merged - of_weights;
            if (merge->gain > 0) result.push_back(*merge);
        }
        return best_of(std::move(result), n, kMergePairs);
    }

    // Merges two components. The returned gain contains only the part of the lower bound that depends on the mean and
    // the covariance of the merged component.
    std::optional<Merge> joined(const Mixture& mixture, Index one, Index other, double mass, double more) {
        const double beta[] = {prior_.mean_precision + mass, prior_.mean_precision + more};
        const double dof[] = {prior_.dof + mass, prior_.dof + more}, of_both = dof[0] + more;
        const double first = mixture.means[one], second = mixture.means[other], prior = prior_.mean[0];
        const double precision = beta[0] + beta[1] - prior_.mean_precision;
        const double shift = beta[1] * (second - first) - prior_.mean_precision * (prior - first);
        const double mean = first + shift / precision;
        const auto squared_from_mean = [&](double x) { return (x - mean) * (x - mean); };
        const double scale = dof[0] * mixture.covariances[one] + dof[1] * mixture.covariances[other] - prior_.scale[0] +
                             beta[0] * squared_from_mean(first) + beta[1] * squared_from_mean(second) -
                             prior_.mean_precision * squared_from_mean(prior);
        const double variance = scale / of_both;
        if (!(variance > 0)) return std::nullopt;
        const double values[] = {variance, beta[0], beta[1], beta[0] + more, prior_.mean_precision};
        double logs[5], expected, normaliser;
        kernels_.log(values, 5, logs);
        tool_.moments(&of_both, logs, 1, &expected, &normaliser);
        const double gain = 0.5 * (logs[1] + logs[2] - logs[3] - logs[4]) + normaliser + prior_.log_normaliser;
        return Merge{one, other, gain, mean, scale};
    }

    // Returns the pairs that each component forms with its nearest components.
    static std::vector<std::pair<Index, Index>> candidate_pairs(const Mixture& mixture) {
        const Index n = size(mixture);
        std::vector<std::pair<Index, Index>> pairs;
        for (Index k = 0; k < n; ++k) {
            const auto distance = [&](Index l) {
                const double gap = mixture.means[l] - mixture.means[k];
                return gap * gap / std::max(mixture.covariances[k], mixture.covariances[l]);
            };
            Indices others;
            for (Index l = 0; l < n; ++l) {
                if (l != k) others.push_back(l);
            }
            std::stable_sort(others.begin(), others.end(), [&](Index a, Index b) { return distance(a) < distance(b); });
            for (std::size_t i = 0; i < std::min<std::size_t>(kMergeNeighbours, others.size()); ++i) {
                pairs.emplace_back(std::min(k, others[i]), std::max(k, others[i]));
            }
        }
        std::sort(pairs.begin(), pairs.end());
        pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
        return pairs;
    }

    // Subtracts, from the gain of each merge, the change of the entropy term Σ r log r; `merge_sums` in
    // em/bayes/merges.py computes the same change.
    void survey(const Mixture& model, std::vector<Merge>& merges) const {
        const Index n = size(model);
        Mixture before = model;
        if (!factorise(kernels_, task_.em.algebra, 1, execution_.interrupt.listener(), before)) return;
        const Values scale = log_scale(before);
        Values posteriors = room(n_rows_ * n), values, logs;
        const Shape shape{n, 1, FactorShape::spherical, false, Rule::soft, Second::none};
        const ParametersView parameters{scale.data(), before.means.data(), before.factors.data(), nullptr};
        if (!evaluate(kernels_, shape, task_.em.rows, parameters, Output::responsibilities, execution_,
                      posteriors.data())) {
            return;
        }
        for (Merge& merge : merges) {
            Indices indices;
            values.clear();
            for (Index i = 0; i < n_rows_; ++i) {
                const double a = posteriors[i * n + merge.one], b = posteriors[i * n + merge.other];
                if (a > kMinMergeResponsibility && b > kMinMergeResponsibility)
                    indices.push_back(i), values.insert(values.end(), {a, b, a + b});
            }
            logs.resize(values.size());
            kernels_.log(values.data(), static_cast<Index>(values.size()), logs.data());
            double total = 0;
            for (std::size_t i = 0; i < indices.size(); ++i) {
                const double *r = values.data() + 3 * i, *log_r = logs.data() + 3 * i;
                total += weight_[indices[i]] * (r[2] * log_r[2] - r[0] * log_r[0] - r[1] * log_r[1]);
            }
            merge.gain -= prior_.weight_unit * total;
        }
    }

    const KernelTable& kernels_;
    const ColumnView& task_;
    const PackedPriorView prior_;
    const Execution execution_;
    const Index n_rows_;
    const double *rows_, *weight_;
    const std::chrono::time_point<Clock, std::chrono::duration<double>> end_;
    double scale_ = 1;
    Index cursor_ = 0;
    Approximation tool_;
};

}  // namespace

bool improve_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                    double& objective) {
    Column column(kernels, task, execution);
    const std::optional<State> result = column.run_to_end(mixture);
    objective = std::numeric_limits<double>::quiet_NaN();
    if (result) {
        mixture = result->model;
        objective = result->bound / task.em.prior->total_weight;
    }
    return !execution.interrupt.has_come();
}

}  // namespace gaussmix
