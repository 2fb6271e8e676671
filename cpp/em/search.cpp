#include "search.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>

#include "passes.hpp"

namespace gaussmix {

namespace {

// No sample is drawn if the number of rows is less than this multiple of the wanted sample size.
constexpr double kNoThinning = 1.3;
// Mixtures with at most this number of components have few split-and-merge moves, so the search tries more
// initialisations.
constexpr Index kSmallMixture = 3;
// Mixtures with at least this number of components are not initialised from groups of rows (`begin_elsewhere`), because
// split-and-merge moves reach the same maxima from any initialisation.
constexpr Index kLargeMixture = 10;
constexpr Index kStepsElsewhere = 40;  // maximum number of EM steps by which another initialisation is judged
// fraction of the remaining rows that each group leaves to later groups (see `group_rows`)
constexpr double kTail = 0.125;

struct Rows {  // a weighted sample of the rows, or all rows
    Values rows, weight;
    TotalMoments total;
    EmView em;
    mutable std::vector<Index> ends;  // indices of rows with extreme values, computed when they are first needed
};
using SharedRows = std::shared_ptr<const Rows>;

struct Reached {  // state that a search run has reached, at its beginning or after moves
    SharedRows rows;
    Mixture mixture;
    Values within;  // mean covariance of the components at the beginning of the run
    double start;   // log-likelihood at the beginning of the run
    AscentResult result;
    Index patience;

    bool is_done() const { return result.is_hopeless && result.n_unsound == 0; }
    bool is_better(const Reached& other) const {
        if (result.n_unsound < other.result.n_unsound) return result.log_likelihood > other.start;
        return result.n_unsound == other.result.n_unsound && result.log_likelihood > other.result.log_likelihood;
    }
};

class Search {
public:
    Search(const KernelTable& kernels, const EmView& em, const SearchView& search, const RandomNumbers& random,
           const Execution& execution, std::vector<AscentStart>& starts, SearchReport& report)
        : kernels_(kernels),
          em_(em),
          search_(search),
          random_(random),
          execution_(execution),
          n_rows_(em.rows.n_rows),
          n_components_(em.n_components),
          d_(em.rows.n_features),
          starts_(starts),
          report_(report) {}

    bool find(Mixture& mixture, Index n_steps) {
        const double work =
            search_.search_steps_factor * static_cast<double>(n_steps + search_.n_extra_em_steps) * pairs(n_rows_);
        left_ = work;
        const SharedRows all = whole(), first_part = part(all, search_.first_rows);
        const double start_of_more = is_cut(all, search_.second_rows) ? random_.next() : 0;
        std::optional<Reached> best;
        const auto ascend_from = [&](std::optional<Reached> next) {
            if (!next) return;
            try_ranked(*next, search_.patience);
            if (!best || next->is_better(*best)) best = std::move(next);
        };
        ascend_from(begin(first_part, mixture, search_.initial_limits));
        const bool may_move = !best || (n_rows_ < search_.min_rows_to_subsample && !best->is_done() && !is_over());
        if (n_components_ > kSmallMixture && may_move) {
            Mixture start = mixture;
            if (find_another(first_part, start))
                ascend_from(begin(first_part, std::move(start), search_.initial_limits));
        } else if (n_components_ < kLargeMixture) {
            ascend_from(begin_elsewhere(first_part, mixture, best));
        }
        if (!best) return false;
        SharedRows more;
        const auto find_more = [&] {
            if (!more) more = part(all, search_.second_rows, start_of_more);
            return more;
        };
        const bool are_alone = !em_.algebra.is_shared();
        bool has_refused = best->result.has_refused;
        if (!are_alone && !best->is_done()) try_moves(*best, search_.swap_patience, search_.max_moves, true);
        has_refused |= best->result.has_refused;
        const Index n_first_rows = first_part->em.rows.n_rows;
        const bool is_misfit =
            !best->is_done() && best->result.best_split * static_cast<double>(n_first_rows) > search_.misfit_gain;
        if (n_steps >= search_.min_slow_steps && search_.n_ascents * n_first_rows <= n_rows_ && is_misfit &&
            !is_over()) {
            left_ = search_.crossing_work_factor * work;
            cross_ends(*best, all, find_more());
        }
        for (const bool is_last : {false, true}) {
            if (n_rows_ < search_.min_rows_to_subsample) break;
            has_refused |= best->result.has_refused;
            if (is_over() || (is_last ? !has_refused : best->is_done())) continue;
            const SharedRows rows = is_last ? all : find_more();
            const double n_steps_left = left_ / pairs(rows->em.rows.n_rows);
            const bool is_repeated =
                rows->em.rows.n_rows == best->rows->em.rows.n_rows && best->patience == search_.refinement_patience;
            if (is_repeated || n_steps_left < 1) continue;
            Steps steps = search_.refinement_limits;
            if (n_steps_left < static_cast<double>(steps.limit)) steps.limit = static_cast<Index>(n_steps_left);
            std::optional<Reached> next = begin(rows, best->mixture, steps);
            if (!next) break;
            best = std::move(next);
            try_ranked(*best, search_.refinement_patience);
        }
        mixture = std::move(best->mixture);
        return true;
    }

private:
    bool is_over() const { return left_ <= 0 || execution_.interrupt.has_come(); }
    double pairs(Index n_rows) const { return static_cast<double>(n_rows * n_components_); }

