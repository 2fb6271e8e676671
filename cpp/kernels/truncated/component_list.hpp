// Lists the components that truncated EM evaluates. Each component that is evaluated in a tile gets a *slot*, a number
// that replaces the index of the component in the arrays of the tile. For each bunch of rows, the list has the slots of
// the candidates of the rows, of some neighbours of the most probable candidates, of some neighbours of randomly drawn
// candidates, and of one random component.
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA::truncated {

inline std::int32_t* candidates_of(const TruncatedView& task, Index position) {
    return task.candidates + row_at(task.step.rows, position) * task.n_candidates;
}

// Returns pseudorandom bits that depend only on x. The formula is in figure 15 of Steele, Lea & Flood (2014), "Fast
// splittable pseudorandom number generators".
inline std::uint64_t mixed(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// A bunch of rows, for which the same components are evaluated. A bunch is one vector of a group (8 rows) or all three
// vectors (24 rows). With few features and triangular factors, a bunch is one vector. Whitening three vectors together
// would save some time, but more time would be lost by evaluating components for rows that do not need these
// components.
struct Bunch {
    int first_vector, end_vector;
    unsigned bit;  // identifies the bunch within its tile
    Index first, end;
};

class ComponentList {
public:
    // `end` is the position after the last row of the span.
    ComponentList(const TruncatedView& task, const Operands& operands, const Layout& layout, Index end, double* scratch)
        : task_(task),
          operands_(operands),
          end_(end),
          first_turn_(task.n_neighbours == 0 ? 0
                                             : static_cast<Index>(task.key * static_cast<std::uint64_t>(task.n_tried) %
                                                                  static_cast<std::uint64_t>(task.n_neighbours))),
          slot_(reinterpret_cast<std::int32_t*>(scratch + layout.slot)),
          component_(reinterpret_cast<std::int32_t*>(scratch + layout.component)),
          listed_(reinterpret_cast<std::int32_t*>(scratch + layout.listed)),
          wanted_(reinterpret_cast<std::uint32_t*>(scratch + layout.wanted)),
          expanded_(reinterpret_cast<std::uint32_t*>(scratch + layout.expanded)),
          active_(reinterpret_cast<unsigned char*>(scratch + layout.tile.active)) {
        for (Index k = 0; k < task.step.shape.n_components; ++k) slot_[k] = -1;
    }

    Index n_slots() const { return n_slots_; }
    Index n_listed() const { return n_listed_; }
    Index slot(Index j) const { return listed_[j]; }  // slot of the j-th component of the list
    Index component(Index slot) const { return component_[slot]; }
    const std::int32_t* components() const { return component_; }

    // Lists the components that are evaluated for a bunch, beginning with the candidates of the rows.
    void list(const Bunch& bunch) {
        n_listed_ = 0;
        for (Index i = bunch.first; i < bunch.end; ++i) {
            const std::int32_t* own = candidates_of(task_, i);
            for (Index c = 0; c < task_.n_candidates && own[c] >= 0; ++c) want(own[c], bunch.bit);
        }
        // Neighbours are prefetched for the next bunch, because for this bunch they would arrive too late. Rows after
        // the span are left out, because another thread may be writing their candidates.
        for (Index i = bunch.end; i < smaller(2 * bunch.end - bunch.first, end_); ++i) {
            const std::int32_t best = candidates_of(task_, i)[0];
            if (best >= 0) __builtin_prefetch(task_.neighbours + best * task_.n_neighbours + first_turn_);
        }
        for (Index i = bunch.first; i < bunch.end; ++i) {
            const std::int32_t* own = candidates_of(task_, i);
            for (Index c = 0; c < task_.n_expanded && own[c] >= 0; ++c) want_neighbours(own[c], bunch.bit);
        }
        for (Index i = bunch.first; i < bunch.end && task_.n_drawn > 0; ++i) {
            std::uint64_t drawn = random_bits(task_.first_row + row_at(task_.step.rows, i));
            for (Index j = 0; j < task_.n_drawn; ++j, drawn = mixed(drawn + 1))
                want_drawn(candidates_of(task_, i), drawn, bunch.bit);
        }
        const std::uint64_t drawn = random_bits((task_.first_row + bunch.first) / kLanes);
        want(static_cast<Index>(drawn % static_cast<std::uint64_t>(task_.step.shape.n_components)), bunch.bit);
    }

    // Removes all slots, at the end of a tile.
    void clear() {
        for (Index s = 0; s < n_slots_; ++s) slot_[component_[s]] = -1;
        n_slots_ = 0;
    }

private:
    // Lists component k for the bunch whose bit is `bit`, unless the list already contains it.
    GAUSSMIX_INLINE void want(Index k, unsigned bit) {
        std::int32_t slot = slot_[k];
        if (slot < 0) slot = slot_[k] = add_slot(k);
        // Every slot is written, but the list becomes longer only if the slot is new for the bunch. A branch would be
        // unpredictable.
        listed_[n_listed_] = slot;
        n_listed_ += (wanted_[slot] & bit) == 0;
        wanted_[slot] |= bit;
    }

    // Gives component k the next slot of the tile, and returns the slot.
    std::int32_t add_slot(Index k) {
        const auto slot = static_cast<std::int32_t>(n_slots_++);
        component_[slot] = static_cast<std::int32_t>(k);
        wanted_[slot] = expanded_[slot] = 0;
        active_[slot] = 0;
        operands_.prefetch(k);
        return slot;
    }

    // Lists `n_tried` neighbours of component k, unless they are already listed for the bunch. The first of these
    // neighbours depends on the key of the pass, so that successive passes try different neighbours.
    void want_neighbours(Index k, unsigned bit) {
        std::uint32_t& expanded = expanded_[slot_[k]];
        if (expanded & bit) return;
        expanded |= bit;
        const std::int32_t* near = task_.neighbours + k * task_.n_neighbours;
        Index turn = first_turn_;
        for (Index j = 0; j < task_.n_tried; ++j) {
            if (near[turn] >= 0) want(near[turn], bit);
            turn = turn + 1 < task_.n_neighbours ? turn + 1 : 0;
        }
    }

    // Lists a random neighbour of a random candidate among the candidates `own` of a row; `drawn` are the random bits.
    void want_drawn(const std::int32_t* own, std::uint64_t drawn, unsigned bit) {
        const std::int32_t k = own[drawn % static_cast<std::uint64_t>(task_.n_candidates)];
        const auto n_neighbours = static_cast<std::uint64_t>(task_.n_neighbours);
        const auto j = static_cast<Index>((drawn >> 32) % n_neighbours);
        const std::int32_t near = k < 0 ? k : task_.neighbours[k * task_.n_neighbours + j];
        if (near >= 0) want(near, bit);
    }

    // Returns random bits for the pass and the number of a row or bunch.
    std::uint64_t random_bits(Index number) const {
        return mixed(mixed(task_.key) + (static_cast<std::uint64_t>(number) + 1) * 0x9e3779b97f4a7c15);
    }

    const TruncatedView& task_;
    const Operands& operands_;
    const Index end_;
    const Index first_turn_;         // position of the first neighbour of each component that the pass tries
    std::int32_t* const slot_;       // slot of each component, or -1 if the component has no slot
    std::int32_t* const component_;  // component of each slot
    std::int32_t* const listed_;     // slots of the components that are evaluated for the current bunch
    std::uint32_t* const wanted_;    // for each slot, the bits of the bunches for which the component was listed
    std::uint32_t* const expanded_;  // for each slot, the bits of the bunches for which the neighbours were listed
    unsigned char* const active_;    // for each slot, the bits of the groups with responsibilities, which `Pass` sets
    Index n_slots_ = 0, n_listed_ = 0;
};

}  // namespace gaussmix::GAUSSMIX_ISA::truncated
