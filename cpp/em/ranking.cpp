#include "ranking.hpp"

#include <algorithm>

namespace gaussmix {

namespace {

constexpr Index kMaxTries = 2;  // number of moves with the same split or removal, after which such moves are deferred

}  // namespace

Indices Ranking::Pair::touched() const {
    Indices touched{removal.freed, component};
    if (removal.heir >= 0) touched.push_back(removal.heir);
    return touched;
}

Ranking::Ranking(const std::vector<Removal>& removals, const Indices& chosen, const std::map<Index, Split>& splits) {
    for (const Removal& removal : removals) {
        for (const Index k : chosen) {
            if (k != removal.freed && k != removal.heir) {
                pairs_.push_back({removal.gain + splits.at(k).gain, removal, k});
            }
        }
    }
    const auto above = [](const Pair& a, const Pair& b) { return a.gain > b.gain; };
    std::stable_sort(pairs_.begin(), pairs_.end(), above);
}

std::optional<Ranking::Pair> Ranking::next(const Indices& touched) {
    for (;; ++position_) {
        if (position_ == pairs_.size()) {
            if (deferred_.empty()) return std::nullopt;
            pairs_ = std::move(deferred_);
            deferred_.clear(), n_splits_.clear(), n_removals_.clear();
            position_ = 0;
        }
        const Pair& pair = pairs_[position_];
        Index& n_splits = n_splits_[pair.component];
        Index& n_removals = n_removals_[{pair.removal.freed, pair.removal.heir}];
        if (n_splits >= kMaxTries || n_removals >= kMaxTries) {
            deferred_.push_back(pair);
            continue;
        }
        const Indices own = pair.touched();
        const auto is_own = [&](Index k) { return std::find(own.begin(), own.end(), k) != own.end(); };
        if (std::any_of(touched.begin(), touched.end(), is_own)) continue;
        ++n_splits, ++n_removals;
        return pairs_[position_++];
    }
}

}  // namespace gaussmix
