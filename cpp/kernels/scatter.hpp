// Sums full second moments of one component over a tile, in 4 x 4 register tiles of the lower triangle. With
// responsibilities r and u = x - anchor, the sums are first_i = sum r u_i and second_ij = sum r u_i u_j for j <= i. The
// cost is d^2/2 + 5d/2 FMAs per row.
//
// Four features form a panel. The differences u are stored once, in the layout [panel][vector][feature of the
// panel][lane], so that a register tile reads contiguous pieces of 256 bytes and no stride is a power of two. The
// products r u are kept only for the current panel. The lanes are added up at the end of each tile, so that each sum in
// memory is a single number.
//
// The sums of each panel of R features are the lower triangle of its second moments by rows and R first moments, padded
// to a multiple of 8 doubles. For each earlier panel, a block of R x 4 second moments by rows follows, padded to a
// multiple of 8 doubles.
#pragma once
#include "tile.hpp"

namespace gaussmix::GAUSSMIX_ISA::scatter {

constexpr int kSide = 4;
constexpr int kTileHeight = kRegisters / 8;  // a register tile of four columns fills half of the registers
constexpr Index kPanelSize = kTileRows * kSide;

constexpr Index component_stride(Index n_features) {
    Index size = 0;
    for (Index panel = 0; panel < n_features; panel += kSide) {
        const Index height = smaller(Index{kSide}, n_features - panel);
        size += round_up(triangle(height) + height, kSumsTogether) +
                panel / kSide * round_up(height * kSide, kSumsTogether);
    }
    return size;
}
constexpr Index sums_size(const Shape& shape) { return shape.n_components * component_stride(shape.n_features); }

struct Component {             // data that the M-step needs for one component of a tile
    const double* rows;        // rows of the tile, starting at the panel's first feature
    double* responsibilities;  // exponentials, which are turned into responsibilities when the first panel is processed
    const double* row_factor;
    double* mass;
    Index rows_stride, responsibilities_stride;
    const ActiveGroups& groups;
};

// Sums the first moments of a panel's features and the lower triangle of the second moments of these features. Stores u
// for the products with later panels, and r u for the products with earlier panels. The call for the first panel also
// multiplies the exponentials e by the factor of each row to get the responsibilities r, and adds the sum of r to the
// mass.
template <int R, bool kIsFollowed, bool kHasEarlier>
GAUSSMIX_INLINE void add_triangle(const Component& c, const double* anchor, double* differences, double* weighted,
                                  double* sums) {
    constexpr int kTriangle = R * (R + 1) / 2;
    Vec totals[kTriangle + R], total_weight;
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part sum[kTriangle + R], weight = Part::zero();
        GAUSSMIX_UNROLL for (int i = 0; i < kTriangle + R; ++i) sum[i] = Part::zero();
        double* u_out = differences + h * kPartLanes;
        double* ru_out = weighted + h * kPartLanes;
        Part center[R];
        GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) center[i] = Part::broadcast(anchor[i]);
        for (int g = 0; g < c.groups.count; ++g) {
            const double* x = c.rows + c.groups.index[g] * c.rows_stride + h * kPartLanes;
            double* r = c.responsibilities + c.groups.index[g] * c.responsibilities_stride + h * kPartLanes;
            const double* factor = c.row_factor + c.groups.index[g] * kGroupRows + h * kPartLanes;
#pragma GCC unroll 1
            for (int v = 0; v < kGroupVectors; ++v, u_out += kSide * kLanes, ru_out += kSide * kLanes) {
                Part responsibility = Part::load(r + v * kLanes);
                if constexpr (!kHasEarlier) {
                    responsibility = responsibility * Part::load(factor + v * kLanes);
                    if constexpr (kIsFollowed) responsibility.store(r + v * kLanes);
                    weight = weight + responsibility;
                }
                Part ru[R];
                GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) {
                    const Part u = Part::load(x + (i * kGroupVectors + v) * kLanes) - center[i];
                    ru[i] = responsibility * u;
                    sum[kTriangle + i] = sum[kTriangle + i] + ru[i];
                    if constexpr (kIsFollowed) u.store(u_out + i * kLanes);
                    if constexpr (kHasEarlier) ru[i].store(ru_out + i * kLanes);
                    GAUSSMIX_UNROLL for (int j = 0; j <= i; ++j) {
                        sum[i * (i + 1) / 2 + j] = fma(ru[j], u, sum[i * (i + 1) / 2 + j]);
                    }
                }
            }
        }
        GAUSSMIX_UNROLL for (int i = 0; i < kTriangle + R; ++i) set_part(totals[i], h, sum[i]);
        set_part(total_weight, h, weight);
    }
    add_all_lane_sums(totals, sums);
    if constexpr (!kHasEarlier) *c.mass += lane_sum(total_weight);
}

