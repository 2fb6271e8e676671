// Kernels for covariances of low rank plus a diagonal, whose whitening factors are W = (I - F F') diag(w) with few
// columns in F, and for second moments along few directions. In the following costs per row and component, f is the
// number of columns of F or of directions.
//
// The E-step computes z = w (x - mean), t = F' z and |z - F t|^2 with 2 d f + 4 d operations. With the responsibility
// r, the anchor a and the directions in the rows of B, the M-step computes t = r B (x - a) and crossed_il = sum t_l
// (x_i - a_i) with 2 d f + 2 d operations; flat.hpp sums the first moments and the squares. The sums of each component
// are the sums of flat.hpp, followed by the 4 x 4 blocks of `crossed`, in the layout [feature / 4][projection / 4]
// [projection mod 4][feature mod 4].
//
// If z fits into a register tile, z is computed once. Otherwise, z is computed twice, once for t and once for z - F t.
// Storing z would not help, because with hundreds of features both the rows of a group and z would be read from the L2
// cache. F and w are read, without packing, from a table with one row per feature: the first columns are F, and the
// last column is w. B is read, without packing, from a table of B' with one row per feature.
#pragma once
#include "flat.hpp"

namespace gaussmix::GAUSSMIX_ISA::low_rank {

// number of factors or features in a register tile, so that the tile, with 3 vectors of rows, fills 3/4 of the
// registers
constexpr int kTileHeight = kRegisters / 4;
constexpr int kSide = 4;

// Point that is subtracted from a group's rows, and scales by which the differences are multiplied.
struct Centre {
    const double* point;   // one coordinate per feature
    const double* scales;  // one scale per feature, `stride` numbers apart; null: every scale is 1
    Index stride;

    // Computes one feature of the scaled differences u of a group's rows from the point. `lane` is the first lane of
    // the part in each vector.
    GAUSSMIX_INLINE void offsets(const double* rows, Index feature, int lane, Part (&u)[kGroupVectors]) const {
        const Part centre = Part::broadcast(point[feature]);
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            u[v] = Part::load(rows + feature * kGroupRows + v * kLanes + lane) - centre;
            if (scales != nullptr) u[v] = u[v] * Part::broadcast(scales[feature * stride]);
        }
    }
};

// Computes the projections t_l = sum_i weights_il u_i of a group's rows on R factors l, where u are the scaled
// differences from the centre.
template <int R>
GAUSSMIX_INLINE void project(const double* rows, const Centre& centre, const double* weights, Index n_features,
                             double* out) {
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        const int lane = h * kPartLanes;
        Part sum[R][kGroupVectors];
        GAUSSMIX_UNROLL for (int l = 0; l < R; ++l) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) sum[l][v] = Part::zero();
        }
        for (Index i = 0; i < n_features; ++i) {
            Part u[kGroupVectors];
            centre.offsets(rows, i, lane, u);
            GAUSSMIX_UNROLL for (int l = 0; l < R; ++l) {
                const Part w = Part::broadcast(weights[i * centre.stride + l]);
                GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) sum[l][v] = fma(w, u[v], sum[l][v]);
            }
        }
        GAUSSMIX_UNROLL for (int l = 0; l < R; ++l) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                sum[l][v].store(out + l * kGroupRows + v * kLanes + lane);
            }
        }
    }
}

// Writes the projections t of a group's rows on the factors, in the layout [factor][vector][lane].
inline void project(const double* rows, const Centre& centre, const double* weights, Index n_features, Index n_factors,
                    double* out) {
    for (Index l = 0; l < n_factors; l += kTileHeight) {
        with_constant(smaller(Index{kTileHeight}, n_factors - l), [&](auto count) {
            constexpr int R = smaller(decltype(count)::value, kTileHeight);
            project<R>(rows, centre, weights + l, n_features, out + l * kGroupRows);
        });
    }
}