    SharedRows with_view(std::shared_ptr<Rows> rows) const {
        EmView& em = rows->em;
        em = em_;
        if (!rows->weight.empty()) {
            const auto n_rows = static_cast<Index>(rows->weight.size());
            em.rows = plain_rows(rows->rows.data(), n_rows, d_);
            em.row_weight = {rows->weight.data(), 1};
            em.total_weight = sum_in_pairs(rows->weight.data(), n_rows);
            em.total = {};
        }
        find_total(kernels_, em, execution_, rows->total);
        return rows;
    }

    SharedRows whole() const { return with_view(std::make_shared<Rows>()); }

    bool is_cut(const SharedRows& all, Index wanted) const {
        const Index n_rows = all->em.rows.n_rows;
        return n_rows >= search_.min_rows_to_subsample &&
               static_cast<double>(n_rows) > kNoThinning * static_cast<double>(wanted);
    }

    // Returns the indices of two rows for each feature: the first row with the smallest value, and the first row with
    // the largest value.
    std::vector<Index> ends_of(const double* rows, Index n_rows) const {
        std::vector<Index> ends(static_cast<std::size_t>(2 * d_));
        Values low(rows, rows + d_), high(low);
        for (Index row = 1; row < n_rows; ++row) {
            for (Index j = 0; j < d_; ++j) {
                const double number = rows[row * d_ + j];
                if (number < low[j]) low[j] = number, ends[j] = row;
                if (number > high[j]) high[j] = number, ends[d_ + j] = row;
            }
        }
        return ends;
    }

    // Draws about `wanted` rows by systematic sampling: rows are taken at equal steps of the cumulative weight. The
    // rows with the smallest or largest value of a feature are added, so that the sample contains all extreme outliers.
    // Returns all rows if the sample would be nearly as large as the table.
    SharedRows part(const SharedRows& all, Index wanted) {
        return part(all, wanted, is_cut(all, wanted) ? random_.next() : 0);
    }
    SharedRows part(const SharedRows& all, Index wanted, double first) const {
        const Index n_rows = all->em.rows.n_rows;
        const auto n_wanted = static_cast<double>(wanted);
        if (!is_cut(all, wanted)) return all;
        const auto* rows = static_cast<const double*>(all->em.rows.data);
        const double* weight = all->em.row_weight.data;
        const double distance = all->em.total_weight / n_wanted;
        std::vector<double> drawn(static_cast<std::size_t>(n_rows));
        double reached = 0, n_drawn = 0;
        for (Index row = 0; row < n_rows; ++row) {
            reached += weight[row];
            for (; n_drawn < n_wanted && (n_drawn + first) * distance < reached; ++n_drawn) ++drawn[row];
        }
        if (all->ends.empty()) all->ends = ends_of(rows, n_rows);
        for (const Index row : all->ends) drawn[row] = std::max(drawn[row], weight[row] / distance);
        auto result = std::make_shared<Rows>();
        for (Index row = 0; row < n_rows; ++row) {
            if (!(drawn[row] > 0)) continue;
            result->rows.insert(result->rows.end(), rows + row * d_, rows + (row + 1) * d_);
            result->weight.push_back(drawn[row]);
        }
        return with_view(std::move(result));
    }

