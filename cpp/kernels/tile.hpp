// A tile of rows with their responsibilities, in the form that the kernels for moments read.
#pragma once
#include "layout.hpp"
#include "poll.hpp"

namespace gaussmix::GAUSSMIX_ISA {

struct TileView {
    const double* rows;  // in the layout [group][feature][vector][lane]
    // exponentials in the layout [group][component][vector][lane], or weighted responsibilities after all exponentials
    // of a row have been multiplied by the row's factor
    double* densities;
    // row weight divided by the sum of the row's exponentials, in the layout [group][vector][lane]
    const double* row_factor;
    // one byte per component, with a bit for each group in which the component has a responsibility above zero
    const unsigned char* active;
    Index n_features, n_components, padded_components;
    int n_groups;
    double* differences;  // scratch memory for x - anchor of one component, or for projections of the rows on factors
    double* weighted;     // scratch memory for r (x - anchor) of one panel of features
    Poll* poll;
    const std::int32_t* component = nullptr;  // component of each slot in the tile; null: slot i is component i

    Index component_of(Index slot) const { return component == nullptr ? slot : component[slot]; }
    Index rows_stride() const { return n_features * kGroupRows; }
    Index densities_stride() const { return padded_components * kGroupRows; }
};

// Groups of a tile in which a component has a responsibility above zero. Leaving out the groups without such a
// responsibility changes no bit of the sums, because these groups would add only zeros.
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

}  // namespace gaussmix::GAUSSMIX_ISA
