#include "ascent.hpp"

#include <algorithm>
#include <mutex>
#include <new>
#include <span>
#include <utility>

#include "moves.hpp"
#include "passes.hpp"
#include "unsound.hpp"

namespace gaussmix {

namespace {

constexpr double kStepsOfMove = 12;  // estimated number of EM steps after a split-and-merge move
// upper limit on the log-likelihood gain of a component that is expected by chance, as a multiple of the gain expected
// for a component with very many rows
constexpr double kMaxChance = 20;
// A search keeps its result only if the total gain in log-likelihood, in nats, is at least this number times p / n,
// where p is the number of parameters of a mean and a full covariance, and n is the number of rows. If the gain is
// below this minimum, the new mixture may describe new rows no better than the old mixture does.
constexpr double kLeastGain = 30;
// Estimated times, measured in EM steps on the same rows: the time for ranking all moves, and the time for selecting
// the rows of one move and performing the first M-step of this move.
constexpr double kStepsOfRanking = 3, kStepsOfPreparation = 2;

// Returns the log-likelihood gain, in nats per row, that is expected from overfitting: from fitting means and
// covariances to chance deviations of `n_rows` distinct rows. The gain of a component with n rows is the gain of a
// single Gaussian that is fitted to n rows: with p parameters, p n / (n - n_lost) nats, as in AICc (Hurvich & Tsai
// 1989, Biometrika 76). `n_lost` is d + 2 for a full covariance. With a diagonal covariance, each feature is a Gaussian
// with d = 1, and a spherical covariance is fitted to n d numbers. Returns 0 if the covariances of components depend on
// each other.
double gain_by_chance(const Algebra& algebra, Index n_features, const Values& weights, Index n_rows) {
    if (!algebra.is_free()) return 0;
    const auto d = static_cast<double>(n_features), n = static_cast<double>(n_rows);
    const bool is_full = algebra.second() == Second::full, is_sphere = algebra.second() == Second::trace;
    const double n_lost = is_full ? d + 2 : is_sphere ? 1 + 2 / d : 3;
    const double n_parameters = is_full ? d * (d + 3) / 2 : is_sphere ? d + 1 : 2 * d;
    double total = 0;
    for (const double weight : weights) {
        const double n_left = weight * n - n_lost;
        total += n_left > 0 ? std::min(kMaxChance, 1 + n_lost / n_left) : kMaxChance;
    }
    return n_parameters * total / n;
}

struct Candidate {
    Attempt attempt;
    Ranking ranking;             // split-and-merge moves that remain in the ranking after this candidate
    std::optional<double> gain;  // log-likelihood gain in nats per row; empty if the move does not gain enough
    double work = 0;             // work for judging this move, in (row, component) pairs visited by EM
};

class Ascent {
public:
    Ascent(const KernelTable& kernels, const AscentView& task, const Execution& execution, const Mixture& mixture,
           double log_likelihood)
        : kernels_(kernels),
          task_(task),
          acceptance_(task.acceptance),
          execution_(execution),
          algebra_(task.em.algebra),
          n_components_(task.em.n_components),
          moves_(kernels, task, execution, mixture),
          log_likelihood_(log_likelihood),
          n_moves_left_(task.max_moves) {}

