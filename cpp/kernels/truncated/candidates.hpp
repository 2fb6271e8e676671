// Chooses the new candidates of rows: the most probable of the components that were evaluated for a row.
#pragma once
#include "component_list.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

// For each row of a group, the most probable components so far (at most `n_candidates`), in descending order of their
// log densities. If several components have equal densities, the component that was added first comes first.
class NewCandidates {
public:
    // `scratch` has two numbers for each candidate of a row: its log density and its slot.
    NewCandidates(Index n_candidates, double* scratch) : n_(n_candidates), scratch_(scratch) {}

    void clear(const Bunch& bunch) {
        for (Index i = 0; i < n_; ++i) {
            for (int v = bunch.first_vector; v < bunch.end_vector; ++v) {
                Vec::broadcast(-__builtin_inf()).store(values_at(i, v));
                Vec::broadcast(-1).store(slots_at(i, v));
            }
        }
    }

    // Inserts the component of a slot into the candidates of vector v, and moves less probable components back by one
    // position. The last component is dropped. Before the call, at most `n_before` positions are in use.
    GAUSSMIX_INLINE void add(Vec log_density, Index slot, int v, Index n_before) {
        if (!any(less(least(v), log_density))) return;
        Vec moved = log_density, moved_slot = Vec::broadcast(static_cast<double>(slot));
        for (Index i = 0; i < smaller(n_, n_before + 1); ++i) {
            const Vec other = Vec::load(values_at(i, v)), other_slot = Vec::load(slots_at(i, v));
            // The new density is compared, not `moved`, so that equal components keep their order.
            const auto is_less = less(other, log_density);
            select(is_less, moved, other).store(values_at(i, v));
            select(is_less, moved_slot, other_slot).store(slots_at(i, v));
            moved = select(is_less, other, moved);
            moved_slot = select(is_less, other_slot, moved_slot);
        }
    }

    Vec log_density(Index i, int v) const { return Vec::load(values_at(i, v)); }
    Vec largest(int v) const { return log_density(0, v); }

    // Returns the squared distance above which a row does not keep a component as a candidate.
    Vec keeping_limit(Vec log_scale, int v) const {
        const Vec twice = Vec::broadcast(2) * (log_scale - least(v));
        return fma(max(twice, Vec::zero()), Vec::broadcast(kRelativeMargin), twice) + Vec::broadcast(kRoundingMargin);
    }

    // Returns the slot of the i-th candidate of a row, or -1 if the row has fewer candidates.
    Index slot(Index i, int v, Index lane) const { return static_cast<Index>(slots_at(i, v)[lane]); }

    // Replaces the log densities of the i-th candidates by their exponentials.
    void set_exponentials(Index i, int v, Vec exponentials) { exponentials.store(values_at(i, v)); }
    double exponential(Index i, int v, Index lane) const { return values_at(i, v)[lane]; }

private:
    Vec least(int v) const { return log_density(n_ - 1, v); }
    // log densities and, after `set_exponentials`, their exponentials
    double* values_at(Index i, int v) const { return scratch_ + 2 * i * kGroupRows + v * kLanes; }
    double* slots_at(Index i, int v) const { return values_at(i, v) + kGroupRows; }

    const Index n_;
    double* const scratch_;
};

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
