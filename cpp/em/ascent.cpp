#include "ascent.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "families/axes.hpp"
#include "moves.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

constexpr double kStepsOfMove = 12;  // about
constexpr double kMinRidges = 2;     // times the ridge: a smaller variance is one of equal values
constexpr double kMaxChance = 20;    // times what the numbers of a component gain by chance where rows are many
// The steps of EM that take as long as a ranking, and as a part of the rows with its first M-step.
constexpr double kStepsOfRanking = 3, kStepsBefore = 2;

struct Candidate {
    Attempt attempt;
    Ranking ranking;             // what is left of it after this move
    std::optional<double> gain;  // none: it does not help
    double work = 0;             // pairs of a row and a component that EM has visited
    bool is_hopeless = false;    // it is refused at a glance
};

class Ascent {
public:
    Ascent(const KernelTable& kernels, const AscentView& task, const Execution& execution, const MixtureView& mixture,
           const AscentResult& start)
        : kernels_(kernels),
          task_(task),
          acceptance_(task.acceptance),
          execution_(execution),
          algebra_(task.em.algebra),
          is_full_(algebra_.second() == Second::full),
          d_(task.em.rows.n_features),
          n_components_(task.em.n_components),
          moves_(kernels, task, execution, mixture, start.cursor),
          reached_(start.log_likelihood),
          left_(acceptance_.max_moves) {}

    // False where EM of the rows is not as usual, and if interrupted.
    bool begin() {
        if (!moves_.begin()) return false;
        n_unsound_ = count_unsound(moves_.mixture(), moves_.view());
        return true;
    }

    // Makes rounds of moves until one does not help.
    AscentResult ascend(const MixtureView& out) {
        while (left_ > 0 && work_ < acceptance_.max_work && !execution_.interrupt.has_come()) {
            std::vector<Candidate> result = helpful_moves();
            if (result.empty()) break;
            bool helps = accept(result);
            for (std::size_t i = 0; i < result.size() && result.size() > 1 && !helps; ++i) {
                helps = accept({result[i]});
            }
            if (!helps) break;
            ++n_moves_;
        }
        moves_.mixture().write(out);
        return end(n_moves_);
    }

private:
    struct End {
        // The log-likelihood before the last step, what that step gained over the one before, and how many times less.
        double last, gain, decline;

        // What further steps may reach: gains do not grow, nor are they much larger than those of a steady decline.
        double reach(double n_steps) const {
            double declining = 0, next = 1;
            for (Index i = 0; i < static_cast<Index>(n_steps); ++i) declining += next *= decline;
            return last + gain * (decline < 1 ? std::min(n_steps, kCaution * declining) : n_steps);
        }
    };

    struct Unmoved {  // the end of steps without a move
        double last, work;
    };

    AscentResult end(Index n_moves) const {
        return {n_moves,
                reached_,
                work_,
                n_unsound_,
                moves_.cursor(),
                moves_.is_hopeless(),
                has_refused_,
                moves_.best_split(),
                acceptance_.max_moves - left_,
                n_accepted_};
    }