    // Makes rounds of split-and-merge moves until a round does not raise the log-likelihood. Returns nothing if a
    // covariance is singular, or if interrupted.
    std::optional<AscentResult> ascend(Mixture& out) {
        if (!moves_.begin()) return std::nullopt;
        n_unsound_ = count_unsound(kernels_, task_, moves_.mixture(), moves_.responsibilities().n_rows, execution_);
        while (n_moves_left_ > 0 && work_ < task_.max_work && !execution_.interrupt.has_come()) {
            std::vector<Candidate> candidates = helpful_moves();
            if (candidates.empty()) break;
            // Makes all moves together or, if this does not help, the first move that helps.
            bool helps = accept(candidates);
            for (std::size_t i = 0; i < candidates.size() && candidates.size() > 1 && !helps; ++i) {
                helps = accept({&candidates[i], 1});
            }
            if (!helps) break;
        }
        out = moves_.mixture();
        return AscentResult{log_likelihood_,      work_,        n_unsound_,          moves_.random(),
                            moves_.is_hopeless(), has_refused_, moves_.best_split(), task_.max_moves - n_moves_left_,
                            n_accepted_};
    }

private:
    struct Progress {
        // `last` is the log-likelihood before the last EM step, and `gain` is the increase of the log-likelihood by the
        // EM step before the last one. `decline` is `gain` divided by the increase before `gain`, or 1 if the increases
        // do not decline or if all components share a covariance.
        double last, gain, decline;

        // Returns an estimate of the log-likelihood after `n_steps` further EM steps. The estimate assumes that the
        // gains of these steps do not grow, and that the sum of the gains is at most kCaution times the sum that a
        // geometric decline of the gains would give.
        double forecast(double n_steps) const {
            double declining = 0, next = 1;
            for (Index i = 0; i < static_cast<Index>(n_steps); ++i) declining += next *= decline;
            return last + gain * (decline < 1 ? std::min(n_steps, kCaution * declining) : n_steps);
        }
    };

    // EM without a split-and-merge move, for comparison: the state after each portion of EM steps, and the work of all
    // EM steps up to this state.
    struct ControlRun {
        Mixture mixture;
        std::vector<std::pair<Progress, double>> states;
    };

    // A round of split-and-merge moves, which are tried one after the other.
    struct Round {
        Ranking ranking;       // moves that have not been tried
        Index patience;        // number of consecutive failed moves after which the round ends
        Index n_at_once;       // number of moves that are judged at the same time
        Index n_failures = 0;  // number of consecutive failed moves
        Indices touched = {};  // components that take part in moves of `helpful`
        std::vector<Candidate> helpful = {};
    };

    // Returns split-and-merge moves that raise the log-likelihood of the affected rows, in descending order of their
    // gains. No component takes part in two of the returned moves. The function stops after `patience` consecutive
    // moves have failed.
    std::vector<Candidate> helpful_moves() {
        Round round = begin_round();
        for (bool is_over = false; !is_over;) {
            std::vector<Candidate> tried = propose_moves(round);
            if (execution_.interrupt.has_come() || tried.empty() || !compute_gains(tried)) break;
            for (Candidate& candidate : tried) {
                const bool helps = candidate.gain.has_value();
                is_over = record(round, candidate);
                if (helps || is_over) break;  // later moves were judged without this move, so they are judged again
            }
        }
        const auto above = [](const Candidate& a, const Candidate& b) { return *a.gain > *b.gain; };
        std::stable_sort(round.helpful.begin(), round.helpful.end(), above);
        return std::move(round.helpful);
    }

    Round begin_round() {
        const Index n_at_once = count_workers({execution_.n_threads, 1, work_of_move()}, execution_.n_threads);
        Ranking ranking = moves_.rank();
        work_ += work_outside_em(kStepsOfRanking, task_.em);
        const bool is_unpromising = moves_.best_split() < acceptance_.min_promised_gain;
        const Index patience = is_unpromising ? std::max(kMinPatience, task_.patience / 2) : task_.patience;
        return {std::move(ranking), patience, n_at_once};
    }

    // Returns the next moves of a round, which the threads judge at the same time: no more moves than could fail before
    // the round ends.
    std::vector<Candidate> propose_moves(Round& round) {
        const Index count = std::min({round.n_at_once, n_moves_left_, round.patience - round.n_failures});
        std::vector<Candidate> result;
        while (static_cast<Index>(result.size()) < count) {
            Candidate candidate;
            if (!moves_.try_next(round.ranking, round.touched, candidate.attempt)) break;
            if (round.n_at_once > 1) candidate.ranking = round.ranking;
            result.push_back(std::move(candidate));
        }
        return result;
    }

