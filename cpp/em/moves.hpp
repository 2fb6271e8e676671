// Split-and-merge moves of a mixture: a move merges two components into one, and splits a third component into two.
//
// A move changes only responsibilities, from which an M-step computes the new mixture. Therefore, split-and-merge moves
// work with every covariance structure. Moves are ranked by lower bounds on their gains, which follow from Jensen's
// inequality (Ueda, Nakano, Ghahramani & Hinton 2000, Neural Computation 12). If components share a part of their
// covariances, but not the whole covariance, the bounds on gains are only estimates.
#pragma once
#include <map>

#include "ascent.hpp"
#include "ranking.hpp"

namespace gaussmix {

// A component is split only if it has at least kSplitRows * (n_features + 1) rows, or 2 * kSplitRows rows if components
// share one covariance.
constexpr Index kSplitRows = 4;
// log-likelihood gain, in nats, that is expected by chance for each additional parameter that a split fits to the rows
constexpr double kOverfit = 0.5;

struct Part {  // some components, and rows weighted by the responsibility of these components
    Indices components;
    Values rows, weight, responsibilities;  // `rows` and `weight` are empty if `components` lists all components
    EmView em;
    Mixture mixture;
    // `fraction` is the fraction of the total weight for which `components` are responsible, and `log_likelihood` is
    // the mean log-likelihood of the part's rows. The gain in log-likelihood on these rows, times `fraction`, is a
    // lower bound on the gain on all rows.
    double fraction, log_likelihood;
};

struct Attempt {  // a split-and-merge move, and the mixture of affected components that results from this move
    Part part;
    Mixture mixture;
    Indices touched;  // components that the split-and-merge move splits or merges
};

class Moves {
public:
    Moves(const KernelTable& kernels, const AscentView& task, const Execution& execution, const Mixture& mixture);

    // Factorises the covariances, and computes responsibilities under the initial mixture. Returns false if a
    // covariance is singular, or if interrupted.
    bool begin();

    const Mixture& mixture() const { return mixture_; }
    const Responsibilities& responsibilities() const { return responsibilities_; }
    const RandomNumbers& random() const { return random_; }
    void set_mixture(Mixture mixture, Responsibilities responsibilities);

    // Computes the responsibilities of all rows under a mixture whose whitening factors are known, and sums of these
    // responsibilities. Returns false if interrupted.
    bool find_responsibilities(const Mixture& mixture, Responsibilities& out) const;
    // Replaces the given components of mixture `to` by the components of mixture `part`.
    void replace(const Indices& components, const Mixture& part, Mixture& to) const;
    Index max_part_size() const;  // maximum number of components affected by a move, including neighbours

    // Computes new splits of the components that have changed, and ranks the pairs of a removal and a split. The
    // ranking is empty if the best pair is predicted to lower the log-likelihood strongly, because no move is expected
    // to raise the log-likelihood in this case.
    Ranking rank();
    bool is_hopeless() const { return is_hopeless_; }  // whether the last ranking predicted a strong loss for each move
    double best_split() const { return best_split_; }  // bound on the gain of the best split in the last ranking
    // Writes to `attempt` the next move in the ranking whose M-step succeeds, and which neither splits nor merges a
    // component of `touched`. Returns false if there is no such move, or if interrupted.
    bool try_next(Ranking& ranking, const Indices& touched, Attempt& attempt) const;
    // Returns the possible removals of components under the current mixture.
    Removals removals() const { return {kernels_, algebra_, execution_, mixture_, responsibilities_, row_fraction_}; }

private:
    double responsibility(Index row, Index k) const { return responsibilities_.values[row * n_components_ + k]; }
    void update_splits();
    Split split(Index k, Values parameters);
    bool perform_m_step(const Ranking::Pair& pair, Attempt& attempt) const;
    Indices with_neighbours(const Indices& touched) const;
    Part make_part(Indices components) const;

    const KernelTable& kernels_;
    const AscentView& task_;
    const Execution& execution_;
    const Algebra algebra_;
    const bool is_full_, is_free_;
    const Index n_rows_, d_, n_components_;
    const double *const rows_, *const weight_;
    Mixture mixture_;
    Responsibilities responsibilities_;
    Values scale_, row_fraction_;    // mean standard deviation of each feature; each row's fraction of the total weight
    std::map<Index, Split> splits_;  // the last split of each component
    RandomNumbers random_;
    bool is_hopeless_ = false;
    double best_split_ = 0;
};

}  // namespace gaussmix