    // Moves that help on their own parts and touch different components, until so many in a row do not help. The one
    // that gains most comes first.
    std::vector<Candidate> helpful_moves() {
        std::vector<Candidate> result;
        Indices touched;
        Ranking ranking;
        if (!task_.has_swaps) {
            ranking = moves_.ranked();
            work_ += work_of(kStepsOfRanking, moves_.whole());
        }
        const bool is_unpromising = !task_.has_swaps && moves_.best_split() < acceptance_.min_promise;
        const Index patience = is_unpromising ? acceptance_.less_patience : acceptance_.patience;
        const Index at_once = count_workers({execution_.n_threads, 1, work_of_move(), {}, {}}, execution_.n_threads);
        bool is_over = false, are_hopeless = !task_.has_swaps;
        for (Index n_failures = 0; !is_over;) {
            std::vector<Candidate> tried;
            const Index limit = are_hopeless ? std::min(patience, acceptance_.first_moves) : patience;
            while (static_cast<Index>(tried.size()) < std::min({at_once, left_, limit - n_failures})) {
                Candidate candidate;
                if (!propose(ranking, touched, candidate.attempt)) break;
                if (at_once > 1) candidate.ranking = ranking;
                tried.push_back(std::move(candidate));
            }
            if (execution_.interrupt.has_come() || tried.empty() || !judge(tried)) break;
            for (Candidate& candidate : tried) {
                --left_;
                work_ += candidate.work;
                const bool helps = candidate.gain.has_value();
                n_failures = helps ? 0 : n_failures + 1;
                are_hopeless &= candidate.is_hopeless;
                const bool is_whole = static_cast<Index>(candidate.attempt.part.components.size()) == n_components_;
                if (helps) {  // what was tried after it did not know
                    moves_.rewind(candidate.attempt.cursor);
                    if (at_once > 1) ranking = std::move(candidate.ranking);
                    touched.insert(touched.end(), candidate.attempt.touched.begin(), candidate.attempt.touched.end());
                    result.push_back(std::move(candidate));
                }
                is_over = n_failures == patience || (are_hopeless && n_failures == acceptance_.first_moves) ||
                          left_ <= 0 || work_ >= acceptance_.max_work || (!result.empty() && is_whole);
                if (helps || is_over) break;
            }
        }
        const auto above = [](const Candidate& a, const Candidate& b) { return *a.gain > *b.gain; };
        std::stable_sort(result.begin(), result.end(), above);
        return result;
    }

    bool propose(Ranking& ranking, const Indices& touched, Attempt& attempt) {
        if (!task_.has_swaps) return moves_.move(ranking, touched, attempt);
        moves_.swap(attempt);
        return true;
    }

    // Makes moves together, if EM on all rows ends higher and no further component is unsound.
    bool accept(const std::vector<Candidate>& result) {
        Mixture trial = moves_.mixture();
        for (const Candidate& each : result) moves_.put(each.attempt.part.components, each.attempt.mixture, trial);
        const double aim = reached_ + acceptance_.gain;
        auto end = ended(moves_.whole(), trial, acceptance_.after_move, execution_, work_);
        if (end && end->last <= aim && end->reach(static_cast<double>(acceptance_.after_more.limit)) > aim) {
            end = ended(moves_.whole(), trial, acceptance_.after_more, execution_, work_);
        }
        if (!end || end->last - chance(trial) <= aim - chance(moves_.mixture())) return false;
        View view;
        if (!end || end->last <= aim || !moves_.expect(trial, view)) return false;
        const Index n_unsound = count_unsound(trial, view);
        if (n_unsound > n_unsound_) {
            has_refused_ = true;
            return false;
        }
        moves_.replace(std::move(trial), std::move(view));
        n_accepted_ += static_cast<Index>(result.size());
        unmoved_.clear();
        reached_ = end->last;
        n_unsound_ = n_unsound;
        return true;
    }

    // Of what takes as long as several steps of EM with variances; with a matrix, moves of all rows take most of the time.
    double work_of(double n_steps, const EmView& em) const {
        return is_full_ || algebra_.is_shared() ? 0 : n_steps * static_cast<double>(em.rows.n_rows * em.n_components);
    }

    double chance(const Mixture& mixture) const {
        return gained_by_chance(algebra_, d_, mixture, task_.em.rows.n_rows);
    }

    double work_of_move() const {
        const Index k = moves_.max_neighbours();
        const Shape shape{k, d_, algebra_.factor_shape(), false, Rule::soft, algebra_.second()};
        const double part = static_cast<double>(k) / static_cast<double>(n_components_);
        return kStepsOfMove * work_per_row(shape) * part * static_cast<double>(task_.em.rows.n_rows);
    }