// Adds the squares of the elements of z - F t for R features, starting at `feature`; `along` holds -t. If these are all
// features, -t is first computed from z and written to `along`.
template <int R>
GAUSSMIX_INLINE void add_squares(const double* rows, const Centre& centre, const double* factor, Index feature,
                                 Index n_factors, bool is_whole, double* along, Vec (&squares)[kGroupVectors]) {
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        const int lane = h * kPartLanes;
        Part z[R][kGroupVectors], t[kGroupVectors];
        GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) centre.offsets(rows, feature + i, lane, z[i]);
        for (Index l = 0; is_whole && l < n_factors; ++l) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) t[v] = Part::zero();
            GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) {
                const Part f = Part::broadcast(factor[i * centre.stride + l]);
                GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) t[v] = fma(f, z[i][v], t[v]);
            }
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                (Part::zero() - t[v]).store(along + l * kGroupRows + v * kLanes + lane);
            }
        }
        for (Index l = 0; l < n_factors; ++l) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                t[v] = Part::load(along + l * kGroupRows + v * kLanes + lane);
            }
            GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) {
                const Part f = Part::broadcast(factor[(feature + i) * centre.stride + l]);
                GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) z[i][v] = fma(f, t[v], z[i][v]);
            }
        }
        GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                set_part(squares[v], h, fma(z[i][v], z[i][v], part(squares[v], h)));
            }
        }
    }
}

// Computes the squared distances of a group's rows to one component; `along` must have room for the projections of a
// group.
inline void squared_distance(const double* rows, const double* mean, const double* factor, Index n_features,
                             Index n_factors, double* along, Vec (&squares)[kGroupVectors]) {
    const Centre centre{mean, factor + n_factors, n_factors + 1};
    const bool is_whole = n_features <= kTileHeight;
    if (!is_whole) {
        project(rows, centre, factor, n_features, n_factors, along);
        for (Index i = 0; i < n_factors * kGroupRows; i += kLanes)
            (Vec::zero() - Vec::load(along + i)).store(along + i);
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) squares[v] = Vec::zero();
    for (Index i = 0; i < n_features; i += kTileHeight) {
        with_constant(smaller(Index{kTileHeight}, n_features - i), [&](auto count) {
            constexpr int R = smaller(decltype(count)::value, kTileHeight);
            add_squares<R>(rows, centre, factor, i, n_factors, is_whole, along, squares);
        });
    }
}

// Returns the number of sums of products of a feature and a projection, with padding to complete panels.
constexpr Index crossed_size(Index n_features, Index n_projected) {
    return round_up(n_features, kSide) * round_up(n_projected, kSide);
}
constexpr Index component_stride(const Shape& shape) {
    return flat::component_stride(shape.n_features) + crossed_size(shape.n_features, shape.n_projected);
}
constexpr Index sums_size(const Shape& shape) { return shape.n_components * component_stride(shape); }

// Sums the products of C features and R projections, beginning with projection `first`, over the groups of a tile in
// which the component has rows.
template <int C, int R, int first = 0>
GAUSSMIX_INLINE void multiply(const TileView& tile, const ActiveGroups& groups, const double* rows,
                              const double* anchor, const double* along, Index along_stride,
                              Vec (&totals)[kSide * kSide]) {
    constexpr int kHeight = smaller(kRegisters / 8, R - first);
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part sum[kHeight][C];
        GAUSSMIX_UNROLL for (int l = 0; l < kHeight; ++l) {
            GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) sum[l][i] = Part::zero();
        }
        for (int g = 0; g < groups.count; ++g) {
            const double* x = rows + groups.index[g] * tile.rows_stride() + h * kPartLanes;
            const double* t = along + g * along_stride + first * kGroupRows + h * kPartLanes;
#pragma GCC unroll 1
            for (int v = 0; v < kGroupVectors; ++v) {
                Part u[C];
                GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) {
                    u[i] = Part::load(x + (i * kGroupVectors + v) * kLanes) - Part::broadcast(anchor[i]);
                }
                GAUSSMIX_UNROLL for (int l = 0; l < kHeight; ++l) {
                    const Part projection = in_register(Part::load(t + (l * kGroupVectors + v) * kLanes));
                    GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) sum[l][i] = fma(projection, u[i], sum[l][i]);
                }
            }
        }
        GAUSSMIX_UNROLL for (int l = 0; l < kHeight; ++l) {
            GAUSSMIX_UNROLL for (int i = 0; i < C; ++i) set_part(totals[(first + l) * kSide + i], h, sum[l][i]);
        }
    }
    if constexpr (first + kHeight < R) {
        multiply<C, R, first + kHeight>(tile, groups, rows, anchor, along, along_stride, totals);
    }
}

