#include "columns.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "births.hpp"
#include "column_em.hpp"
#include "variational_merges.hpp"

namespace gaussmix {

namespace {

constexpr Index kParametersPerComponent = 3;  // weight, mean and variance of a component
// first tolerance of EM, in nats per row, which is so coarse that moves begin before the slow last phase of EM
constexpr double kFirstTolerance = 1e-6;

bool is_higher(const State& one, const State& other) {
    return one.bound > other.bound + kRoundingOfBound * std::max(1.0, std::fabs(other.bound));
}

// For each component, `is_tried` stores whether a split has been tried and has failed, and `parents` stores the
// component from which this component was split, or -1.
struct SplitHistory {
    std::vector<bool> is_tried;
    Indices parents;
};

class Column {
public:
    Column(const KernelTable& kernels, const ColumnView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          prior_(*task.em.prior),
          execution_(execution),
          em_(kernels, task, execution),
          scale_(std::sqrt(variance_of_rows())),
          sample_{1, static_cast<const double*>(task.em.rows.data), task.em.row_weight.data, nullptr, &scale_},
          random_(task.random) {}

    // Alternates moves (births, merges and deletions) with EM until no move raises the lower bound or the time limit is
    // reached.
    std::optional<State> run_to_end(const Mixture& start) {
        std::optional<State> state = em_.judge(start);
        double bound_after_last = -kInfinity;  // lower bound after the last moves
        for (const double tolerance : {std::max(kFirstTolerance, task_.em.tolerance), task_.em.tolerance}) {
            bool is_at_end = false;  // whether EM has converged
            while (state && !em_.is_over()) {
                const double before = state->bound;
                state = after_moves(std::move(*state), bound_after_last);
                if (is_at_end && !(state->bound > before)) break;
                bound_after_last = state->bound;
                const Index n_components = size(state->model);
                const Index n_empty = em_.count_empty(state->model);
                if (!em_.converge(*state, tolerance)) break;
                is_at_end = size(state->model) == n_components && em_.count_empty(state->model) <= n_empty;
            }
        }
        return state;
    }

private:
    // Makes moves until none raises the lower bound. If EM has hardly raised the lower bound since the last moves,
    // births are not tried again.
    State after_moves(State state, double bound_after_last) {
        const bool skips_births = state.bound - bound_after_last < task_.min_step_gain * prior_.total_weight;
        const auto n = static_cast<std::size_t>(size(state.model));
        SplitHistory history{std::vector<bool>(n, skips_births), Indices(n, -1)};
        prune(state, history);
        while (!em_.is_over()) {
            Indices chosen = by_weight(state.model, history.is_tried);
            const Index max_births = task_.max_components - size(state.model);
            if (static_cast<Index>(chosen.size()) > max_births) chosen.resize(std::max<Index>(max_births, 0));
            if (chosen.empty()) break;
            std::optional<std::pair<State, SplitHistory>> result = after_births(state, chosen, history.is_tried);
            for (const Index k : chosen) history.is_tried[k] = true;
            if (result) std::tie(state, history) = std::move(*result);
        }
        const Indices order = by_weight(state.model);
        // Components are sorted, because with a stick-breaking prior, the lower bound is higher if the components are
        // in descending order of their weights.
        if (!std::is_sorted(order.begin(), order.end())) {
            std::optional<State> ordered = em_.judge(select_components(state.model, order));
            if (ordered && ordered->bound >= state.bound) state = std::move(*ordered);
        }
        return state;
    }

    // Splits the chosen components, runs EM steps, and merges components if merging raises the lower bound. Returns
    // nothing if the lower bound does not rise above its value before the splits.
    std::optional<std::pair<State, SplitHistory>> after_births(const State& state, const Indices& chosen,
                                                               const std::vector<bool>& is_tried) {
        Mixture model = state.following;
        SplitHistory history{is_tried, Indices(is_tried.size(), -1)};
        const std::vector<Indices> groups = own_rows(model);
        for (const Index k : chosen) split(k, groups[k], model, history);
        if (model.weights.size() == groups.size()) return std::nullopt;
        std::optional<State> now = em_.after_steps(std::move(model));
        if (!now) return std::nullopt;
        prune(*now, history);
        if (!is_higher(*now, state)) return std::nullopt;
        return std::pair(std::move(*now), std::move(history));
    }

    // Replaces component k by two components, one for each part of its rows `group`, unless they cannot be split.
    void split(Index k, const Indices& group, Mixture& model, SplitHistory& history) {
        const Values uniform = random_.draw(n_cut_draws(1));
        const std::optional<Mixture> parts =
            split_component(kernels_, sample_, task_.em.algebra.second(), group, uniform.data(), execution_);
        if (!parts) return;
        const double mass = prior_.total_weight * model.weights[k], whole = parts->weights[0] + parts->weights[1];
        Indices all(model.weights.size());
        std::iota(all.begin(), all.end(), Index{0});
        all.push_back(k);
        model = select_components(model, all);
        const Index indices[] = {k, size(model) - 1};
        for (int i = 0; i < 2; ++i) {
            const double part = mass * parts->weights[i] / whole;
            model.weights[indices[i]] = part / prior_.total_weight;
            model.means[indices[i]] = parts->means[i];
            model.covariances[indices[i]] = (prior_.scale[0] + part * parts->covariances[i]) / (prior_.dof + part);
        }
        history.is_tried[k] = false, history.parents[k] = k;
        history.is_tried.push_back(false), history.parents.push_back(k);
    }

    // Returns the variance of all rows, but at least the smallest positive normal number.
    double variance_of_rows() const {
        double mean, sum_of_squares;
        if (!find_scatter(kernels_, task_.em, execution_, &mean, &sum_of_squares)) return 1;
        return std::max(sum_of_squares / task_.em.total_weight, std::numeric_limits<double>::min());
    }

    // Returns, for each component, the rows for which this component is the most probable component. `mixture` must
    // come from an EM step, so that its whitening factors are known.
    std::vector<Indices> own_rows(const Mixture& mixture) const {
        const Values scale = em_.log_scale(mixture);
        const auto* rows = static_cast<const double*>(task_.em.rows.data);
        std::vector<Indices> groups(mixture.weights.size());
        for (Index i = 0; i < task_.em.rows.n_rows; ++i) {
            double best = -kInfinity;
            Index label = 0;
            for (Index k = 0; k < size(mixture); ++k) {
                const double z = mixture.factors[k] * (rows[i] - mixture.means[k]), density = scale[k] - 0.5 * z * z;
                if (density > best) best = density, label = k;
            }
            groups[label].push_back(i);
        }
        return groups;
    }

    // Merges components as long as merging raises the lower bound, and deletes components that hardly raise the lower
    // bound.
    void prune(State& state, SplitHistory& history) {
        while (size(state.model) > 1 && !em_.is_over()) {
            const std::vector<Merge> merges = promising_merges(state);
            const std::size_t n_sets = std::min<std::size_t>(2, merges.size());
            bool has_risen = false;
            // The loop first tries all merges together. If they do not raise the lower bound, the loop tries only the
            // best merge.
            for (std::size_t i = 0; i < n_sets && !has_risen; ++i) {
                has_risen = try_merges(state, history, {merges.begin(), i == 0 ? merges.end() : merges.begin() + 1});
            }
            if (!has_risen && merges.empty()) has_risen = try_deletions(state, history);
            if (!has_risen) break;
        }
    }

    // Returns merges that are expected to raise the lower bound, best first. No component takes part in two merges.
    std::vector<Merge> promising_merges(const State& state) const {
        const Listener listener = execution_.interrupt.listener();
        // A merge adds the responsibilities of two components under `state.model`. `state.following` comes from an
        // M-step with these responsibilities, so its parameters contain the sums over the rows that a merge adds.
        std::vector<Merge> merges = find_merges(kernels_, prior_, task_.em.algebra, 1, state.following, listener);
        Mixture before = state.model;
        if (merges.empty() || !factorise(kernels_, task_.em.algebra, 1, listener, before)) return {};
        const Algebra spherical{Across::own, Across::nothing, Across::nothing};
        const Values responsibilities = evaluate(kernels_, spherical, before, em_.log_scale(before), task_.em.rows,
                                                 Output::responsibilities, execution_);
        if (responsibilities.empty()) return {};
        std::vector<std::pair<Index, Index>> pairs;
        for (const Merge& merge : merges) pairs.emplace_back(merge.one, merge.other);
        const WeightedResponsibilities weighted{task_.em.rows.n_rows, size(before), responsibilities.data(),
                                                task_.em.row_weight.data};
        const MergeSums sums = merge_sums(kernels_, weighted, pairs, {}, listener);
        for (std::size_t i = 0; i < merges.size(); ++i) merges[i].gain -= prior_.weight_unit * sums.entropy[i];
        return best_merges(std::move(merges), size(before), 1);
    }

    // Makes all merges at once, and accepts the result if the lower bound rises; otherwise returns false. If a merge
    // only undoes a split, a split of the merged component counts as tried.
    bool try_merges(State& state, SplitHistory& history, const std::vector<Merge>& merges) {
        Mixture model = state.following;
        std::vector<bool> is_retained(model.weights.size(), true);
        for (const Merge& merge : merges) {
            model.weights[merge.one] += model.weights[merge.other];
            model.means[merge.one] = merge.mean[0];
            model.covariances[merge.one] =
                merge.scale[0] / (prior_.dof + prior_.total_weight * model.weights[merge.one]);
            is_retained[merge.other] = false;
        }
        std::vector<bool> is_tried = history.is_tried;
        for (const Merge& merge : merges) {
            is_tried[merge.one] =
                history.parents[merge.one] >= 0 && history.parents[merge.one] == history.parents[merge.other];
        }
        return accept(state, history, model, is_retained, std::move(is_tried));
    }

    // Deletes the first component that has few rows per parameter and whose deletion lowers the lower bound by less
    // than kLossOfDeletion. Returns false if there is no such component.
    bool try_deletions(State& state, SplitHistory& history) {
        for (Index k = 0; k < size(state.model); ++k) {
            if (!(prior_.total_weight * state.model.weights[k] < kRowsPerParameter * kParametersPerComponent)) continue;
            std::vector<bool> is_retained(state.model.weights.size(), true);
            is_retained[k] = false;
            if (accept(state, history, state.model, is_retained, history.is_tried, kLossOfDeletion)) return true;
        }
        return false;
    }

    // Replaces the state by an EM step from the components of `model` for which `is_retained` is true. Returns false
    // and changes nothing if the lower bound would not rise or, with a positive `allowed`, would fall by `allowed`
    // or more.
    bool accept(State& state, SplitHistory& history, const Mixture& model, const std::vector<bool>& is_retained,
                std::vector<bool> is_tried, double allowed = 0) {
        Indices retained;
        SplitHistory after;
        for (std::size_t k = 0; k < is_retained.size(); ++k) {
            if (!is_retained[k]) continue;
            retained.push_back(static_cast<Index>(k));
            after.is_tried.push_back(is_tried[k]);
            after.parents.push_back(history.parents[k]);
        }
        std::optional<State> result = em_.judge(select_components(model, retained));
        if (!result || !(result->bound > state.bound - allowed)) return false;
        state = std::move(*result);
        history = std::move(after);
        return true;
    }

    const KernelTable& kernels_;
    const ColumnView& task_;
    const PackedPriorView& prior_;
    const Execution execution_;
    const ColumnEm em_;
    const double scale_;  // standard deviation of all rows
    const SampleView sample_;
    RandomNumbers random_;
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