    // False if interrupted.
    bool judge(std::vector<Candidate>& tried) const {
        if (tried.size() == 1) {  // threads share its rows
            tried[0].gain = gain_of(tried[0], execution_);
            return !execution_.interrupt.has_come();
        }
        const auto judge_one = [&](Index index, const Execution& alone) {
            Candidate& candidate = tried[static_cast<std::size_t>(index)];
            try {
                candidate.gain = gain_of(candidate, alone);
            } catch (const std::bad_alloc&) {
                candidate.gain.reset();
            }
        };
        return process_each(static_cast<Index>(tried.size()), work_of_move(), execution_, judge_one);
    }

    // The gain of a move, nats per row, if EM ends higher with it than without it in as many steps. Makes these steps.
    std::optional<double> gain_of(Candidate& candidate, const Execution& execution) const {
        if (candidate.attempt.is_vain) return std::nullopt;
        const Part& part = candidate.attempt.part;
        candidate.work += work_of(kStepsBefore, part.em);
        const double least = acceptance_.gain / part.posterior, limit = part.log_likelihood + least;
        const auto go_on = [&](const Steps& steps) {
            return ended(part.em, candidate.attempt.mixture, steps, execution, candidate.work);
        };
        const auto is_promising = [&](const std::optional<End>& end, double n_more) {
            return end && end->reach(n_more) > limit;
        };
        std::optional<End> quick;
        if (algebra_.is_shared()) {
            quick = go_on({acceptance_.first.tolerance, acceptance_.first.limit - 1});
            candidate.is_hopeless = !is_promising(quick, acceptance_.quick_factor * acceptance_.promising_factor);
            if (candidate.is_hopeless) return std::nullopt;
        }
        auto end = go_on(quick ? Steps{acceptance_.first.tolerance, 1} : acceptance_.first);
        if (quick && end) end->gain = std::max(0.0, end->last - quick->last);
        Index n_steps = acceptance_.first.limit;
        if (!is_promising(end, acceptance_.promising_factor)) return std::nullopt;
        if (end->last <= limit || end->gain > least) {
            Steps some = acceptance_.longer;
            n_steps += some.limit;
            for (Index left = some.limit; left > 0; left -= some.limit) {
                some.limit = std::min(acceptance_.first.limit, left);
                end = go_on(some);
                const auto n_left = static_cast<double>(std::max<Index>(1, left - some.limit));
                if (!is_promising(end, std::min(n_left, acceptance_.promising_factor))) return std::nullopt;
                if (end->gain < some.tolerance) break;
            }
            if (end->last <= limit) return std::nullopt;
        }
        const double gain = end->last - unmoved(part, n_steps, end->last - least, execution, candidate);
        return gain > least ? std::optional<double>(gain * part.posterior) : std::nullopt;
    }

    // The log-likelihood of a part after as many steps without the move, or what it can't exceed if that is not enough to
    // refuse the move. Moves of the whole share it.
    double unmoved(const Part& part, Index n_steps, double enough, const Execution& execution,
                   Candidate& candidate) const {
        const auto find = [&](double least) {
            Mixture mixture = part.mixture;
            Unmoved result{part.log_likelihood, 0};
            for (Index left = n_steps; left > 0;) {
                const Steps steps{acceptance_.first.tolerance, std::min(left, acceptance_.first.limit)};
                const auto end = ended(part.em, mixture, steps, execution, result.work);
                if (!end) return Unmoved{part.log_likelihood, result.work};
                left -= steps.limit;
                const bool has_converged = end->gain < steps.tolerance;
                result.last = has_converged ? end->last : end->reach(static_cast<double>(left));
                if (has_converged || result.last < least) break;
            }
            return result;
        };
        const auto of_part = [&] {
            if (static_cast<Index>(part.components.size()) < n_components_) return find(enough);
            const std::lock_guard lock(one_at_a_time_);
            const auto cached = unmoved_.find(n_steps);
            return cached != unmoved_.end() ? cached->second : unmoved_[n_steps] = find(-kInfinity);
        };
        const Unmoved result = of_part();
        candidate.work += result.work;  // charged to every caller, so that the order of callers does not matter
        return result.last;
    }

