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

#include "halves.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

constexpr Index kHalfRows = 400, kParameters = 3;
constexpr double kCoarse = 1e-6;  // nats per row: the tolerance of EM at first, so that moves come before EM creeps
constexpr double kEmpty = 1;      // rows
constexpr double kLongest = 4, kGrowth = 4;  // of extrapolations, relative to two steps

using Places = std::vector<Index>;

struct State {  // a mixture, the one after a step, and the bound of the first, nats
    Mixture model, following;
    double bound;
};

struct Marked {  // which components need not be split again, and which each was a half of, or -1
    std::vector<bool> is_tried;
    Places parents;
};

struct Group {  // rows, and weights that sum to 1
    Numbers rows, weight;
    Index heaviest;  // the place of the heaviest row
    double mean, variance;
    double square(Index i) const { return (rows[i] - mean) * (rows[i] - mean); }
    GroupView view() const { return {static_cast<Index>(rows.size()), 1, rows.data(), weight.data()}; }
};

class Column {
public:
    Column(const KernelTable& kernels, const ColumnView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          belief_(*task.em.belief),
          execution_(execution),
          n_rows_(task.em.rows.n_rows),
          rows_(static_cast<const double*>(task.em.rows.data)),
          weight_(task.em.row_weight.data),
          end_(Clock::now() + std::chrono::duration<double>(task.em.seconds)),
          tool_(kernels, belief_, task.em.algebra, 1, 1) {
        double mean = 0, square = 0;
        for (Index i = 0; i < n_rows_; ++i) mean += weight_[i] * rows_[i] / task.em.total_weight;
        for (Index i = 0; i < n_rows_; ++i) {
            square += weight_[i] * (rows_[i] - mean) * (rows_[i] - mean) / task.em.total_weight;
        }
        scale_ = std::sqrt(std::max(square, std::numeric_limits<double>::min()));
    }

    // Moves and EM in turn, until no move raises the bound or time is up.
    std::optional<State> settle(const Mixture& start) {
        std::optional<State> state = judge(start);
        double tried_at = -kInfinity;
        for (const double tolerance : {std::max(kCoarse, task_.em.tolerance), task_.em.tolerance}) {
            bool is_at_end = false;  // of EM
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
        return one.bound > other.bound + bound_moves::kGain * std::max(1.0, std::fabs(other.bound));
    }

    // Makes steps, and gives the mean bound before each; none where the first is unusual.
    Numbers run(Mixture& mixture, Index n_steps, double tolerance) const {
        EmView em = task_.em;
        em.n_components = size(mixture);
        em.max_steps = n_steps;
        em.tolerance = tolerance;
        Numbers log_likelihoods, objectives;
        run_em(kernels_, em, execution_, mixture.view(), log_likelihoods, &objectives);
        return objectives;
    }

    std::optional<State> judge(const Mixture& mixture) const {
        State state{mixture, mixture, 0};
        const Numbers bounds = run(state.following, 1, -1);
        if (bounds.empty()) return std::nullopt;
        state.bound = bounds[0] * belief_.row_weight;
        return state;
    }

    std::optional<State> after_steps(Mixture mixture) const {
        if (run(mixture, bound_moves::kSteps - 1, task_.gain).empty()) return std::nullopt;
        return judge(mixture);
    }

    // --- EM, with extrapolations of two steps: Varadhan & Roland (2008), Scandinavian Journal of Statistics 35, S3

    // False where a step is unusual.
    bool converge(State& state, double tolerance) const {
        const std::ptrdiff_t n_empty = count_empty(state.model);
        Mixture current = state.model, after = current;  // what EM itself has reached
        Numbers known;                                   // bounds of the two steps before an extrapolation
        double longest = kLongest;
        bool is_longest = false;
        for (Index n_steps = 0; n_steps < task_.em.max_steps; n_steps += 2) {
            Mixture first = current;
            Numbers bounds = run(first, 1, -1);
            Mixture second = first;
            const bool is_extrapolated = !known.empty();
            const bool is_usable = !bounds.empty() && (!is_extrapolated || bounds[0] >= known[1]);
            const Numbers more = is_usable ? run(second, 1, -1) : Numbers();
            if (more.empty() && is_extrapolated) {
                current = after;  // go on without
                known.clear();
                longest = std::max(1.0, longest / kGrowth);
                continue;
            }
            after = more.empty() ? (bounds.empty() ? current : first) : second;
            if (more.empty()) break;
            if (is_extrapolated && is_longest) longest *= kGrowth;
            if (std::fabs(more[0] - bounds[0]) < tolerance || count_empty(second) > n_empty || is_over()) break;
            known = {bounds[0], more[0]};
            std::tie(current, is_longest) = extrapolated(current, first, second, longest);
        }
        std::optional<State> found = judge(after);
        if (!found) found = judge(without_smallest(after));  // a component has just lost its rows
        if (found && found->bound >= state.bound) state = std::move(*found);
        return found.has_value();
    }

    // Components without rows: they may be deleted, if that raises the bound.
    std::ptrdiff_t count_empty(const Mixture& mixture) const {
        return std::count_if(mixture.weights.begin(), mixture.weights.end(),
                             [&](double weight) { return belief_.row_weight * weight < kEmpty; });
    }

    Mixture without_smallest(const Mixture& mixture) const {
        Places places = heaviest(mixture);
        if (places.size() > 1) places.pop_back();
        return taken(mixture, places);
    }

    // A mixture on the way of two steps, and whether it is as far as `longest` allows.
    std::pair<Mixture, bool> extrapolated(const Mixture& start, const Mixture& first, const Mixture& second,
                                          double longest) const {
        const Index n = size(start);
        const Numbers a = coordinates(start), b = coordinates(first), c = coordinates(second);
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
        Mixture found = second;
        for (Index k = 0; k < n; ++k) {
            const double log_weight = reached(k), log_variance = reached(2 * n + k);
            if (!(std::fabs(log_weight) < 700 && std::fabs(log_variance) < 700)) return {second, is_longest};
            found.weights[k] = exponential(log_weight);
            found.means[k] = reached(n + k);
            found.covariances[k] = exponential(log_variance);
        }
        const double total = sum(found.weights.data(), n);
        for (double& weight : found.weights) weight /= total;
        return {found, is_longest};
    }

    Numbers coordinates(const Mixture& mixture) const {
        const Index n = size(mixture);
        Numbers found = room(3 * n);
        kernels_.log(mixture.weights.data(), n, found.data());
        std::copy_n(mixture.means.begin(), n, found.begin() + n);
        kernels_.log(mixture.covariances.data(), n, found.data() + 2 * n);
        return found;
    }

    // --- moves

    State raise(State state, double tried_at) {
        const bool is_known = state.bound - tried_at < task_.gain * belief_.row_weight;
        const auto n = static_cast<std::size_t>(size(state.model));
        Marked marked{std::vector<bool>(n, is_known), Places(n, -1)};
        prune(state, marked);
        while (!is_over()) {
            Places chosen = heaviest(state.model, marked.is_tried);
            const Index left = task_.most - size(state.model);
            if (static_cast<Index>(chosen.size()) > left)
                chosen.resize(static_cast<std::size_t>(std::max<Index>(left, 0)));
            if (chosen.empty()) break;
            std::optional<std::pair<State, Marked>> found = after_births(state, chosen, marked.is_tried);
            for (const Index k : chosen) marked.is_tried[k] = true;
            if (found) std::tie(state, marked) = std::move(*found);
        }
        const Places order = heaviest(state.model);
        if (!std::is_sorted(order.begin(), order.end())) {  // the longest sticks are the first
            std::optional<State> ordered = judge(taken(state.model, order));
            if (ordered && ordered->bound >= state.bound) state = std::move(*ordered);
        }
        return state;
    }

    static Places heaviest(const Mixture& mixture, const std::vector<bool>& is_left_out = {}) {
        Places places;
        for (Index k = 0; k < size(mixture); ++k) {
            if (is_left_out.empty() || !is_left_out[k]) places.push_back(k);
        }
        std::stable_sort(places.begin(), places.end(),
                         [&](Index a, Index b) { return mixture.weights[a] > mixture.weights[b]; });
        return places;
    }

    Mixture taken(const Mixture& mixture, const Places& places) const {
        Mixture found = empty(static_cast<Index>(places.size()));
        for (std::size_t i = 0; i < places.size(); ++i) {
            found.weights[i] = mixture.weights[places[i]];
            found.means[i] = mixture.means[places[i]];
            found.covariances[i] = mixture.covariances[places[i]];
        }
        return found;
    }

    // Splits components, makes steps, and merges again what need not be apart. None if the bound does not rise.
    std::optional<std::pair<State, Marked>> after_births(const State& state, const Places& chosen,
                                                         const std::vector<bool>& is_tried) {
        Mixture model = state.following;
        Marked marked{is_tried, Places(is_tried.size(), -1)};
        const std::vector<Places> groups = own_rows(model);
        for (const Index k : chosen) split(k, groups[k], model, marked);
        if (model.weights.size() == groups.size()) return std::nullopt;
        std::optional<State> now = after_steps(std::move(model));
        if (!now) return std::nullopt;
        prune(*now, marked);
        if (!is_higher(*now, state)) return std::nullopt;
        return std::pair(std::move(*now), std::move(marked));
    }

    void split(Index k, const Places& group, Mixture& model, Marked& marked) {
        const double cut[] = {draw(), draw()};
        if (static_cast<Index>(group.size()) < bound_moves::kFewest) return;
        const std::optional<Mixture> parts = parts_of(group, cut);
        if (!parts) return;
        const double mass = belief_.row_weight * model.weights[k], whole = parts->weights[0] + parts->weights[1];
        Places all(model.weights.size());
        std::iota(all.begin(), all.end(), Index{0});
        all.push_back(k);
        model = taken(model, all);
        const Index places[] = {k, size(model) - 1};
        for (int i = 0; i < 2; ++i) {
            const double part = mass * parts->weights[i] / whole;
            model.weights[places[i]] = part / belief_.row_weight;
            model.means[places[i]] = parts->means[i];
            model.covariances[places[i]] = (belief_.scale[0] + part * parts->covariances[i]) / (belief_.dof + part);
        }
        marked.is_tried[k] = false, marked.parents[k] = k;
        marked.is_tried.push_back(false), marked.parents.push_back(k);
    }

    // The best of two halves and of the two kinds of `apart`; none where halves are the best and gain nothing.
    std::optional<Mixture> parts_of(const Places& places, const double* cut) const {
        const Index heaviest =
            *std::max_element(places.begin(), places.end(), [&](Index a, Index b) { return weight_[a] < weight_[b]; });
        const Group some = gathered(some_of(places, heaviest), heaviest), all = gathered(places, heaviest);
        const Halves halves = halved(kernels_, some.view(), true, &scale_, {cut}, execution_);
        Mixture parts = empty(2), tails = empty(2);
        const double of_some = apart(some, kLeastWeight, parts);
        const double of_tails = has_tails(all) ? apart(all, bound_moves::kAnyWeight, tails) : -kInfinity;
        if (of_tails > std::max({0.0, of_some, halves.gain})) return tails;
        if (of_some > halves.gain) return parts;
        if (!(halves.gain > 0 && halves.gain < kInfinity)) return std::nullopt;
        const double unit = halves.whitening[0];
        for (int i = 0; i < 2; ++i) {
            parts.weights[i] = halves.mixture.weights[i];
            parts.means[i] = halves.middle[0] + halves.mixture.means[i] / unit;
            parts.covariances[i] = halves.mixture.covariances[i] / (unit * unit);
        }
        return parts;
    }

    // At most kHalfRows of ascending places, evenly spaced, the heaviest row among them.
    static Places some_of(const Places& places, Index heaviest) {
        const Index n_all = static_cast<Index>(places.size()), n_used = std::min(n_all, kHalfRows);
        Places some(static_cast<std::size_t>(n_used));
        for (Index i = 0; i < n_used; ++i) some[i] = places[(2 * i + 1) * n_all / (2 * n_used)];
        const Index next = std::lower_bound(some.begin(), some.end(), heaviest) - some.begin();
        some[std::min(n_used - 1, next)] = heaviest;  // where it was, or in the place of a neighbour
        return some;
    }

    Group gathered(const Places& places, Index heaviest) const {
        Group group{{}, {}, std::lower_bound(places.begin(), places.end(), heaviest) - places.begin(), 0, 0};
        for (const Index place : places) group.rows.push_back(rows_[place]), group.weight.push_back(weight_[place]);
        const double total = sum(group.weight.data(), static_cast<Index>(places.size()));
        for (double& weight : group.weight) weight /= total;
        for (std::size_t i = 0; i < places.size(); ++i) group.mean += group.weight[i] * group.rows[i];
        for (std::size_t i = 0; i < places.size(); ++i) group.variance += group.weight[i] * group.square(i);
        return group;
    }

    // Two components of other kinds than halves side by side: a narrow one within a wide one, for heavy tails, and the
    // heaviest row apart from the others. The gain of the better over one component, nats per unit of weight.
    double apart(const Group& group, double least, Mixture& parts) const {
        double log_variance;
        if (!(group.variance > 0)) return -kInfinity;
        kernels_.log(&group.variance, 1, &log_variance);
        std::vector<bool> is_outer, is_other;
        for (std::size_t i = 0; i < group.rows.size(); ++i) {
            is_outer.push_back(!(group.square(i) < group.variance));
            is_other.push_back(group.rows[i] != group.rows[group.heaviest]);
        }
        const double ridge = kRidge * group.variance;
        const auto settle_from = [&](const std::vector<bool>& is_second, Mixture& mixture) {
            return settled(kernels_, group.view(), task_.em.algebra, &ridge, is_second, execution_, mixture, least);
        };
        Mixture other = parts;
        const double nested = settle_from(is_outer, parts), alone = settle_from(is_other, other);
        if (alone > nested) parts = other;
        return std::max(nested, alone) + 0.5 * (kLog2Pi + log_variance + 1);
    }

    // Whether a row is farther away than a half of the least weight could be.
    static bool has_tails(const Group& group) {
        for (std::size_t i = 0; i < group.rows.size(); ++i) {
            if (group.square(i) * kLeastWeight > group.variance) return true;
        }
        return false;
    }

    double draw() { return task_.uniform[cursor_++ % task_.n_uniform]; }

    Numbers log_scale(const Mixture& mixture) const {
        Approximation posterior(kernels_, belief_, task_.em.algebra, size(mixture), 1);
        posterior.look(mixture);
        Numbers found(posterior.log_shares(), posterior.log_shares() + size(mixture));
        for (std::size_t k = 0; k < found.size(); ++k) found[k] += mixture.log_abs_det[k];
        return found;
    }

    // The rows that each component has most of, by a mixture after a step.
    std::vector<Places> own_rows(const Mixture& mixture) const {
        const Numbers scale = log_scale(mixture);
        std::vector<Places> groups(mixture.weights.size());
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

    // Merges components while the bound rises, and deletes those that it hardly needs.
    void prune(State& state, Marked& marked) {
        while (size(state.model) > 1 && !is_over()) {
            const std::vector<Merge> merges = merges_that_pay(state);
            const std::size_t n_sets = std::min<std::size_t>(2, merges.size());
            bool has_risen = false;
            for (std::size_t i = 0; i < n_sets && !has_risen; ++i) {  // all of them, then the best alone
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
            model.covariances[merge.one] = merge.scale / (belief_.dof + belief_.row_weight * model.weights[merge.one]);
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
            if (!(belief_.row_weight * state.model.weights[k] < bound_moves::kSmall * kParameters)) continue;
            std::vector<bool> is_left(state.model.weights.size(), true);
            is_left[k] = false;
            if (accept(state, marked, state.model, is_left, marked.is_tried, bound_moves::kNegligible)) return true;
        }
        return false;
    }

    bool accept(State& state, Marked& marked, const Mixture& model, const std::vector<bool>& is_left,
                std::vector<bool> is_tried, double allowed = 0) {
        Places kept;
        Marked after;
        for (std::size_t k = 0; k < is_left.size(); ++k) {
            if (!is_left[k]) continue;
            kept.push_back(static_cast<Index>(k));
            after.is_tried.push_back(is_tried[k]);
            after.parents.push_back(marked.parents[k]);
        }
        std::optional<State> found = judge(taken(model, kept));
        if (!found || !(found->bound > state.bound - allowed)) return false;
        state = std::move(*found);
        marked = std::move(after);
        return true;
    }

    // Merges of other components each, that should raise the bound; the best first.
    std::vector<Merge> merges_that_pay(const State& state) {
        std::vector<Merge> all = promising(state.following);
        if (all.empty()) return {};
        survey(state.model, all);
        return best_of(std::move(all), size(state.model), 1);
    }

    // Merges with a gain, the best first; each component is in at most so many.
    static std::vector<Merge> best_of(std::vector<Merge> merges, Index n_components, Index most) {
        std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.gain > b.gain; });
        std::vector<Index> n_chosen(static_cast<std::size_t>(n_components), 0);
        std::vector<Merge> chosen;
        for (const Merge& merge : merges) {
            if (!(merge.gain > 0) || n_chosen[merge.one] >= most || n_chosen[merge.other] >= most) continue;
            ++n_chosen[merge.one], ++n_chosen[merge.other];
            chosen.push_back(merge);
        }
        return chosen;
    }

    // Pairs whose merge would raise the bound if it did not lose Σ r log r: `merges` of em/bayes/bound_moves.py.
    std::vector<Merge> promising(const Mixture& after) {
        const Index n = size(after);
        Numbers mass = room(n), dof = room(n), log_dets = room(n), unused = room(n), of_one = room(n);
        for (Index k = 0; k < n; ++k) {
            mass[k] = belief_.row_weight * after.weights[k];
            dof[k] = belief_.dof + mass[k];
        }
        kernels_.log(after.covariances.data(), n, log_dets.data());
        tool_.moments(dof.data(), log_dets.data(), n, unused.data(), of_one.data());
        const double of_weights = tool_.weigh(mass.data(), n, unused.data());
        std::vector<Merge> found;
        for (const auto& [one, other] : near(after)) {
            std::optional<Merge> merge = joined(after, one, other, mass[one], mass[other]);
            if (!merge) continue;
            Numbers merged = mass;
            merged[one] += merged[other];
            merged[other] = 0;
            std::sort(merged.begin(), merged.end(), std::greater<>());
            const double of_merged = tool_.weigh(merged.data(), n, unused.data());
            merge->gain = merge->gain - of_one[one] - of_one[other] + of_merged - of_weights;
            if (merge->gain > 0) found.push_back(*merge);
        }
        return best_of(std::move(found), n, bound_moves::kPairs);
    }

    // Two components as one. Its gain is the part of the bound that its mean and covariance have.
    std::optional<Merge> joined(const Mixture& mixture, Index one, Index other, double mass, double more) {
        const double beta[] = {belief_.precision + mass, belief_.precision + more};
        const double dof[] = {belief_.dof + mass, belief_.dof + more}, of_both = dof[0] + more;
        const double first = mixture.means[one], second = mixture.means[other], prior = belief_.mean[0];
        const double precision = beta[0] + beta[1] - belief_.precision;
        const double shift = beta[1] * (second - first) - belief_.precision * (prior - first);
        const double mean = first + shift / precision;
        const auto apart = [&](double place) { return (place - mean) * (place - mean); };
        const double scale = dof[0] * mixture.covariances[one] + dof[1] * mixture.covariances[other] -
                             belief_.scale[0] + beta[0] * apart(first) + beta[1] * apart(second) -
                             belief_.precision * apart(prior);
        const double variance = scale / of_both;
        if (!(variance > 0)) return std::nullopt;
        const double numbers[] = {variance, beta[0], beta[1], beta[0] + more, belief_.precision};
        double logs[5], expected, normaliser;
        kernels_.log(numbers, 5, logs);
        tool_.moments(&of_both, logs, 1, &expected, &normaliser);
        const double gain = 0.5 * (logs[1] + logs[2] - logs[3] - logs[4]) + normaliser + belief_.log_normaliser;
        return Merge{one, other, gain, mean, scale};
    }

    // Pairs of components, each with its nearest.
    static std::vector<std::pair<Index, Index>> near(const Mixture& mixture) {
        const Index n = size(mixture);
        std::vector<std::pair<Index, Index>> pairs;
        for (Index k = 0; k < n; ++k) {
            const auto distance = [&](Index l) {
                const double apart = mixture.means[l] - mixture.means[k];
                return apart * apart / std::max(mixture.covariances[k], mixture.covariances[l]);
            };
            Places others;
            for (Index l = 0; l < n; ++l) {
                if (l != k) others.push_back(l);
            }
            std::stable_sort(others.begin(), others.end(), [&](Index a, Index b) { return distance(a) < distance(b); });
            for (std::size_t i = 0; i < std::min<std::size_t>(bound_moves::kNeighbours, others.size()); ++i) {
                pairs.emplace_back(std::min(k, others[i]), std::max(k, others[i]));
            }
        }
        std::sort(pairs.begin(), pairs.end());
        pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
        return pairs;
    }

    // Takes Σ r log r from the gains of pairs: `Survey` of em/bayes/bound_moves.py.
    void survey(const Mixture& model, std::vector<Merge>& merges) const {
        const Index n = size(model);
        Mixture known = model;
        if (!factorise(kernels_, task_.em.algebra, 1, execution_.interrupt.listener(), known)) return;
        const Numbers scale = log_scale(known);
        Numbers shares = room(n_rows_ * n), numbers, logs;
        const Shape shape{n, 1, FactorShape::spherical, false, Rule::soft, Second::none};
        const ParametersView parameters{scale.data(), known.means.data(), known.factors.data(), nullptr};
        if (!evaluate(kernels_, shape, task_.em.rows, parameters, Output::responsibilities, execution_,
                      shares.data())) {
            return;
        }
        for (Merge& merge : merges) {
            Places places;
            numbers.clear();
            for (Index i = 0; i < n_rows_; ++i) {
                const double a = shares[i * n + merge.one], b = shares[i * n + merge.other];
                if (a > bound_moves::kShared && b > bound_moves::kShared)
                    places.push_back(i), numbers.insert(numbers.end(), {a, b, a + b});
            }
            logs.resize(numbers.size());
            kernels_.log(numbers.data(), static_cast<Index>(numbers.size()), logs.data());
            double total = 0;
            for (std::size_t i = 0; i < places.size(); ++i) {
                const double *r = numbers.data() + 3 * i, *log_r = logs.data() + 3 * i;
                total += weight_[places[i]] * (r[2] * log_r[2] - r[0] * log_r[0] - r[1] * log_r[1]);
            }
            merge.gain -= belief_.unit * total;
        }
    }

    const KernelTable& kernels_;
    const ColumnView& task_;
    const BeliefView belief_;
    const Execution execution_;
    const Index n_rows_;
    const double *rows_, *weight_;
    const std::chrono::time_point<Clock, std::chrono::duration<double>> end_;
    double scale_ = 1;
    Index cursor_ = 0;
    Approximation tool_;
};

}  // namespace

bool settle_column(const KernelTable& kernels, const ColumnView& task, const Execution& execution, Mixture& mixture,
                   double& objective) {
    Column column(kernels, task, execution);
    const std::optional<State> found = column.settle(mixture);
    objective = std::numeric_limits<double>::quiet_NaN();
    if (found) {
        mixture = found->model;
        objective = found->bound / task.em.belief->row_weight;
    }
    return !execution.interrupt.has_come();
}

}  // namespace gaussmix