    // Initialises a mixture by k-means on a sample of the rows, followed by an M-step on all of `rows`. Returns false
    // if a centre or a component has too few rows.
    bool find_another(const SharedRows& rows, Mixture& mixture) {
        SharedRows some = part(rows, search_.kmeans_rows);
        if (some->em.rows.n_rows < search_.min_kmeans_rows) some = rows;
        Values uniform;
        for (Index i = 0; i < 1 + (n_components_ - 1) * search_.kmeans.n_candidates; ++i)
            uniform.push_back(random_.next());
        return find_centres(kernels_, some->em, search_.kmeans, uniform.data(), execution_, mixture.means.data()) &&
               begin_em(kernels_, rows->em, execution_, {}, mixture.view());
    }

    // Begins a search run at the best of several other initialisations: groups of rows at similar distances from the
    // overall mean, groups of rows along one feature, and another run of k-means. EM from each initialisation continues
    // as long as its log-likelihood may still exceed the log-likelihood of the earlier search run.
    std::optional<Reached> begin_elsewhere(const SharedRows& rows, Mixture start,
                                           const std::optional<Reached>& reached) {
        const bool is_small = n_components_ <= kSmallMixture;
        double aim = -kInfinity;
        if (reached) aim = reached->result.n_unsound > 0 ? reached->start : reached->result.log_likelihood;
        std::optional<Mixture> best;
        const auto judge = [&](bool has_model) {
            if (has_model && has_promise(rows, start, aim)) best = start;
        };
        const Values distance = distances(rows);
        if (is_small) judge(group_rows(rows, distance, kTail, start));
        judge(group_rows(rows, distance, 0, start));
        judge(group_rows(rows, flattest_feature(rows), 0, start));
        if (is_small) judge(find_another(rows, start));
        return best ? begin(rows, std::move(*best), search_.initial_limits) : std::nullopt;
    }

    // Runs EM in portions as long as the log-likelihood may exceed `aim` at the end. The further gain is estimated as
    // `promising_factor` times the last gain, or less if the gains decline. If EM reaches a log-likelihood above `aim`,
    // the function sets `aim` to this log-likelihood and returns true.
    bool has_promise(const SharedRows& rows, Mixture& mixture, double& aim) {
        const AcceptanceSettings& settings = search_.acceptance;
        const Steps some{search_.initial_limits.tolerance, settings.trial_limits.limit};
        double gain = kInfinity, reached = -kInfinity;
        for (Index left = kStepsElsewhere; left > 0 && !(gain < some.tolerance); left -= some.limit) {
            Values history;
            if (!run_to_end(kernels_, rows->em, some, execution_, mixture, history)) return false;
            left_ -= static_cast<double>(history.size()) * pairs(rows->em.rows.n_rows);
            reached = history.back();
            const std::size_t n = history.size();
            gain = n > 1 ? reached - history[n - 2] : 0;
            const double before = n > 2 ? history[n - 2] - history[n - 3] : 0;
            double n_gains = settings.promising_factor;
            if (gain > 0 && before > gain) n_gains = std::min(n_gains, kCaution * gain / (before - gain));
            if (reached + n_gains * gain < aim) return false;
        }
        if (!(reached > aim + settings.min_move_gain)) return false;
        aim = reached;
        return true;
    }

