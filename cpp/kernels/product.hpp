// Sums only first moments, about the origin: first_ki = sum r_k x_i. The first moments of all components are computed
// as a single matrix product of responsibilities and rows. For K components and d features, the cost is K d FMAs per
// row; register tiles hold sums for four components x four features. The sums are stored as 4 x 4 blocks, each for four
// components and four features.
#pragma once
#include "tile.hpp"

namespace gaussmix::GAUSSMIX_ISA::product {

constexpr int kSide = 4;
constexpr int kTileHeight = kRegisters / 8;  // a register tile of four columns fills half of the registers

constexpr Index sums_size(const Shape& shape) {
    return round_up(shape.n_components, kSide) * round_up(shape.n_features, kSide);
}

// Sums the products of responsibilities and rows for C features and for components first .. first + kTileHeight - 1 of
// a block of four components.
template <int C, int first>
GAUSSMIX_INLINE void multiply(const TileView& tile, const double* responsibilities, const double* rows,
                              Vec (&totals)[kSide * kSide]) {
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part sum[kTileHeight][C];
        GAUSSMIX_UNROLL for (int k = 0; k < kTileHeight; ++k) {
            GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) sum[k][i] = Part::zero();
        }
        for (Index g = 0; g < tile.n_groups; ++g) {
            const double* x = rows + g * tile.rows_stride() + h * kPartLanes;
            const double* r = responsibilities + g * tile.densities_stride() + first * kGroupRows + h * kPartLanes;
#pragma GCC unroll 1
            for (int v = 0; v < kGroupVectors; ++v) {
                Part column[C];
                GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) {
                    column[i] = in_register(Part::load(x + (i * kGroupVectors + v) * kLanes));
                }
                GAUSSMIX_UNROLL for (int k = 0; k < kTileHeight; ++k) {
                    const Part weight = in_register(Part::load(r + (k * kGroupVectors + v) * kLanes));
                    GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) sum[k][i] = fma(weight, column[i], sum[k][i]);
                }
            }
        }
        GAUSSMIX_UNROLL for (int k = 0; k < kTileHeight; ++k) {
            GAUSSMIX_UNROLL for (int i = 0; i < kSide; ++i) {
                set_part(totals[(first + k) * kSide + i], h, i < C ? sum[k][smaller(i, C - 1)] : Part::zero());
            }
        }
    }
    if constexpr (first + kTileHeight < kSide) multiply<C, first + kTileHeight>(tile, responsibilities, rows, totals);
}

template <int C>
void add_block(const TileView& tile, const double* responsibilities, const double* rows, double* sums) {
    Vec totals[kSide * kSide];
    multiply<C, 0>(tile, responsibilities, rows, totals);
    add_all_lane_sums(totals, sums);
}

// Sets the responsibilities of eliminated components and of padding to zero, because the product reads every
// component of every group.
inline void clear_inactive(const TileView& tile) {
    for (Index k = 0; k < round_up(tile.n_components, kSide); ++k) {
        for (int g = 0; g < tile.n_groups; ++g) {
            if (k < tile.n_components && (tile.active[k] >> g & 1)) continue;
            double* r = tile.densities + g * tile.densities_stride() + k * kGroupRows;
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) Vec::zero().store(r + v * kLanes);
        }
    }
}

// Multiplies the exponentials of a tile by the factors of the rows (see softmax.hpp) to get the responsibilities r, and
// adds each component's sum of r to the mass of the component.
inline void weigh(const TileView& tile, double* mass) {
    for (Index k = 0; k < tile.n_components; ++k) {
        if (tile.active[k] == 0) continue;
        const ActiveGroups& groups = active_groups(tile.active[k]);
        Vec sum = Vec::zero();
        for (int g = 0; g < groups.count; ++g) {
            double* r = tile.densities + groups.index[g] * tile.densities_stride() + k * kGroupRows;
            const double* factor = tile.row_factor + groups.index[g] * kGroupRows;
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                const Vec weighted = Vec::load(r + v * kLanes) * Vec::load(factor + v * kLanes);
                weighted.store(r + v * kLanes);
                sum = sum + weighted;
            }
        }
        mass[k] += lane_sum(sum);
    }
}

inline void add_moments(const TileView& tile, double* mass, double* sums) {
    weigh(tile, mass);
    clear_inactive(tile);
    for (Index k = 0; k < tile.n_components; k += kSide) {
        if (tile.poll->is_cancelled(kTileRows * kSide * tile.n_features)) return;
        for (Index i = 0; i < tile.n_features; i += kSide, sums += kSide * kSide) {
            with_constant(smaller(Index{kSide}, tile.n_features - i), [&](auto count) {
                constexpr int C = smaller(decltype(count)::value, kSide);
                add_block<C>(tile, tile.densities + k * kGroupRows, tile.rows + i * kGroupRows, sums);
            });
        }
    }
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) {
    const Index blocks = round_up(shape.n_features, kSide) / kSide;  // number of blocks for the same four components
    for (Index k = 0; k < shape.n_components; ++k) {
        for (Index i = 0; i < shape.n_features; ++i) {
            const Index block = k / kSide * blocks + i / kSide;
            out.first[k * shape.n_features + i] = sums[block * kSide * kSide + k % kSide * kSide + i % kSide];
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::product
