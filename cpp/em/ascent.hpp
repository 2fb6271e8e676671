// One ascent of a split-and-merge search: moves (merges and splits of components) are tried and judged until none has
// raised the log-likelihood for some time. The rows and the initial mixture of each ascent are chosen in em/search.cpp.
#pragma once
#include "bisection.hpp"

namespace gaussmix {

// Smallest total gain for which a search keeps its result, in nats, if there is one row for each parameter of a mean
// and a full covariance. The limit is inversely proportional to the number of rows. A smaller gain does not show that
// new rows also become more likely.
constexpr double kLeastGain = 30;
// bound on the gain of further steps, as a multiple of their gain under a geometric decline
constexpr double kCaution = 3;

struct Steps {  // tolerance and maximum number of steps of an EM run
    double tolerance;
    Index limit;
};

struct AcceptanceSettings {  // criteria for accepting a move, which em/search/split_and_merge.py sets
    // `first`: EM steps after a move; `longer`: further steps after a promising move, made in portions of `first.limit`
    // as long as the move stays promising
    Steps first, longer;
    Steps after_move, after_more;  // EM on all rows, and further steps if the first ones do not gain enough
    // `gain`: smallest gain for which a move is kept; a move is promising if it would reach this gain with
    // `promising_factor` further steps that gain as much as the last one
    double gain, promising_factor;
    double quick_factor;        // with one shared covariance: multiplies `promising_factor` in a check one step earlier
    double min_promise;         // `less_patience` applies if the bound on the gain of the best split is below this
    double max_work;            // no move begins after EM has visited this many (row, component) pairs
    Index max_moves, patience;  // maximum number of moves, and of failures in a row
    Index less_patience, first_moves;  // a round ends if the quick check rejects its first `first_moves` moves
    // below these limits a component counts as unsound (too few rows, or too flat)
    double min_rows, min_rows_if_flat, flat;
};

struct AscentView {
    EmView em;             // all rows: float64, without missing values, C-contiguous, with weights
    const double* within;  // mean covariance of the components, or mean variances for structures without covariances
    AcceptanceSettings acceptance;
    bool has_swaps;         // true: move a random component to a random row; false: rank moves by bounds on their gain
    const double* uniform;  // (n_uniform,), random numbers in [0, 1) that are used in order, cyclically
    Index n_uniform;
};

struct AscentResult {
    Index n_moves;  // number of rounds that helped; -1 if EM passes a limit on these rows, so that Python must search
    double log_likelihood;  // mean log-likelihood before the last step of EM
    double work;            // number of (row, component) pairs that EM has visited
    Index n_unsound;        // number of unsound components
    Index cursor;           // index of the next random number
    bool is_hopeless;       // whether the bound predicts a large loss even for the best remaining move
    bool has_refused;   // whether a move that raises the likelihood was rejected because it adds an unsound component
    double best_split;  // bound on the gain of the best split when the ascent ends
    Index n_tried, n_accepted;  // numbers of moves that were tried and accepted
};

// Returns how much log-likelihood means and covariances gain by chance (overfitting) on `n_rows` distinct rows, in nats
// per row. The log-likelihood of new rows is lower by the same amount. For a component with n rows this gain is taken
// from a single Gaussian that is fitted to n rows, and falls as n grows; Hurvich & Tsai (1989), Biometrika 76. Returns
// 0 if the covariances of components depend on each other.
double gained_by_chance(const Algebra& algebra, Index n_features, const Mixture& mixture, Index n_rows);

// Returns the weighted mean of the components' covariances, (n_features, n_features), or of their variances. The result
// is bit-identical to NumPy's.
Values mean_covariance(const Algebra& algebra, Index n_components, Index n_features, const Mixture& mixture);

// Improves a mixture, in which EM has converged at `result.log_likelihood`, by moves of components until no move has
// helped for some time. `mixture` is overwritten with the mixture after the last move that helped. Several threads
// judge different moves at once. If a move helps, the moves after it are judged again, so that the result does not
// depend on the number of threads. Returns false if interrupted.
bool ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution, MixtureView mixture,
            AscentResult& result);

// Overwrites `mixture` with a combination of the best components of `mixture` and `other`. The components of both
// mixtures together describe every row twice, so the components whose removal costs least are removed until the
// original number is left. Crossing requires a structure in which no component's covariance depends on another's.
// `has_model` is set to false if an M-step would pass a limit. Returns false if interrupted.
bool cross(const KernelTable& kernels, const EmView& em, const Execution& execution, const MixtureView& other,
           MixtureView mixture, bool& has_model);

}  // namespace gaussmix