    // Records a judged move. If the move helps, the moves after it are tried again. Returns true if the round ends.
    bool record(Round& round, Candidate& candidate) {
        --n_moves_left_;
        work_ += candidate.work;
        const Attempt& attempt = candidate.attempt;
        const bool is_whole = static_cast<Index>(attempt.part.components.size()) == n_components_;
        ++round.n_failures;
        if (candidate.gain) {
            round.n_failures = 0;
            if (round.n_at_once > 1) round.ranking = std::move(candidate.ranking);
            round.touched.insert(round.touched.end(), attempt.touched.begin(), attempt.touched.end());
            round.helpful.push_back(std::move(candidate));
        }
        return round.n_failures == round.patience || n_moves_left_ <= 0 || work_ >= task_.max_work ||
               (!round.helpful.empty() && is_whole);
    }

    // Makes several split-and-merge moves together, and returns whether they are kept. Moves are kept if EM on all rows
    // then raises the log-likelihood by more than the required gain, and if the number of unsound components (see
    // `count_unsound`) does not increase.
    bool accept(std::span<const Candidate> moves) {
        Mixture trial = moves_.mixture();
        for (const Candidate& each : moves) moves_.replace(each.attempt.part.components, each.attempt.mixture, trial);
        const double aim = log_likelihood_ + acceptance_.min_move_gain;
        auto end = run_steps(task_.em, trial, acceptance_.limits_after_move, execution_, work_);
        if (end && end->last <= aim &&
            end->forecast(static_cast<double>(acceptance_.long_limits_after_move.limit)) > aim) {
            end = run_steps(task_.em, trial, acceptance_.long_limits_after_move, execution_, work_);
        }
        if (!end || end->last - chance(trial) <= aim - chance(moves_.mixture())) return false;
        Responsibilities responsibilities;
        if (end->last <= aim || !moves_.find_responsibilities(trial, responsibilities)) return false;
        const Index n_unsound = count_unsound(kernels_, task_, trial, responsibilities.n_rows, execution_);
        if (n_unsound > n_unsound_) {
            has_refused_ = true;
            return false;
        }
        moves_.set_mixture(std::move(trial), std::move(responsibilities));
        n_accepted_ += static_cast<Index>(moves.size());
        control_ = {};
        log_likelihood_ = end->last;
        n_unsound_ = n_unsound;
        return true;
    }

    // Returns the work of operations outside EM that take as long as `n_steps` EM steps, in (row, component) pairs.
    // With full or shared covariances, the result is 0, because EM itself takes most of the time with such covariances.
    double work_outside_em(double n_steps, const EmView& em) const {
        return algebra_.second() == Second::full || algebra_.is_shared() ? 0 : n_steps * em.work_of_step();
    }

    // Returns the log-likelihood gain, in nats per row, that is expected from overfitting all rows.
    double chance(const Mixture& mixture) const {
        return gain_by_chance(algebra_, task_.em.rows.n_features, mixture.weights, task_.em.rows.n_rows);
    }

    // Returns the estimated work of judging one move, in multiply-adds.
    double work_of_move() const {
        const Index k = moves_.max_part_size();
        const Shape shape{k, task_.em.rows.n_features, algebra_.factor_shape(), false, Rule::soft, algebra_.second()};
        const double part = static_cast<double>(k) / static_cast<double>(n_components_);
        return kStepsOfMove * work_per_row(shape) * part * static_cast<double>(task_.em.rows.n_rows);
    }

