// Sums full second moments for D <= 4 features. While a tile (144 rows) is processed, the mass and the first and second
// moments of a component stay in registers.
//
// With u = x - anchor and the responsibilities r = e * (factor of the row, see softmax.hpp), the sums are mass = sum r,
// first_i = sum r u_i and second_ij = sum r u_i u_j for j <= i. The sums of each component are stored as the mass, D
// first moments and the lower triangle of the second moments by rows, padded to a multiple of 8 doubles.
#pragma once
#include "tile.hpp"

namespace gaussmix::GAUSSMIX_ISA::fixed {

constexpr Index kFetchedAhead = 4;  // number of components between a prefetch and the use of its data

constexpr Index component_stride(Index n_features) {
    return round_up(1 + n_features + n_features * (n_features + 1) / 2, kSumsTogether);
}
constexpr Index sums_size(const Shape& shape) { return shape.n_components * component_stride(shape.n_features); }

// Adds the moments of component k over a tile to the sums of this component.
template <int D>
void add_component(const TileView& tile, Index k, const double* anchor, double* sums) {
    constexpr int kSums = 1 + D + D * (D + 1) / 2;
    const ActiveGroups& groups = active_groups(tile.active[k]);
    Vec totals[kSums];
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part sum[kSums];
        GAUSSMIX_UNROLL for (int i = 0; i < kSums; ++i) sum[i] = Part::zero();
        for (int g = 0; g < groups.count; ++g) {
            const Index group = groups.index[g];
            const double* x = tile.rows + group * D * kGroupRows + h * kPartLanes;
            const double* e = tile.densities + group * tile.densities_stride() + k * kGroupRows + h * kPartLanes;
            const double* factor = tile.row_factor + group * kGroupRows + h * kPartLanes;
            for (int v = 0; v < kGroupVectors; ++v) {
                const Part r = Part::load(e + v * kLanes) * Part::load(factor + v * kLanes);
                sum[0] = sum[0] + r;
                Part ru[D];
                GAUSSMIX_UNROLL for (int i = 0; i < D; ++i) {
                    const Part u = Part::load(x + (i * kGroupVectors + v) * kLanes) - Part::broadcast(anchor[i]);
                    ru[i] = r * u;
                    sum[1 + i] = sum[1 + i] + ru[i];
                    GAUSSMIX_UNROLL for (int j = 0; j <= i; ++j) {
                        Part& entry = sum[1 + D + i * (i + 1) / 2 + j];
                        entry = fma(ru[j], u, entry);
                    }
                }
            }
        }
        GAUSSMIX_UNROLL for (int i = 0; i < kSums; ++i) set_part(totals[i], h, sum[i]);
    }
    add_all_lane_sums(totals, sums);
}

// The anchor of component k begins at anchor[k * anchor_stride].
inline void add_moments(const TileView& tile, const double* anchor, Index anchor_stride, double* sums) {
    with_constant(tile.n_features, [&](auto n_features) {
        constexpr int D = smaller(decltype(n_features)::value, kMaxFixed);
        for (Index k = 0; k < tile.n_components; ++k) {
            // Truncated EM visits components in arbitrary order, so their sums and anchors are often not in the cache.
            const Index later = tile.component_of(smaller(k + kFetchedAhead, tile.n_components - 1));
            __builtin_prefetch(anchor + later * anchor_stride);
            for (Index i = 0; i < component_stride(D); i += kLanes)
                __builtin_prefetch(sums + later * component_stride(D) + i, 1);
            const Index c = tile.component_of(k);
            if (tile.active[k] == 0) continue;
            add_component<D>(tile, k, anchor + c * anchor_stride, sums + c * component_stride(D));
        }
    });
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) {
    const Index d = shape.n_features;
    for (Index k = 0; k < shape.n_components; ++k, sums += component_stride(d)) {
        out.mass[k] = sums[0];
        const double* triangle = sums + 1 + d;
        for (Index i = 0; i < d; ++i) {
            out.first[k * d + i] = sums[1 + i];
            for (Index j = 0; j <= i; ++j, ++triangle)
                out.second[(k * d + i) * d + j] = out.second[(k * d + j) * d + i] = *triangle;
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::fixed
