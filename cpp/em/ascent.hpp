// One ascent of a search: moves of a mixture are tried and judged until none has helped for some time.
// em/search.cpp says on which rows and from where.
#pragma once
#include "bisection.hpp"

namespace gaussmix {

// The least total gain of a search, nats, if there is one row for each parameter of a mean and a full covariance. With
// more rows it falls in proportion. A smaller gain does not predict the likelihood of new rows.
constexpr double kLeastGain = 30;
constexpr double kCaution = 3;  // times what a steady decline would gain: further steps do not gain more

struct Steps {  // of EM
    double tolerance;
    Index limit;
};

struct AcceptanceSettings {  // when a move is accepted: em/search/split_and_merge.py
    Steps first, longer;  // after a move, and after a promising one: as many at a time as first, while it is promising
    Steps after_move, after_more;   // of all rows, and if the first do not suffice
    double gain, promising_factor;  // least gain of a move; it is promising if so many more gains like the last suffice
    double quick_factor;            // with one covariance, a step earlier: times as many gains
    double min_promise;             // where the best split gains less by its bound, less patience is enough
    double max_work;                // no move begins once EM has visited so many pairs of a row and a component
    Index max_moves, patience;      // in all, and in a row without success
    Index less_patience, first_moves;         // if so many at first are refused at a glance, there is no other
    double min_rows, min_rows_if_flat, flat;  // what is unsound
};

struct AscentView {
    EmView em;             // of all rows: float64, complete, in C order, with weights
    const double* within;  // mean covariance of the components, or mean variances without covariances
    AcceptanceSettings acceptance;
    bool has_swaps;  // a random component goes to a random row; otherwise moves are ranked by bounds on their gain
    const double* uniform;  // (n_uniform,), drawn from [0, 1); taken one after the other, and again from the first
    Index n_uniform;
};

struct AscentResult {
    Index n_moves;          // rounds of moves that helped; -1 where EM of the rows is not as usual: Python must search
    double log_likelihood;  // mean before the last step of EM
    double work;            // pairs that its EM has visited
    Index n_unsound;        // components
    Index cursor;           // of the next number that is drawn
    bool is_hopeless;       // by its bound, the best move that is left loses much
    bool has_refused;       // moves that raise the likelihood, but add an unsound component
    double best_split;      // its gain by its bound, at the end
    Index n_tried, n_accepted;  // moves
};

// What means and covariances gain by chance on `n_rows` distinct rows, nats per row: the log-likelihood of new rows is
// lower by as much. For n rows of a component it is that of one Gaussian, which falls with n; Hurvich & Tsai (1989),
// Biometrika 76. 0 where components share a part of their covariances.
double gained_by_chance(const Algebra& algebra, Index n_features, const Mixture& mixture, Index n_rows);

// Of the components by their weights, with NumPy's bits: (n_features, n_features), or variances without covariances.
Values mean_covariance(const Algebra& algebra, Index n_components, Index n_features, const Mixture& mixture);

// Moves components of a mixture in which EM has converged at `result.log_likelihood`, until no move has helped for some
// time. The mixture after the last moves that helped replaces it. Several threads judge moves at once. What they judge
// after a move that helps is judged again, so that their number changes no bit. False if interrupted.
bool ascend(const KernelTable& kernels, const AscentView& task, const Execution& execution, MixtureView mixture,
            AscentResult& result);

// Writes a mixture of the best components of two mixtures over the first. All of them together describe the rows twice;
// the cheapest removals leave as many as each has. For structures in which no covariance depends on another. Finds none
// where an M-step would pass a limit. False if interrupted.
bool cross(const KernelTable& kernels, const EmView& em, const Execution& execution, const MixtureView& other,
           MixtureView mixture, bool& has_model);

}  // namespace gaussmix
