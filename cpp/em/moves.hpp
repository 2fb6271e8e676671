// Moves of a mixture on some rows: two components become one, and a third becomes two.
//
// A move changes responsibilities, and an M-step makes the mixture, so that moves do not depend on the structure of the
// covariances. They are ranked by a lower bound on their gain, from Jensen's inequality (Ueda, Nakano, Ghahramani &
// Hinton 2000, Neural Computation 12); where covariances depend on each other it is an estimate.
#pragma once
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ascent.hpp"

namespace gaussmix {

constexpr Index kSplitRows = 4;   // for each number in a mean, and one: no component with fewer is split
constexpr double kOverfit = 0.5;  // nats that each further parameter of a split gains on the rows that it is fitted to

using Indices = std::vector<Index>;

struct Removal {  // a component, `freed`, loses its rows to `heir`; `gain` in nats per row
    double gain;
    Index freed, heir;  // -1: all others
};

struct Split {     // one component becomes two
    Values index;  // where the component was
    double gain;
    Bisection bisection;
};

struct View {                        // rows under a mixture
    Values posteriors, log_density;  // (n_rows, n_components), (n_rows,)
    std::vector<Indices> indices;    // of each component's own rows, in order
    Values n_rows, mass;             // sums of shares, and of those times the share of a row in all row weight
    Values overlap;                  // (n_components, n_components): shares of own rows that others have
    double height;                   // mean log density
};

struct Part {  // some components and the rows that they share, weighted by responsibility
    Indices components;
    Values rows, weight, posteriors;  // empty rows and weight: those of the whole
    EmView em;
    Mixture mixture;
    // The part's share of all row weight, and its mean log-likelihood; gain · share is a lower bound on the gain of all rows.
    double posterior, log_likelihood;
};

// The pairs of a removal and a split in the order of their bounds; after some tries of one of them a pair waits for the
// next round.
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

    const Pair* best() const { return pairs_.empty() ? nullptr : pairs_.data(); }  // at first; null if there is none

    // The next pair that touches none of some components.
    std::optional<Pair> next(const Indices& touched);

private:
    std::vector<Pair> pairs_, deferred_;
    std::size_t position_ = 0;
    std::map<Index, Index> split_;
    std::map<std::pair<Index, Index>, Index> removed_;
};

struct Attempt {  // the mixture of a part after a move
    Part part;
    Mixture mixture;
    Indices touched;       // components that it splits or merges
    Index cursor;          // of the draws after it
    bool is_vain = false;  // a component stays among its own rows: this is not judged
};

class Moves {
public:
    Moves(const KernelTable& kernels, const AscentView& task, const Execution& execution, const MixtureView& mixture,
          Index cursor);

    // False where EM of the rows is not as usual, and if interrupted.
    bool begin();
    bool view_first();  // at the rows under the first mixture; false where a covariance is singular, and if interrupted

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
    Index max_neighbours() const;  // components of a part

    // Splits the components that have moved, and ranks the pairs. The ranking is empty if the best pair is hopeless:
    // if its bound says that it loses much for each row of its components, no move helps.
    Ranking ranked();
    bool is_hopeless() const { return is_hopeless_; }  // of the last ranking
    double best_split() const { return best_split_; }  // its gain, in the last ranking
    // The next move that has an M-step; false if there is none.
    bool move(Ranking& ranking, const Indices& touched, Attempt& attempt) const;
    // Responsibilities of the components that the cheapest removals leave, at most so many of them at once, and none of
    // what another one touches; `count` is how many are left.
    Values merged(Index limit, Index& count) const;
    // A random component goes to a random row; among its own rows that is vain, since EM brings it back.
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
    Values scale_, row_fraction_;  // the last: of all row weight
    Values reached_;               // the sums of the weights up to each row, for swaps
    Values centre_, second_;       // of the total, if nobody gave it
    std::map<Index, Split> splits_;
    Index cursor_;
    bool is_hopeless_ = false;
    double best_split_ = 0;
};

}  // namespace gaussmix