    // Computes minus half the squared Mahalanobis distance of each row from the mean of all rows; for diagonal and
    // spherical structures, only variances are used. If a feature is multiplied by a power of two, the result stays the
    // same to the last bit. The result is empty if the covariance is singular, or if interrupted.
    Values distances(const SharedRows& rows) const {
        EmView em = rows->em;
        em.n_components = 1;
        em.algebra = {Across::own, Across::own, em_.algebra.second() == Second::full ? Across::own : Across::nothing};
        em.total = {};
        const Values all(static_cast<std::size_t>(em.rows.n_rows), 1.0), log_scale = room(1);
        Mixture one(em.algebra, 1, d_);
        Values result = room(em.rows.n_rows);
        const Shape shape{1, d_, em.algebra.factor_shape(), false, Rule::soft, Second::none};
        if (!begin_em(kernels_, em, execution_, {nullptr, all.data(), 1, 1}, one.view()) ||
            !factorise(kernels_, em.algebra, d_, execution_.interrupt.listener(), one) ||
            !evaluate(kernels_, shape, em.rows, {log_scale.data(), one.means.data(), one.factors.data(), nullptr},
                      Output::weighted_log_density, execution_, result.data())) {
            return {};
        }
        return result;
    }

    // Returns the values of the feature with the smallest kurtosis, because no distribution has a smaller kurtosis than
    // two separate groups of equal size.
    Values flattest_feature(const SharedRows& rows) const {
        const auto* values = static_cast<const double*>(rows->em.rows.data);
        const double* weight = rows->em.row_weight.data;
        double least = kInfinity;
        Values result;
        for (Index j = 0; j < d_; ++j) {
            Values column = room(rows->em.rows.n_rows);
            double mean = 0, second = 0, kurtosis = 0;
            for (std::size_t row = 0; row < column.size(); ++row) {
                column[row] = values[static_cast<Index>(row) * d_ + j];
                mean += weight[row] * column[row];
            }
            mean /= rows->em.total_weight;
            const auto square = [&](std::size_t row) { return (column[row] - mean) * (column[row] - mean); };
            for (std::size_t row = 0; row < column.size(); ++row) second += weight[row] * square(row);
            for (std::size_t row = 0; row < column.size(); ++row) {
                // The squared deviation is divided by `second` so that the square of this quotient does not underflow.
                const double part = square(row) / second;
                kurtosis += weight[row] * (part * part);
            }
            if (kurtosis < least) least = kurtosis, result = std::move(column);
        }
        return result;
    }

    // Sorts the rows in descending order of `values`, (n_rows,), divides the sorted rows into one group for each
    // component, and performs an M-step from these groups. If `tail` is 0, all groups have equal weights. If `tail` is
    // positive, the first group leaves a fraction `tail` of the rows to later groups, the second group leaves the same
    // fraction of these remaining rows, and so on. Returns false if `values` is empty, or if a group has too few rows.
    bool group_rows(const SharedRows& rows, const Values& values, double tail, Mixture& mixture) const {
        const EmView& em = rows->em;
        std::vector<Index> order(values.size());
        std::iota(order.begin(), order.end(), Index{0});
        std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return values[a] > values[b]; });
        Values bounds;  // total weight of the rows that follow each group
        for (Index k = 1; k < n_components_; ++k) {
            const double equal = static_cast<double>(n_components_ - k) / static_cast<double>(n_components_);
            bounds.push_back(em.total_weight * equal);
            if (tail > 0) bounds.back() = tail * (k == 1 ? em.total_weight : bounds[bounds.size() - 2]);
        }
        std::vector<std::int32_t> labels(values.size());
        double left = em.total_weight;
        std::size_t group = 0;
        for (const Index row : order) {
            const double weight = em.row_weight.data[row];
            while (group < bounds.size() && left - 0.5 * weight < bounds[group]) ++group;
            left -= weight;
            labels[row] = static_cast<std::int32_t>(group);
        }
        return !values.empty() && begin_em(kernels_, em, execution_, {labels.data(), nullptr, 1, 1}, mixture.view());
    }

    std::optional<Reached> begin(const SharedRows& rows, Mixture mixture, const Steps& steps) {
        Values history;
        if (!run_to_end(kernels_, rows->em, steps, execution_, mixture, history)) return std::nullopt;
        left_ -= static_cast<double>(history.size()) * pairs(rows->em.rows.n_rows);
        Values within = mean_covariance(em_, mixture);
        Reached reached{rows, std::move(mixture), std::move(within), history.back(), {}, 0};
        reached.result.log_likelihood = reached.start;
        return reached;
    }