// Writes the projections r B (x - a) of the rows, multiplied by the responsibilities, for the groups in which the
// component has rows.
inline void weigh_projections(const TileView& tile, const ActiveGroups& groups, Index k, const double* anchor,
                              const double* projection, Index n_projected, double* along) {
    for (int g = 0; g < groups.count; ++g, along += n_projected * kGroupRows) {
        const double* rows = tile.rows + groups.index[g] * tile.rows_stride();
        const double* r = tile.densities + groups.index[g] * tile.densities_stride() + k * kGroupRows;
        project(rows, {anchor, nullptr, n_projected}, projection, tile.n_features, n_projected, along);
        for (Index l = 0; l < n_projected; ++l) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                double* t = along + l * kGroupRows + v * kLanes;
                const Vec weight = Vec::load(r + v * kLanes);
                // If a responsibility is 0, the product is set to 0, because 0 times infinity would be NaN.
                keep(less(Vec::zero(), weight), weight * Vec::load(t)).store(t);
            }
        }
    }
}

inline void add_moments(const TileView& tile, const Shape& shape, const double* anchors, const double* projections,
                        double* mass, double* sums) {
    const Index d = tile.n_features, n_projected = shape.n_projected, stride = component_stride(shape);
    flat::add_moments(tile, anchors, mass, sums, stride);
    sums += flat::component_stride(d);
    for (Index k = 0; k < tile.n_components; ++k) {
        if (tile.active[k] == 0) continue;
        if (tile.poll->is_cancelled(kTileRows * 2 * d * n_projected)) return;
        const ActiveGroups& groups = active_groups(tile.active[k]);
        const Index component = tile.component_of(k);
        const double* anchor = anchors + component * d;
        const double* projection = projections + component * d * n_projected;
        weigh_projections(tile, groups, k, anchor, projection, n_projected, tile.differences);
        double* out = sums + component * stride;
        for (Index i = 0; i < d; i += kSide) {
            for (Index l = 0; l < n_projected; l += kSide, out += kSide * kSide) {
                const auto block = [&](auto n_features, auto n_along) {
                    constexpr int C = smaller(decltype(n_features)::value, kSide),
                                  R = smaller(decltype(n_along)::value, kSide);
                    Vec totals[kSide * kSide];
                    GAUSSMIX_UNROLL for (int j = 0; j < kSide * kSide; ++j) totals[j] = Vec::zero();
                    multiply<C, R>(tile, groups, tile.rows + i * kGroupRows, anchor + i,
                                   tile.differences + l * kGroupRows, n_projected * kGroupRows, totals);
                    add_all_lane_sums(totals, out);
                };
                with_constant(smaller(Index{kSide}, d - i), [&](auto n_features) {
                    with_constant(smaller(Index{kSide}, n_projected - l),
                                  [&](auto n_along) { block(n_features, n_along); });
                });
            }
        }
    }
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) {
    const Index d = shape.n_features, n_projected = shape.n_projected, stride = component_stride(shape);
    const Index blocks = round_up(n_projected, kSide) / kSide;  // number of blocks for the same four features
    for (Index k = 0; k < shape.n_components; ++k, sums += stride) {
        const double* crossed = sums + flat::component_stride(d);
        for (Index i = 0; i < d; ++i) {
            double* second = out.second + (k * d + i) * (n_projected + 1);
            for (Index l = 0; l < n_projected; ++l) {
                const Index block = i / kSide * blocks + l / kSide;
                second[l] = crossed[block * kSide * kSide + l % kSide * kSide + i % kSide];
            }
            out.first[k * d + i] = sums[flat::first_at(i)];
            second[n_projected] = sums[flat::second_at(i)];
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::low_rank
