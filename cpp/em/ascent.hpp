// One run (ascent) of a split-and-merge search: the run tries moves, which merge and split components, until several
// moves in succession have not raised the log-likelihood. The rows and the initial mixture of each run are chosen in
// em/search.cpp.
#pragma once
#include <optional>

#include "bisection.hpp"

namespace gaussmix {

// assumed upper limit on the total gain of further EM steps, as a multiple of their total gain under a geometric
// decline
constexpr double kCaution = 3;
// minimum number of consecutive failed moves after which a search run ends
constexpr Index kMinPatience = 4;

// Criteria for accepting a split-and-merge move. The Python module em/search/split_and_merge.py sets the values of
// these criteria.
struct AcceptanceSettings {
    // `trial_limits` limits the EM steps by which a split-and-merge move is judged. If a move is promising,
    // `long_trial_limits` limits further EM steps, which are taken in portions of `trial_limits.limit` steps as long as
    // the move stays promising.
    Steps trial_limits, long_trial_limits;
    // `limits_after_move` limits the EM run on all rows after a move, and `long_limits_after_move` limits further EM
    // steps if this run does not gain enough.
    Steps limits_after_move, long_limits_after_move;
    // A split-and-merge move is kept only if it gains more than `min_move_gain` nats per row. A move is promising if
    // its total gain is forecast to exceed `min_move_gain` after `promising_factor` further EM steps.
    double min_move_gain, promising_factor;
    // If the bound on the gain of the best split is below `min_promised_gain`, half of `AscentView::patience`, but at
    // least kMinPatience, replaces `AscentView::patience`.
    double min_promised_gain;
    // A component is unsound if it has too few rows (`min_rows_per_value`), or if it has few rows
    // (`min_rows_per_flat_value`) and its covariance is nearly singular (`max_flatness`).
    double min_rows_per_value, min_rows_per_flat_value, max_flatness;
};

struct AscentView {
    // EM on all rows, which are float64, C-contiguous, weighted and without missing values. If components share a full
    // covariance, `em.total` must be set.
    EmView em;
    // mean covariance matrix of the components before the first move; for diagonal and spherical structures, mean
    // variances
    const double* mean_covariance;
    AcceptanceSettings acceptance;
    Index max_moves, patience;  // limits on tried moves, and on consecutive failed moves
    double max_work;            // no further move is tried after EM has visited this number of (row, component) pairs
    RandomNumbers random;
};

struct AscentResult {
    double log_likelihood;  // mean log-likelihood before the last step of EM
    double work;            // number of (row, component) pairs that EM has visited
    Index n_unsound;        // number of unsound components (too few rows, or nearly singular)
    RandomNumbers random;   // random numbers, at the first one that the run has not used
    // `is_hopeless` is true if even the best remaining move is predicted to lower the log-likelihood strongly.
    bool is_hopeless;
    // whether a move that raises the log-likelihood was rejected because the move adds an unsound component
    bool has_refused;
    double best_split;          // bound on the gain of the best split at the end of the search run
    Index n_tried, n_accepted;  // numbers of tried and of accepted split-and-merge moves
};

// Returns the gain of a search over EM without a search, in nats per row, above which the gain is probably not due to
// chance. `weights` and `weights_without` are the weights of the components after EM with and without the search.
double least_gain(const Algebra& algebra, Index n_features, const Values& weights, const Values& weights_without,
                  Index n_rows);

// Improves a mixture by split-and-merge moves until several moves in succession have failed. On entry, `mixture` is the
// result of EM, and `log_likelihood` is its log-likelihood. `mixture` is overwritten with the mixture after the last
// move that raised the log-likelihood. Several threads judge different moves at the same time. If a move raises the
// log-likelihood, the moves after this move in the ranking are judged again, so that the result does not depend on the
// number of threads. Returns nothing if the moves cannot be prepared, for example because a covariance is singular.
std::optional<AscentResult> ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution,
                                   double log_likelihood, Mixture& mixture);

// Returns a combination of the best components of two mixtures. The function pools the components of both mixtures, and
// then removes the components whose removal lowers the log-likelihood least, until the number of components of one
// mixture remains. Returns nothing if components share a covariance, if no combination is found, for example because an
// M-step would violate `em.limits`, or if interrupted.
std::optional<Mixture> combine(const KernelTable& kernels, const EmView& em, const Execution& execution,
                               const Mixture& first, const Mixture& second);

}  // namespace gaussmix