// Sums a block of second moments below the diagonal. The block has R rows and four columns; rows from `first` on are
// summed. The summed products are r u in this panel times u in an earlier panel.
template <int R, int first = 0>
GAUSSMIX_INLINE void add_block(const double* weighted, const double* differences, const double* next, int n_vectors,
                               double* sums) {
    constexpr int kHeight = smaller(kTileHeight, R - first);
    Vec totals[kHeight * kSide];
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part sum[kHeight][kSide];
        GAUSSMIX_UNROLL for (int i = 0; i < kHeight; ++i) {
            GAUSSMIX_UNROLL for (int j = 0; j < kSide; ++j) sum[i][j] = Part::zero();
        }
        for (int n = 0; n < n_vectors; ++n) {
            const Index index = n * kSide * kLanes + h * kPartLanes;
            if (h == 0) {  // prefetches the panel of the next block from the L2 cache
                GAUSSMIX_UNROLL for (int j = 0; j < kSide; ++j) __builtin_prefetch(next + index + j * kLanes);
            }
            Part u[kSide];
            GAUSSMIX_UNROLL for (int j = 0; j < kSide; ++j) u[j] =
                in_register(Part::load(differences + index + j * kLanes));
            GAUSSMIX_UNROLL for (int i = 0; i < kHeight; ++i) {
                const Part ru = in_register(Part::load(weighted + index + (first + i) * kLanes));
                GAUSSMIX_UNROLL for (int j = 0; j < kSide; ++j) sum[i][j] = fma(ru, u[j], sum[i][j]);
            }
        }
        GAUSSMIX_UNROLL for (int i = 0; i < kHeight; ++i) {
            GAUSSMIX_UNROLL for (int j = 0; j < kSide; ++j) set_part(totals[i * kSide + j], h, sum[i][j]);
        }
    }
    add_all_lane_sums(totals, sums + first * kSide);
    if constexpr (first + kHeight < R) add_block<R, first + kHeight>(weighted, differences, next, n_vectors, sums);
}

// Adds the sums of one panel, and returns the position at which the sums of the next panel begin.
template <int R>
double* add_panel(const Component& c, Index panel, bool is_followed, const double* anchor, double* differences,
                  double* weighted, double* sums) {
    double* here = differences + panel * kTileRows;
    if (panel == 0) {
        is_followed ? add_triangle<R, true, false>(c, anchor, here, weighted, sums)
                    : add_triangle<R, false, false>(c, anchor, here, weighted, sums);
    } else {
        is_followed ? add_triangle<R, true, true>(c, anchor, here, weighted, sums)
                    : add_triangle<R, false, true>(c, anchor, here, weighted, sums);
    }
    sums += round_up(triangle(R) + R, kSumsTogether);
    const int n_vectors = c.groups.count * kGroupVectors;
    for (const double* earlier = differences; earlier < here; earlier += kPanelSize) {
        const double* next = earlier + kPanelSize < here ? earlier + kPanelSize : differences;
        add_block<R>(weighted, earlier, next, n_vectors, sums);
        sums += round_up(R * kSide, kSumsTogether);
    }
    return sums;
}

// Adds the moments of a tile about each component's anchor to the sums.
inline void add_moments(const TileView& tile, const double* anchor, double* mass, double* sums) {
    const Index d = tile.n_features;
    for (Index k = 0; k < tile.n_components; ++k) {
        if (tile.active[k] == 0) continue;
        if (tile.poll->is_cancelled(kTileRows * d * d / 2)) return;
        const Index component = tile.component_of(k);
        const double* centre = anchor + component * d;
        Component c{tile.rows,
                    tile.densities + k * kGroupRows,
                    tile.row_factor,
                    mass + component,
                    tile.rows_stride(),
                    tile.densities_stride(),
                    active_groups(tile.active[k])};
        double* out = sums + component * component_stride(d);
        for (Index panel = 0; panel < d; panel += kSide, c.rows += kSide * kGroupRows) {
            with_constant(smaller(Index{kSide}, d - panel), [&](auto count) {
                constexpr int R = smaller(decltype(count)::value, kSide);
                out = add_panel<R>(c, panel, panel + kSide < d, centre + panel, tile.differences, tile.weighted, out);
            });
        }
    }
}

// Converts the sums of a component to first moments, (d,), and symmetric second moments, (d, d).
inline void unpack_component(Index d, const double* sums, double* first, double* second) {
    for (Index panel = 0; panel < d; panel += kSide) {
        const Index height = smaller(Index{kSide}, d - panel);
        for (Index i = 0; i < height; ++i) {
            for (Index j = 0; j <= i; ++j) second[(panel + i) * d + panel + j] = sums[triangle(i) + j];
            first[panel + i] = sums[triangle(height) + i];
        }
        sums += round_up(triangle(height) + height, kSumsTogether);
        for (Index earlier = 0; earlier < panel; earlier += kSide, sums += round_up(height * kSide, kSumsTogether)) {
            for (Index i = 0; i < height; ++i) {
                for (Index j = 0; j < kSide; ++j) second[(panel + i) * d + earlier + j] = sums[i * kSide + j];
            }
        }
    }
    for (Index i = 0; i < d; ++i) {
        for (Index j = 0; j < i; ++j) second[j * d + i] = second[i * d + j];
    }
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) {
    const Index d = shape.n_features;
    for (Index k = 0; k < shape.n_components; ++k) {
        unpack_component(d, sums + k * component_stride(d), out.first + k * d, out.second + k * d * d);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::scatter
