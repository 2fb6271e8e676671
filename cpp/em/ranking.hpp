// Ranks split-and-merge moves by bounds on their gains.
#pragma once
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "removals.hpp"
#include "shared_covariance.hpp"

namespace gaussmix {

struct Split {                   // split of one component into two
    Values parameters_at_split;  // mean, standard deviations and weight of the component at the time of the split
    double gain;
    Bisection bisection;  // empty if all components share one covariance
    LinearSplit linear;   // empty unless all components share one covariance
};

// Split-and-merge moves (pairs of a removal and a split), sorted by the bounds on their gains. If a removal or a split
// has been tried several times, further moves with this removal or split are deferred until the other moves have been
// tried.
class Ranking {
public:
    struct Pair {
        double gain;
        Removal removal;
        Index component;  // component that is split

        Indices touched() const;  // components that the pair splits or merges
    };

    Ranking() = default;
    // Combines each removal with the split of each component of `chosen`.
    Ranking(const std::vector<Removal>& removals, const Indices& chosen, const std::map<Index, Split>& splits);

    // Returns the pair with the highest bound, even if this pair has been tried, or null if there are no pairs.
    const Pair* best() const { return pairs_.empty() ? nullptr : pairs_.data(); }

    // Returns the next pair (of a removal and a split) that neither splits nor merges any of the given components.
    std::optional<Pair> next(const Indices& touched);

private:
    std::vector<Pair> pairs_, deferred_;
    std::size_t position_ = 0;
    std::map<Index, Index> n_splits_;                      // how often a split of each component was returned
    std::map<std::pair<Index, Index>, Index> n_removals_;  // how often each removal (`freed`, `heir`) was returned
};

}  // namespace gaussmix