    // EM from a mixture. None if a component loses its rows or collapses on the way, because such a move is refused.
    std::optional<End> ended(EmView em, Mixture& mixture, const Steps& steps, const Execution& execution,
                             double& work) const {
        Values history;
        em.tolerance = steps.tolerance;
        em.max_steps = steps.limit;
        if (!run_em(kernels_, em, execution, mixture.view(), history)) return std::nullopt;
        const std::size_t n = history.size();
        const double gain = n > 1 ? history[n - 1] - history[n - 2] : 0;
        const double before = n > 2 ? history[n - 2] - history[n - 3] : 0;
        if (has_converged(history, steps.tolerance) || static_cast<Index>(n) == steps.limit) {
            work += static_cast<double>(static_cast<Index>(n) * em.rows.n_rows * em.n_components);
            return End{history.back(), std::max(0.0, gain),
                       !algebra_.is_shared() && before > gain && gain > 0 ? gain / before : 1};
        }
        return std::nullopt;
    }

    // Components with too few distinct rows, or with few and nearly flat compared with the start.
    Index count_unsound(const Mixture& mixture, const View& view) const {
        const auto n_values = static_cast<double>(is_full_ && !algebra_.is_shared() ? d_ + 1 : 2);
        Index n_unsound = 0;
        for (Index k = 0; k < n_components_; ++k) {
            const double n_rows = view.n_rows[k];
            if (n_rows < acceptance_.min_rows * n_values ||
                (n_rows < acceptance_.min_rows_if_flat * n_values && is_flat(mixture, k))) {
                ++n_unsound;
            }
        }
        return n_unsound;
    }

    bool is_flat(const Mixture& mixture, Index k) const {
        for (Index j = 0; j < d_; ++j) {  // equal values: nothing but the ridge is left
            if (moves_.variance(mixture, k, j) < kMinRidges * task_.em.ridge[j]) return true;
        }
        if (!is_full_) {
            for (Index j = 0; j < d_; ++j) {
                if (moves_.variance(mixture, k, j) < acceptance_.flat * task_.within[j]) return true;
            }
            return false;
        }
        // Features in units of their own, so that none is lost beside a large one.
        Values scaled = room(d_ * d_), own(scaled), turned(scaled), values = room(d_), axes(scaled);
        for (Index i = 0; i < d_ * d_; ++i) {
            const double unit = std::sqrt(task_.within[i / d_ * (d_ + 1)]) * std::sqrt(task_.within[i % d_ * (d_ + 1)]);
            scaled[i] = task_.within[i] / unit;
            own[i] = moves_.covariance(mixture, k)[i] / unit;
        }
        const Listener listener = execution_.interrupt.listener();
        principal_axes(kernels_, 1, d_, scaled.data(), listener, values.data(), axes.data());
        const double least = std::numeric_limits<double>::epsilon();
        for (Index i = 0; i < d_ * d_; ++i) axes[i] /= std::sqrt(std::max(values[i % d_], least));
        const auto multiply = [&](auto&& a, auto&& b, Values& to) {
            for (Index i = 0; i < d_ * d_; ++i) {
                to[i] = 0;
                for (Index l = 0; l < d_; ++l) to[i] += a(i / d_, l) * b(l, i % d_);
            }
        };
        multiply([&](Index i, Index l) { return axes[l * d_ + i]; }, [&](Index l, Index j) { return own[l * d_ + j]; },
                 turned);
        multiply([&](Index i, Index l) { return turned[i * d_ + l]; },
                 [&](Index l, Index j) { return axes[l * d_ + j]; }, own);
        for (Index i = 0; i < d_ * d_; ++i) own[i] = 0.5 * (own[i] + own[i % d_ * d_ + i / d_]);
        principal_axes(kernels_, 1, d_, own.data(), listener, values.data(), axes.data());
        return values[d_ - 1] < acceptance_.flat;
    }