    void try_ranked(Reached& reached, Index patience) {
        reached.patience = patience;
        starts_.push_back({reached.rows->em.rows.n_rows, reached.result.log_likelihood});
        try_moves(reached, patience, search_.max_moves, false);
    }

    void try_moves(Reached& reached, Index patience, Index max_moves, bool has_swaps) {
        const AscentView task{
            reached.rows->em, reached.within.data(), search_.acceptance, max_moves, patience, left_, has_swaps,
            random_};
        std::optional<AscentResult> result =
            ascend(kernels_, task, execution_, reached.result.log_likelihood, reached.mixture);
        if (!result) return;
        left_ -= result->work;
        report_.n_tried += static_cast<double>(result->n_tried);
        report_.n_accepted += static_cast<double>(result->n_accepted);
        random_ = result->random;
        if (has_swaps) {  // Runs with swaps do not rank splits, so the results of the last ranking are kept.
            result->is_hopeless = reached.result.is_hopeless;
            result->best_split = reached.result.best_split;
            result->has_refused |= reached.result.has_refused;
        }
        reached.result = *result;
    }

    // Makes further search runs, each from another initialisation and on another sample of the rows. The best result of
    // all runs is combined (see `cross`) with the result of each other run. Each combination is improved by a search
    // run, and replaces the best result if the combination is better. The result that was best at first is combined
    // last. If this result is still the best, it is combined with itself, which only means that further moves are made
    // from it.
    void cross_ends(Reached& first, const SharedRows& all, const SharedRows& more) {
        std::vector<Mixture> mixtures{first.mixture};
        for (Index i = 1; i < search_.n_ascents; ++i) {
            const SharedRows rows = part(all, search_.first_rows);
            Mixture start = first.mixture;
            std::optional<Reached> next;
            if (!is_over() && find_another(rows, start)) next = begin(rows, std::move(start), search_.initial_limits);
            if (!next) continue;
            try_ranked(*next, search_.patience);
            mixtures.push_back(std::move(next->mixture));
        }
        std::vector<Reached> ends;
        for (const Mixture& mixture : mixtures) {
            if (std::optional<Reached> end = begin(more, mixture, search_.refinement_limits)) {
                // This call makes no moves, and only counts unsound components, which have too few rows or a nearly
                // singular covariance.
                try_moves(*end, 0, 0, false);
                ends.push_back(std::move(*end));
            }
        }
        const auto above = [](const Reached& a, const Reached& b) {
            if (a.result.n_unsound != b.result.n_unsound) return a.result.n_unsound < b.result.n_unsound;
            return a.result.log_likelihood > b.result.log_likelihood;
        };
        std::stable_sort(ends.begin(), ends.end(), above);
        if (ends.empty()) return;
        Reached best = ends[0];
        for (std::size_t i = 1; i <= ends.size() && !is_over(); ++i) {
            std::optional<Mixture> mixture =
                cross(kernels_, first.rows->em, execution_, best.mixture, ends[i % ends.size()].mixture);
            if (!mixture) continue;
            std::optional<Reached> child = begin(more, std::move(*mixture), search_.refinement_limits);
            if (!child) continue;
            try_ranked(*child, search_.patience);
            if (child->is_better(best)) best = std::move(*child);
        }
        if (std::optional<Reached> last = begin(more, best.mixture, search_.refinement_limits)) best = std::move(*last);
        try_ranked(best, search_.refinement_patience);
        first = std::move(best);
    }

    const KernelTable& kernels_;
    const EmView em_;
    const SearchView& search_;
    RandomNumbers random_;
    const Execution& execution_;
    const Index n_rows_, n_components_, d_;
    std::vector<AscentStart>& starts_;
    SearchReport& report_;
    double left_ = 0;
};

}  // namespace

bool search(const KernelTable& kernels, const EmView& em, const SearchView& search, const double* draws, Index n_steps,
            const Execution& execution, Mixture& mixture, std::vector<AscentStart>& starts, SearchReport& report) {
    report = {};
    return Search(kernels, em, search, {draws, search.n_draws}, execution, starts, report).find(mixture, n_steps);
}

}  // namespace gaussmix
