// Split-and-merge moves of a mixture: a move merges two components into one, and splits a third component into two.
//
// A move changes only responsibilities, from which an M-step computes the new mixture. Therefore, split-and-merge moves
// work with every covariance structure. Moves are ranked by lower bounds on their gains, which follow from Jensen's
// inequality (Ueda, Nakano, Ghahramani & Hinton 2000, Neural Computation 12). If the covariances of components depend
// on each other, the bounds on gains are only estimates.
#pragma once
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ascent.hpp"

namespace gaussmix {

// A component is split only if it has at least kSplitRows * (n_features + 1) rows.
constexpr Index kSplitRows = 4;
// log-likelihood gain, in nats, that is expected by chance for each additional parameter that a split fits to the rows
constexpr double kOverfit = 0.5;

using Indices = std::vector<Index>;

// component `freed` loses its rows to component `heir`; `gain` is the change of the log-likelihood in nats per row
struct Removal {
    double gain;
    Index freed, heir;  // `heir` is -1 if all other components take over the rows
};

struct Split {                   // split of one component into two
    Values parameters_at_split;  // mean, standard deviations and weight of the component at the time of the split
    double gain;
    Bisection bisection;
};

struct View {  // responsibilities of rows under a mixture
    // responsibilities, (n_rows, n_components), and log densities of the rows, (n_rows,)
    Values posteriors, log_density;
    // for each component, the ascending indices of the rows whose responsibility exceeds a small threshold (0.01)
    std::vector<Indices> indices;
    // For each component, `n_rows` stores the sum of its responsibilities, and `mass` stores this sum with each row
    // weighted by its fraction of the total weight.
    Values n_rows, mass;
    // weighted sums of the products of two components' responsibilities, (n_components, n_components)
    Values overlap;
    double height;  // weighted mean of the log densities
};

struct Part {  // some components, and rows weighted by the responsibility of these components
    Indices components;
    Values rows, weight, posteriors;  // `rows` and `weight` are empty if `components` has all components
    EmView em;
    Mixture mixture;
    // `fraction` is the fraction of the total weight for which `components` are responsible, and `log_likelihood` is
    // the mean log-likelihood of the part's rows. The gain in log-likelihood on these rows, times `fraction`, is a
    // lower bound on the gain on all rows.
    double fraction, log_likelihood;
};

// Split-and-merge moves (pairs of a removal and a split), sorted by the bounds on their gains. If a removal or a split
// has been tried several times, further moves with this removal or split are deferred until the other moves have been
// tried.
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

    // Returns the pair with the highest bound, even if this pair has been tried, or null if there are no pairs.
    const Pair* best() const { return pairs_.empty() ? nullptr : pairs_.data(); }

    // Returns the next pair (of a removal and a split) that neither splits nor merges any of the given components.
    std::optional<Pair> next(const Indices& touched);

private:
    std::vector<Pair> pairs_, deferred_;
    std::size_t position_ = 0;
    std::map<Index, Index> split_;
    std::map<std::pair<Index, Index>, Index> removed_;
};

struct Attempt {  // a split-and-merge move, and the mixture of affected components that results from this move
    Part part;
    Mixture mixture;
    Indices touched;       // components that the split-and-merge move splits or merges
    Index cursor;          // index of the next random number after this move
    bool is_vain = false;  // whether a swap would put a component on one of its own rows; such a move is rejected
};

class Moves {
public:
    Moves(const KernelTable& kernels, const AscentView& task, const Execution& execution, const MixtureView& mixture,
          Index cursor);

    // Prepares the moves. Returns false if a covariance is singular, if the rows have no weight, or if interrupted.
    bool begin();
    // Computes responsibilities under the initial mixture. Returns false if a covariance is singular, or if
    // interrupted.
    bool view_first();

    const Mixture& mixture() const { return mixture_; }
    const View& view() const { return view_; }
    Index cursor() const { return cursor_; }
    void rewind(Index cursor) { cursor_ = cursor; }
    void replace(Mixture mixture, View view);

    EmView whole() const;
    bool expect(const Mixture& mixture, View& view) const;  // returns false if interrupted
    void put(const Indices& components, const Mixture& part, Mixture& to) const;
    const double* covariance(const Mixture& mixture, Index k) const;
    double variance(const Mixture& mixture, Index k, Index j) const;
    Index max_part_size() const;  // maximum number of components affected by a move, including neighbours

    // Computes new splits of the components that have changed, and ranks the pairs of a removal and a split. The
    // ranking is empty if the best pair is predicted to lower the log-likelihood strongly, because no move is expected
    // to raise the log-likelihood in this case.
    Ranking ranked();
    bool is_hopeless() const { return is_hopeless_; }  // whether the last ranking predicted a strong loss for each move
    double best_split() const { return best_split_; }  // bound on the gain of the best split in the last ranking
    // Makes the split-and-merge moves in the ranking one after the other until the M-step of a move succeeds. Returns
    // false if no M-step succeeds.
    bool move(Ranking& ranking, const Indices& touched, Attempt& attempt) const;
    // Removes the components whose removal costs least log-likelihood, and returns the responsibilities of the
    // remaining components. At most `limit` components are removed, and no component is involved in two removals.
    // `count` receives the number of remaining components.
    Values merged(Index limit, Index& count) const;
    // Moves the mean of a random component to a random row. If the row already belongs to this component,
    // `attempt.is_vain` is set, because EM would move the mean back.
    void swap(Attempt& attempt);

private:
    double posterior(const View& view, Index row, Index k) const { return view.posteriors[row * n_components_ + k]; }
    double log(double x) const;
    Values draw(Index count);
    void split_again();
    Split split(Index k, Values parameters);
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
    Values scale_, row_fraction_;  // `row_fraction_` is each row's fraction of the total weight
    Values cumulative_weight_;     // cumulative weights of the rows, from which swaps draw a row
    Values centre_, second_;       // mean and second moments of all rows, if not passed by the caller
    std::map<Index, Split> splits_;
    Index cursor_;
    bool is_hopeless_ = false;
    double best_split_ = 0;
};

}  // namespace gaussmix