    // Computes the log-likelihood gain of each split-and-merge move in `tried`. Returns false if interrupted.
    bool compute_gains(std::vector<Candidate>& tried) const {
        if (tried.size() == 1) {  // for a single candidate move, the threads share the rows
            tried[0].gain = gain_of(tried[0], execution_);
            return !execution_.interrupt.has_come();
        }
        const auto compute_gain = [&](Index index, const Execution& alone) {
            Candidate& candidate = tried[index];
            try {
                candidate.gain = gain_of(candidate, alone);
            } catch (const std::bad_alloc&) {
                candidate.gain.reset();
            }
        };
        return process_each(static_cast<Index>(tried.size()), work_of_move(), execution_, compute_gain);
    }

    // Returns the log-likelihood gain of a split-and-merge move, in nats per row. Returns nothing if EM with the move
    // does not reach a sufficiently higher log-likelihood than EM without the move after the same number of steps.
    std::optional<double> gain_of(Candidate& candidate, const Execution& execution) const {
        const Part& part = candidate.attempt.part;
        candidate.work += work_outside_em(kStepsOfPreparation, part.em);
        const auto end = continue_trial(candidate, acceptance_.trial_limits, execution);
        if (!end || !is_promising(part, *end, acceptance_.promising_factor, part.log_likelihood)) return std::nullopt;
        return finish_trial(candidate, *end, execution);
    }

    // Continues EM with a move in portions, and compares it after each portion with EM without the move. Returns the
    // gain in nats per row, or nothing if the move does not gain enough. EM ends as soon as the move has gained enough,
    // so the returned gain may be smaller than the gain at convergence.
    std::optional<double> finish_trial(Candidate& candidate, Progress end, const Execution& execution) const {
        const Part& part = candidate.attempt.part;
        const Steps& limits = acceptance_.long_trial_limits;
        ControlRun own_control{part.mixture, {}};
        for (Index left = limits.limit, i = 0;; ++i) {
            const auto [other, work] = control(part, i, own_control, execution);
            const double gain = end.last - other.forecast(static_cast<double>(left));
            const bool is_enough = gain > min_gain_of(part);
            const bool is_last = left <= 0 || (i > 0 && end.gain < limits.tolerance);
            const double n_more = std::min(static_cast<double>(left), acceptance_.promising_factor);
            std::optional<Progress> next;
            if (!is_enough && !is_last && is_promising(part, end, n_more, other.last)) {
                const Steps portion{limits.tolerance, std::min(acceptance_.trial_limits.limit, left)};
                next = continue_trial(candidate, portion, execution);
                left -= portion.limit;
            }
            if (!next) {
                candidate.work += work;
                return is_enough ? std::optional<double>(gain * part.fraction) : std::nullopt;
            }
            end = *next;
        }
    }

    std::optional<Progress> continue_trial(Candidate& candidate, const Steps& steps, const Execution& execution) const {
        return run_steps(candidate.attempt.part.em, candidate.attempt.mixture, steps, execution, candidate.work);
    }

    // Returns the gain that a move must exceed, in nats per row of the part.
    double min_gain_of(const Part& part) const { return acceptance_.min_move_gain / part.fraction; }

    // Returns whether `n_more` further EM steps would lift a part's log-likelihood enough above `other`.
    bool is_promising(const Part& part, const Progress& end, double n_more, double other) const {
        return end.forecast(n_more) > other + min_gain_of(part);
    }

    // Returns the state of a control run after (`i` + 1) * trial_limits.limit EM steps, and the work of these EM steps.
    // All moves that affect the whole mixture share these EM steps, which are therefore made only once.
    std::pair<Progress, double> control(const Part& part, Index i, ControlRun& own, const Execution& execution) const {
        const bool is_whole = static_cast<Index>(part.components.size()) == n_components_;
        std::unique_lock lock(mutex_, std::defer_lock);
        if (is_whole) lock.lock();
        ControlRun& to = is_whole ? control_ : own;
        if (to.states.empty()) to.mixture = part.mixture;
        while (static_cast<Index>(to.states.size()) <= i) {
            double work = to.states.empty() ? 0 : to.states.back().second;
            const Progress before = to.states.empty() ? Progress{part.log_likelihood, 0, 1} : to.states.back().first;
            const bool has_converged = !to.states.empty() && before.gain < acceptance_.trial_limits.tolerance;
            const auto end = has_converged ? std::nullopt
                                           : run_steps(part.em, to.mixture, acceptance_.trial_limits, execution, work);
            to.states.emplace_back(end ? *end : Progress{before.last, 0, 1}, work);
        }
        return to.states[i];
    }