    const KernelTable& kernels_;
    const AscentView& task_;
    const AcceptanceSettings& acceptance_;
    const Execution& execution_;
    const Algebra algebra_;
    const bool is_full_;
    const Index d_, n_components_;
    Moves moves_;
    double reached_;
    double work_ = 0;
    Index n_unsound_ = 0, n_moves_ = 0, n_accepted_ = 0, left_;
    bool has_refused_ = false;
    mutable std::map<Index, Unmoved> unmoved_;  // of the whole, by the number of steps
    mutable std::mutex one_at_a_time_;          // who looks there
};

}  // namespace

double gained_by_chance(const Algebra& algebra, Index n_features, const Mixture& mixture, Index n_rows) {
    if (!algebra.is_free()) return 0;
    const auto d = static_cast<double>(n_features), n = static_cast<double>(n_rows);
    const bool is_full = algebra.second() == Second::full, is_sphere = algebra.second() == Second::trace;
    const double lost = is_full ? d + 2 : is_sphere ? 1 + 2 / d : 3;
    const double count = is_full ? d * (d + 3) / 2 : is_sphere ? d + 1 : 2 * d;
    double total = 0;
    for (const double weight : mixture.weights) {
        const double left = weight * n - lost;
        total += left > 0 ? std::min(kMaxChance, 1 + lost / left) : kMaxChance;
    }
    return count * total / n;
}

Values mean_covariance(const Algebra& algebra, Index n_components, Index n_features, const Mixture& mixture) {
    const bool is_full = algebra.second() == Second::full;
    const Index size = algebra.size(n_features), count = is_full ? size : n_features;
    Values mean = room(count), terms = room(n_components);
    for (Index i = 0; i < count; ++i) {
        for (Index k = 0; k < n_components; ++k) {
            const Index at = (algebra.is_shared() ? 0 : k * size) + (size == 1 ? 0 : i);
            terms[k] = mixture.weights[k] * mixture.covariances[at];
        }
        mean[i] = sum_in_pairs(terms.data(), n_components);
    }
    return mean;
}

bool ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution, MixtureView mixture,
            AscentResult& result) {
    Ascent ascend(kernels, task, execution, mixture, result);
    if (ascend.begin()) {
        result = ascend.ascend(mixture);
    } else {
        result.n_moves = -1;
    }
    return !execution.interrupt.has_come();
}

bool cross(const KernelTable& kernels, const EmView& em, const Execution& execution, const MixtureView& other,
           MixtureView mixture, bool& has_model) {
    has_model = false;
    AscentView task{};
    task.em = em;
    Index& count = task.em.n_components;
    count *= 2;
    Mixture pooled(em.algebra, count, em.rows.n_features);
    for (Index i = 0; i < count; ++i) {
        pooled.weights[i] = 0.5 * (i < em.n_components ? mixture.weights[i] : other.weights[i - em.n_components]);
    }
    const auto pool = [](const double* first, const double* second, Values& to) {
        const auto half = static_cast<Index>(to.size() / 2);
        std::copy_n(second, half, std::copy_n(first, half, to.begin()));
    };
    pool(mixture.means, other.means, pooled.means);
    pool(mixture.covariances, other.covariances, pooled.covariances);
    while (count > em.n_components) {
        Moves moves(kernels, task, execution, pooled.view(), 0);
        if (!moves.view_first()) break;
        const Values posteriors = moves.merged(std::max<Index>(1, (count - em.n_components + 2) / 3), count);
        pooled = Mixture(em.algebra, count, em.rows.n_features);
        bool is_fitted = false;
        if (!begin_em(kernels, task.em, execution, {nullptr, posteriors.data(), count, 1}, pooled.view(), is_fitted) ||
            !is_fitted) {
            break;
        }
        if (count == em.n_components) {
            pooled.write(mixture);
            has_model = true;
        }
    }
    return !execution.interrupt.has_come();
}

}  // namespace gaussmix
