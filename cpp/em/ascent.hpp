// One ascent of a split-and-merge search: moves of a mixture are tried and judged until no move has helped for some
// time. em/search.cpp chooses the rows and the starts.
#pragma once
#include "bisection.hpp"

namespace gaussmix {

// The least total gain of a search, in nats, if there is one row for each parameter of a mean and a full covariance.
// With more rows it falls in proportion. A smaller gain does not predict the likelihood of new rows.
constexpr double kLeastGain = 30;
constexpr double kCaution = 3;  // further steps gain at most this many times what a steady decline would gain

struct Steps {  // limits on steps of EM
    double tolerance;
    Index limit;
};

struct AcceptanceSettings {  // criteria for accepting a move, which em/search/split_and_merge.py sets
    // steps after a move, and after a promising one, in portions of `first.limit` while it is promising
    Steps first, longer;
    Steps after_move, after_more;  // steps on all rows, and more of them if the first do not suffice
    // least gain of a move; a move is promising if promising_factor more gains like the last reach it
    double gain, promising_factor;
    double quick_factor;        // with one covariance, multiple of these gains for a check one step earlier
    double min_promise;         // if the bound on the gain of the best split is below this, `less_patience` applies
    double max_work;            // no move begins after EM has visited this many pairs of a row and a component
    Index max_moves, patience;  // maximum number of moves, and of successive failures
    Index less_patience, first_moves;         // a round ends if the quick check rejects its first `first_moves` moves
    double min_rows, min_rows_if_flat, flat;  // limits below which a component counts as unsound
};

struct AscentView {
    EmView em;             // all rows: float64, complete, in C order, with weights
    const double* within;  // mean covariance of the components, or mean variances for structures without covariances
    AcceptanceSettings acceptance;
    bool has_swaps;  // a random component moves to a random row; otherwise moves are ranked by bounds on their gain
    const double* uniform;  // (n_uniform,), random numbers in [0, 1), used in order and then again from the first
    Index n_uniform;
};

struct AscentResult {
    Index n_moves;  // rounds of moves that helped; -1 if Python must search, because EM of the rows passes a limit
    double log_likelihood;      // mean log-likelihood before the last step of EM
    double work;                // pairs of a row and a component that EM has visited
    Index n_unsound;            // number of unsound components
    Index cursor;               // index of the next random number
    bool is_hopeless;           // whether the best remaining move loses much by its bound
    bool has_refused;           // whether a move was rejected that raises the likelihood but adds an unsound component
    double best_split;          // bound on the gain of the best split, at the end
    Index n_tried, n_accepted;  // numbers of moves that were tried and accepted
};

// Returns the gain of means and covariances by chance on `n_rows` distinct rows, in nats per row; the log-likelihood of
// new rows is lower by the same amount. The gain of a component with n rows is that of one Gaussian, which falls with
// n; Hurvich & Tsai (1989), Biometrika 76. Returns 0 if components share a part of their covariances.
double gained_by_chance(const Algebra& algebra, Index n_features, const Mixture& mixture, Index n_rows);

// Returns the weighted mean of the components' covariances with NumPy's bits: (n_features, n_features), or variances.
Values mean_covariance(const Algebra& algebra, Index n_components, Index n_features, const Mixture& mixture);

// Moves components of a mixture in which EM has converged at `result.log_likelihood`, until no move has helped for some
// time. The mixture after the last moves that helped replaces it. Several threads judge moves at once. Moves that were
// judged after one that helps are judged again, so that the number of threads changes no bit. Returns false if
// interrupted.
bool ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution, MixtureView mixture,
            AscentResult& result);

// Overwrites the first of two mixtures by a mixture of the best components of both. All components together describe
// the rows twice, and the cheapest removals leave as many as each mixture has. Crossing works for structures in which
// no covariance depends on another. `has_model` is false if an M-step would pass a limit. Returns false if interrupted.
bool cross(const KernelTable& kernels, const EmView& em, const Execution& execution, const MixtureView& other,
           MixtureView mixture, bool& has_model);

}  // namespace gaussmix