    // Runs EM from `mixture`. Returns nothing if a component loses its rows or collapses during EM, so that the caller
    // rejects the move.
    std::optional<Progress> run_steps(const EmView& em, Mixture& mixture, const Steps& steps,
                                      const Execution& execution, double& work) const {
        Values history;
        if (!run_to_end(kernels_, em, steps, execution, mixture, history)) return std::nullopt;
        const std::size_t n = history.size();
        const double gain = n > 1 ? history[n - 1] - history[n - 2] : 0;
        const double before = n > 2 ? history[n - 2] - history[n - 3] : 0;
        work += static_cast<double>(n) * em.work_of_step();
        return Progress{history.back(), std::max(0.0, gain),
                        !algebra_.is_shared() && before > gain && gain > 0 ? gain / before : 1};
    }

    const KernelTable& kernels_;
    const AscentView& task_;
    const AcceptanceSettings& acceptance_;
    const Execution& execution_;
    const Algebra algebra_;
    const Index n_components_;
    Moves moves_;
    double log_likelihood_;
    double work_ = 0;
    Index n_unsound_ = 0, n_accepted_ = 0, n_moves_left_;
    bool has_refused_ = false;
    mutable ControlRun control_;  // EM steps of the whole mixture without a split-and-merge move
    mutable std::mutex mutex_;    // protects `control_`
};

}  // namespace

double least_gain(const Algebra& algebra, Index n_features, const Values& weights, const Values& weights_without,
                  Index n_rows) {
    const double n_values = static_cast<double>(n_features * (n_features + 3)) / 2, n = static_cast<double>(n_rows);
    const double by_chance = gain_by_chance(algebra, n_features, weights, n_rows) -
                             gain_by_chance(algebra, n_features, weights_without, n_rows);
    return std::max(0.0, by_chance) + kLeastGain * n_values / n / n;
}

std::optional<AscentResult> ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution,
                                   double log_likelihood, Mixture& mixture) {
    return Ascent(kernels, task, execution, mixture, log_likelihood).ascend(mixture);
}

std::optional<Mixture> combine(const KernelTable& kernels, const EmView& em, const Execution& execution,
                               const Mixture& first, const Mixture& second) {
    if (em.algebra.is_shared()) return std::nullopt;
    AscentView task{};
    task.em = em;
    Index& count = task.em.n_components;
    count *= 2;
    Mixture pooled(em.algebra, count, em.rows.n_features);
    const auto pool = [](const Values& one, const Values& other, Values& to) {
        std::copy(other.begin(), other.end(), std::copy(one.begin(), one.end(), to.begin()));
    };
    pool(first.weights, second.weights, pooled.weights);
    pool(first.means, second.means, pooled.means);
    pool(first.covariances, second.covariances, pooled.covariances);
    for (double& weight : pooled.weights) weight *= 0.5;
    while (count > em.n_components) {
        Moves moves(kernels, task, execution, pooled);
        if (!moves.begin()) return std::nullopt;
        const Values responsibilities =
            moves.removals().remove(std::max<Index>(1, (count - em.n_components + 2) / 3), count);
        pooled = Mixture(em.algebra, count, em.rows.n_features);
        const AssignmentView assignment{nullptr, responsibilities.data(), count, 1};
        if (!begin_em(kernels, task.em, execution, assignment, pooled.view())) return std::nullopt;
    }
    return pooled;
}

}  // namespace gaussmix
