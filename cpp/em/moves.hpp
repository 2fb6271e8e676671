// Moves of a mixture on some rows: a move merges two components into one, and splits a third into two.
//
// A move changes responsibilities, and an M-step makes the mixture, so that moves do not depend on the covariance
// structure. Moves are ranked by a lower bound on their gain, from Jensen's inequality (Ueda, Nakano, Ghahramani &
// Hinton 2000, Neural Computation 12). If covariances depend on each other, the bound is only an estimate.
#pragma once
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ascent.hpp"

namespace gaussmix {

// rows for each number in a mean, and for one more: no component with fewer rows is split
constexpr Index kSplitRows = 4;
// gain, in nats, of each further parameter of a split on the rows to which it is fitted
constexpr double kOverfit = 0.5;

using Indices = std::vector<Index>;

struct Removal {  // `freed` loses its rows to `heir`; `gain` in nats per row
    double gain;
    Index freed, heir;  // heir -1: all other components
};

struct Split {     // one component becomes two
    Values index;  // parameters of the component when it was split: mean, standard deviations, weight
    double gain;
    Bisection bisection;
};

struct View {                        // responsibilities of rows under a mixture
    Values posteriors, log_density;  // (n_rows, n_components), (n_rows,)
    std::vector<Indices> indices;    // indices of each component's own rows, ascending
    // sums of responsibilities, unweighted and weighted by each row's fraction of the total weight
    Values n_rows, mass;
    Values overlap;  // (n_components, n_components): responsibilities of other components for own rows
    double height;   // mean log density
};

struct Part {  // some components and the rows that they share, weighted by responsibility
    Indices components;
    Values rows, weight, posteriors;  // rows and weight are empty for the whole mixture
    EmView em;
    Mixture mixture;
    // The part's fraction of the total weight, and its mean log-likelihood; gain · fraction is a lower bound on the
    // gain of all rows.
    double posterior, log_likelihood;
};

// The pairs of a removal and a split in the order of their bounds. After some attempts with the same removal or split,
// a pair waits for the next round.
class Ranking {
public:
    struct Pair {
        double gain;
        Removal removal;
        Index component;

        Indices touched() const;
    };

    Ranking() = default;
    Ranking(const std::vector<Removal>& removals, const Indices& ranked, const std::map<Index, Split>& splits);

    // best pair at first; null if there is none
    const Pair* best() const { return pairs_.empty() ? nullptr : pairs_.data(); }

    // Returns the next pair that touches none of the given components.
    std::optional<Pair> next(const Indices& touched);

private:
    std::vector<Pair> pairs_, deferred_;
    std::size_t position_ = 0;
    std::map<Index, Index> split_;
    std::map<std::pair<Index, Index>, Index> removed_;
};

struct Attempt {  // mixture of a part after a move
    Part part;
    Mixture mixture;
    Indices touched;       // components that the move splits or merges
    Index cursor;          // index of the random number after the move
    bool is_vain = false;  // a component stays among its own rows, so that the move is not judged
};

class Moves {
public:
    Moves(const KernelTable& kernels, const AscentView& task, const Execution& execution, const MixtureView& mixture,
          Index cursor);

    // Returns false if Python must run EM on these rows, or if interrupted.
    bool begin();
    // Computes responsibilities under the first mixture. Returns false if a covariance is singular, or if interrupted.
    bool view_first();

    const Mixture& mixture() const { return mixture_; }
    const View& view() const { return view_; }
    Index cursor() const { return cursor_; }
    void rewind(Index cursor) { cursor_ = cursor; }
    void replace(Mixture mixture, View view);

    EmView whole() const;
    bool expect(const Mixture& mixture, View& view) const;  // false if interrupted
    void put(const Indices& components, const Mixture& part, Mixture& to) const;
    const double* covariance(const Mixture& mixture, Index k) const;
    double variance(const Mixture& mixture, Index k, Index j) const;
    Index max_neighbours() const;  // largest number of components in a part

    // Splits the components that have moved, and ranks the pairs. The ranking is empty if the best pair is hopeless,
    // i.e. if its bound predicts a large loss for each row of its components, because then no move helps.
    Ranking ranked();
    bool is_hopeless() const { return is_hopeless_; }  // in the last ranking
    double best_split() const { return best_split_; }  // its gain in the last ranking
    // Makes the next move that has an M-step; returns false if there is none.
    bool move(Ranking& ranking, const Indices& touched, Attempt& attempt) const;
    // Returns the responsibilities of the components that are left after the cheapest removals. At most `limit`
    // removals are made, and no component takes part in two of them; `count` is the number of components left.
    Values merged(Index limit, Index& count) const;
    // Moves a random component to a random row. The move is vain if the row is already its own, because EM would move
    // it back.
    void swap(Attempt& attempt);

private:
    double posterior(const View& view, Index row, Index k) const { return view.posteriors[row * n_components_ + k]; }
    double log(double x) const;
    Values draw(Index count);
    void split_again();
    Split split(Index k, Values index);
    std::vector<Removal> removals() const;
    double pooled(Index k, Index l) const;
    Index nearest(Index k) const;
    bool make(const Ranking::Pair& pair, Attempt& attempt) const;
    Indices around(const Indices& touched) const;
    Part whole_part() const;
    Part part_of(Indices components) const;
    template <class Responsibility>
    double entropy(const Indices& indices, Responsibility&& of) const;

    const KernelTable& kernels_;
    const AscentView& task_;
    const Execution& execution_;
    const Listener listener_;
    const Algebra algebra_;
    const bool is_full_, is_free_;
    const Index n_rows_, d_, n_components_;
    const double *const rows_, *const weight_;
    Mixture mixture_;
    View view_;
    TotalView total_;
    Values scale_, row_fraction_;  // row_fraction_: each row's fraction of the total weight
    Values reached_;               // cumulative weights of the rows, for swaps
    Values centre_, second_;       // moments of the total, if the caller gave none
    std::map<Index, Split> splits_;
    Index cursor_;
    bool is_hopeless_ = false;
    double best_split_ = 0;
};

}  // namespace gaussmix
