// One tile as the M kernels see it.
#pragma once
#include "layout.hpp"
#include "patience.hpp"

namespace gaussmix::GAUSSMIX_ISA {

struct TileView {
    const Real* rows;           // [group][feature][vector][lane]
    Real* densities;            // [group][component][vector][lane]: responsibilities times row weights, once weighted
    const Real* row_factor;     // [group][vector][lane]: row weight over the sum of a row's exponentials
    const unsigned char* active;  // [component]
    Index n_features, n_components, padded_components;
    int n_groups;
    Real* differences;  // room for x - anchor of one component
    Real* weighted;     // and for r (x - anchor) of one panel
    Patience* patience;

    Index rows_stride() const { return n_features * kGroupRows; }
    Index densities_stride() const { return padded_components * kGroupRows; }
};

// The groups in which a component has a responsibility. The others would add zeros: leaving them out changes no bit.
struct ActiveGroups {
    int count = 0;
    unsigned char index[kTileGroups] = {};
};

struct ActiveGroupsTable {
    ActiveGroups of[1 << kTileGroups];

    constexpr ActiveGroupsTable() : of{} {
        for (int active = 0; active < 1 << kTileGroups; ++active) {
            for (int g = 0; g < kTileGroups; ++g) {
                if (active >> g & 1) of[active].index[of[active].count++] = static_cast<unsigned char>(g);
            }
        }
    }
};
constexpr ActiveGroupsTable kActiveGroups;

inline const ActiveGroups& active_groups(unsigned char active) { return kActiveGroups.of[active]; }

// r = exponential * row factor, in place, and its sum over the tile.
inline void weigh(const TileView& tile, double* mass) {
    for (Index k = 0; k < tile.n_components; ++k) {
        if (tile.active[k] == 0) continue;
        const ActiveGroups& groups = active_groups(tile.active[k]);
        Vec sum = Vec::zero();
        for (int g = 0; g < groups.count; ++g) {
            Real* r = tile.densities + groups.index[g] * tile.densities_stride() + k * kGroupRows;
            const Real* factor = tile.row_factor + groups.index[g] * kGroupRows;
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                const Vec weighted = Vec::load(r + v * kLanes) * Vec::load(factor + v * kLanes);
                weighted.store(r + v * kLanes);
                sum = sum + weighted;
            }
        }
        mass[k] += lane_sum(sum);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
