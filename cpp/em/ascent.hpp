// One run (ascent) of a split-and-merge search: moves (merges and splits of components) are tried until no move has
// raised the log-likelihood for some time. The rows and the initial mixture of each run are chosen in em/search.cpp.
#pragma once
#include "bisection.hpp"

namespace gaussmix {

// A search keeps its result only if the total log-likelihood gain is at least this many nats, for one row per parameter
// of a mean and a full covariance; for other numbers of rows, the limit is inversely proportional to this number. With
// a smaller gain, new rows need not become more likely.
constexpr double kLeastGain = 30;
// bound on the gain of further EM steps, as a multiple of the gain if the gains of steps declined geometrically
constexpr double kCaution = 3;

struct Steps {  // tolerance and maximum number of steps of an EM run
    double tolerance;
    Index limit;
};

// criteria for accepting a split-and-merge move; em/search/split_and_merge.py sets the values
struct AcceptanceSettings {
    // `first`: EM steps after a move; `longer`: further steps after a promising move, made in portions of `first.limit`
    // as long as the move stays promising
    Steps first, longer;
    Steps after_move, after_more;  // EM on all rows, and further EM steps if `after_move` does not gain enough
    // `gain`: smallest gain for which a move is kept; a move is promising if it would reach this gain with
    // `promising_factor` further steps that gain as much as the last one
    double gain, promising_factor;
    // multiplies `promising_factor` in the quick check, which is made one EM step earlier if components share a
    // covariance
    double quick_factor;
    // if the bound on the gain of the best split is below this, `less_patience` replaces `patience`
    double min_promise;
    double max_work;            // no further move begins after EM has visited this many (row, component) pairs
    Index max_moves, patience;  // maximum number of moves; maximum number of consecutive moves that fail
    // a round ends if the quick check rejects the first `first_moves` moves of the round
    Index less_patience, first_moves;
    // a component counts as unsound if it has too few rows, or few rows and a nearly singular (flat) covariance
    double min_rows, min_rows_if_flat, flat;
};

struct AscentView {
    EmView em;             // all rows: float64, without missing values, C-contiguous, with weights
    const double* within;  // mean covariance of the components, or mean variances for structures without covariances
    AcceptanceSettings acceptance;
    // true: moves put a random component at a random row; false: moves are ranked by bounds on their gain
    bool has_swaps;
    const double* uniform;  // (n_uniform,), random numbers in [0, 1) that are used in order, cyclically
    Index n_uniform;
};

struct AscentResult {
    // number of rounds of moves that helped; -1 if EM violates `Limits` on these rows, so that Python must search
    Index n_moves;
    double log_likelihood;  // mean log-likelihood before the last step of EM
    double work;            // number of (row, component) pairs that EM has visited
    Index n_unsound;        // number of unsound components (too few rows, or nearly singular)
    Index cursor;           // index in `uniform` of the next random number
    // whether even the best remaining move has a bound that predicts a large loss of log-likelihood
    bool is_hopeless;
    bool has_refused;   // whether a move that raises the likelihood was rejected because it adds an unsound component
    double best_split;  // bound on the gain of the best split at the end of the search run
    Index n_tried, n_accepted;  // number of moves that were tried, and of moves that were accepted
};

// Returns the expected log-likelihood gain from fitting means and covariances to chance deviations (overfitting) of
// `n_rows` distinct rows, in nats per row. For a component with n rows, this is the gain of a single Gaussian that is
// fitted to n rows, which falls as n grows; Hurvich & Tsai (1989), Biometrika 76. Returns 0 if the covariances of
// components depend on each other.
double gained_by_chance(const Algebra& algebra, Index n_features, const Mixture& mixture, Index n_rows);

// Returns the weighted mean of the components' covariances, (n_features, n_features), or of their variances. The result
// is bit-identical to NumPy's.
Values mean_covariance(const Algebra& algebra, Index n_components, Index n_features, const Mixture& mixture);

// Improves a mixture, in which EM has converged at `result.log_likelihood`, by split-and-merge moves until no move has
// helped for some time. `mixture` is overwritten with the mixture after the last move that helped. Several threads
// judge different moves at once. If a move helps, the moves that follow it in the ranking are judged again, so that the
// result does not depend on the number of threads. Returns false if interrupted.
bool ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution, MixtureView mixture,
            AscentResult& result);

// Overwrites `mixture` with a combination of the best components of `mixture` and `other`. The components of both
// mixtures together describe every row twice, so the components whose removal costs least are removed until the
// original number is left. Crossing requires a covariance structure in which the covariance of each component is
// estimated separately. `has_model` is set to false if an M-step would violate `em.limits`. Returns false if
// interrupted.
bool cross(const KernelTable& kernels, const EmView& em, const Execution& execution, const MixtureView& other,
           MixtureView mixture, bool& has_model);

}  // namespace gaussmix
