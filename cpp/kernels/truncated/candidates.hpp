// Chooses the new candidates of rows: the most probable of the components that were evaluated for a row.
#pragma once
#include "component_list.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

// For each row of a group, the largest log densities so far (one per candidate), in descending order.
class LargestDensities {
public:
    LargestDensities(Index n_candidates, double* values) : n_(n_candidates), values_(values) {}

    void clear(const Bunch& bunch) {
        for (Index i = 0; i < n_; ++i) {
            for (int v = bunch.first_vector; v < bunch.end_vector; ++v)
                Vec::broadcast(-__builtin_inf()).store(at(i, v));
        }
    }

    Vec largest(int v) const { return Vec::load(at(0, v)); }
    Vec least(int v) const { return Vec::load(at(n_ - 1, v)); }

    GAUSSMIX_INLINE void add(Vec log_density, int v) {
        if (!any(less(least(v), log_density))) return;
        for (Index i = 0; i < n_; ++i) {
            const Vec other = Vec::load(at(i, v));
            max(log_density, other).store(at(i, v));
            log_density = min(log_density, other);
        }
    }

    // Returns the squared distance above which a row does not keep a component as a candidate.
    Vec keeping_limit(Vec log_scale, int v) const {
        const Vec twice = Vec::broadcast(2) * (log_scale - least(v));
        return fma(max(twice, Vec::zero()), Vec::broadcast(kRelativeMargin), twice) + Vec::broadcast(kRoundingMargin);
    }

private:
    double* at(Index i, int v) const { return values_ + i * kGroupRows + v * kLanes; }

    const Index n_;
    double* const values_;
};

// Writes the new candidates of the rows of a vector. The most probable candidate comes first. If several components
// have equal densities, the components that come last in the list are kept.
class CandidateWriter {
public:
    // `first` is the position of the first row, and `densities` has the layout [slot][vector][lane].
    GAUSSMIX_INLINE CandidateWriter(const TruncatedView& task, const ComponentList& components,
                                    const LargestDensities& top, const double* densities, Index first, int v)
        : components_(components),
          n_candidates_(task.n_candidates),
          largest_(top.largest(v)),
          least_(top.least(v)),
          n_lanes_(larger(smaller(Index{kLanes}, task.step.rows.n_rows - first), 0)) {
        Vec n_enough = Vec::zero();
        for (Index j = 0; j < components.n_listed(); ++j) {
            const Vec l = Vec::load(densities + components.slot(j) * kGroupRows + v * kLanes);
            n_enough = n_enough + select(less(l, least_), Vec::zero(), Vec::broadcast(1));
        }
        (n_enough - Vec::broadcast(static_cast<double>(n_candidates_))).store(n_surplus_);
        for (Index i = 0; i < n_lanes_; ++i) lists_[i] = candidates_of(task, first + i);
    }

    // Adds the component of a slot to the candidates of the rows for which the component is probable enough. Sets the
    // log densities `l` of all other rows to minus infinity. Returns false if no row keeps the component.
    GAUSSMIX_INLINE bool add(Index slot, double* l) {
        const Vec nothing = Vec::broadcast(-__builtin_inf()), density = Vec::load(l);
        const auto is_less = less(density, least_);
        unsigned chosen = ~bits(is_less) & bits(less(nothing, density)) & ((1u << n_lanes_) - 1);
        select(is_less, nothing, density).store(l);
        if (chosen == 0) return false;
        const unsigned surplus = chosen & bits(equal(density, least_)) & bits(less(Vec::zero(), Vec::load(n_surplus_)));
        for (unsigned dropped = surplus; dropped != 0; dropped &= dropped - 1) {
            const int i = __builtin_ctz(dropped);
            n_surplus_[i] -= 1;
            l[i] = -__builtin_inf();
        }
        chosen &= ~surplus;
        const auto k = static_cast<std::int32_t>(components_.component(slot));
        unsigned tops = chosen & bits(equal(density, largest_));
        for (; chosen != 0; chosen &= chosen - 1) {
            const int i = __builtin_ctz(chosen);
            lists_[i][count_[i]++] = k;
        }
        for (; tops != 0; tops &= tops - 1) {
            const int i = __builtin_ctz(tops);
            lists_[i][count_[i] - 1] = lists_[i][0];
            lists_[i][0] = k;
        }
        return true;
    }

    // Fills unused entries with -1. A row without any new candidate keeps its old candidates.
    void finish() {
        for (Index i = 0; i < n_lanes_; ++i) {
            for (Index c = count_[i]; c < n_candidates_ && count_[i] > 0; ++c) lists_[i][c] = -1;
        }
    }

private:
    const ComponentList& components_;
    const Index n_candidates_;
    const Vec largest_, least_;  // largest log density of each row, and the smallest log density of a candidate
    // If several components tie for the last place among the candidates, `n_surplus_` of these components must be
    // dropped.
    alignas(64) double n_surplus_[kLanes];
    const Index n_lanes_;          // number of lanes that hold a row
    std::int32_t* lists_[kLanes];  // where the candidates of each row are written
    Index count_[kLanes] = {};     // number of candidates that each row has so far
};

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
