// Kernels for diagonal and spherical covariances. The work per row and component is linear in the number of features d.
//
// The E-step computes q = sum_i (s_i (x_i - mean_i))^2 with 2 d to 3 d operations; d to 2 d of these operations are
// FMAs or multiplications. With responsibilities r and an anchor a, the M-step computes first_i = sum r (x_i - a_i) and
// second_i = sum r (x_i - a_i)^2 with 4 d operations. The sums of a component are stored for four features at a time: 4
// first moments, then 4 second moments.
#pragma once
#include "rows.hpp"
#include "tile.hpp"

namespace gaussmix::GAUSSMIX_ISA::flat {

enum class Scale { none, per_component, per_feature };

struct Components {
    const double* means;
    // for spherical covariances, the square of each component's whitening factor; for diagonal covariances, one factor
    // for each feature of each component
    const double* scales;
    const double* log_scale;
};

// Returns the difference u = x - mean, multiplied by `scale` if each feature has a scale.
template <Scale kScale, class V>
GAUSSMIX_INLINE V scaled_difference(V u, const double* scale) {
    return kScale == Scale::per_feature ? u * V::broadcast(*scale) : u;
}

// Computes the log densities of the rows under C components, while the squared distances stay in registers.
template <int C, Scale kScale>
GAUSSMIX_INLINE void log_densities_of(const double* rows, const Components& p, Index n_features, double* out,
                                      Vec (&best)[kGroupVectors]) {
    const double* log_scale = p.log_scale;
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part squares[C][kGroupVectors], top[kGroupVectors];  // local arrays that the compiler keeps in registers
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) top[v] = part(best[v], h);
        GAUSSMIX_UNROLL for (int c = 0; c < C; ++c) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) squares[c][v] = Part::zero();
        }
        for (Index i = 0; i < n_features; ++i) {
            const double* x = rows + i * kGroupRows + h * kPartLanes;
            GAUSSMIX_UNROLL for (int c = 0; c < C; ++c) {
                const Index index = c * n_features + i;
                const Part mean = Part::broadcast(p.means[index]);
                GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                    const Part u = Part::load(x + v * kLanes) - mean;
                    const Part y = scaled_difference<kScale>(u, p.scales + index);
                    squares[c][v] = fma(y, y, squares[c][v]);
                }
            }
        }
        GAUSSMIX_UNROLL for (int c = 0; c < C; ++c) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                Part q = squares[c][v];
                if constexpr (kScale == Scale::per_component) q = q * Part::broadcast(p.scales[c]);
                const Part l =
                    fma(Part::broadcast(-0.5), min(q, Part::broadcast(kLargest)), Part::broadcast(log_scale[c]));
                l.store(out + (c * kGroupVectors + v) * kLanes + h * kPartLanes);
                top[v] = max(top[v], l);
            }
        }
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) set_part(best[v], h, top[v]);
    }
}

template <Scale kScale>
void log_densities(const double* rows, Components p, Index n_components, Index n_features, Poll& poll, Prefetch& next,
                   double* out, Vec (&best)[kGroupVectors]) {
    constexpr int kTogether = 4;
    // with at most this many features, the pass checks for cancellation only after all components of a group
    constexpr Index kMaxFeatures = 256;
    for (Index left = n_components; left > 0; left -= kTogether, out += kTogether * kGroupRows) {
        if (n_features > kMaxFeatures && poll.is_cancelled(kTogether * kGroupRows * 2 * n_features)) return;
        // Prefetches a few rows of the next group. If all rows of a group were prefetched at once, the processor would
        // wait for memory (12 % of the time of a step with 200,000 rows, d = 16, K = 16).
        for (int c = 0; c < kTogether; ++c) next.fetch_piece();
        with_constant(smaller(Index{kTogether}, left), [&](auto count) {
            constexpr int C = smaller(decltype(count)::value, kTogether);
            log_densities_of<C, kScale>(rows, p, n_features, out, best);
        });
        p.means += kTogether * n_features;
        p.scales += kTogether * (kScale == Scale::per_feature ? n_features : 1);
        p.log_scale += kTogether;
    }
}

// Computes the squared distances of a group's rows to one component, and compares sums over the first features with
// limits; see `squared_distance` in densities.hpp.
template <Scale kScale, class Limit>
GAUSSMIX_INLINE bool squared_distance(const double* rows, const double* mean, const double* scale, Index n_features,
                                      Limit limit, Vec (&squares)[kGroupVectors]) {
    constexpr Index kBetween = 16;  // number of features between two comparisons of distances and limits
    const auto scaled = [&](Vec q) { return kScale == Scale::per_component ? q * Vec::broadcast(*scale) : q; };
    Vec sums[kGroupVectors];  // a local array that the compiler keeps in registers
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) sums[v] = Vec::zero();
    bool is_close = true;
    for (Index i = 0; is_close;) {
        for (const Index stop = smaller(i + kBetween, n_features); i < stop; ++i) {
            GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
                const Vec u = Vec::load(rows + i * kGroupRows + v * kLanes) - Vec::broadcast(mean[i]);
                const Vec y = scaled_difference<kScale>(u, scale + i);
                sums[v] = fma(y, y, sums[v]);
            }
        }
        if (i == n_features) break;
        is_close = false;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            is_close |= any(less(min(scaled(sums[v]), Vec::broadcast(kLargest)), limit(v)));
        }
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) squares[v] = scaled(sums[v]);
    return is_close;
}

// number of features that the M-step handles together; each feature needs registers for two accumulators and an anchor
constexpr int kTogether = kRegisters / 4;
constexpr Index component_stride(Index n_features) { return round_up(n_features, 4) * 2; }
// positions of the sums of feature i among the sums of a component: four first moments alternate with four second ones
constexpr Index first_at(Index i) { return i / 4 * 8 + i % 4; }
constexpr Index second_at(Index i) { return first_at(i) + 4; }
constexpr Index sums_size(const Shape& shape) { return shape.n_components * component_stride(shape.n_features); }

struct Component {       // data that the M-step needs for one component of a tile
    const double* rows;  // rows of the tile, starting at the first feature to be summed
    double* responsibilities;
    const double* row_factor;
    Index rows_stride, responsibilities_stride;
    const ActiveGroups& groups;
};

// Sums first and second moments of R features of one component. The call for the first R features also multiplies the
// exponentials e by the factor of each row to get the responsibilities r, and adds the sum of r to the mass.
template <int R, bool kIsFirst>
void add_features(const Component& c, const double* anchor, double* mass, double* sums) {
    constexpr int kFours = (R + 3) / 4;
    Vec totals[kFours * 8], total_weight;
    GAUSSMIX_EACH_PART for (int h = 0; h < kParts; ++h) {
        Part first[R], second[R], center[R], sum = Part::zero();
        GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) {
            first[i] = second[i] = Part::zero();
            center[i] = Part::broadcast(anchor[i]);
        }
        for (int g = 0; g < c.groups.count; ++g) {
            const double* x = c.rows + c.groups.index[g] * c.rows_stride + h * kPartLanes;
            double* r = c.responsibilities + c.groups.index[g] * c.responsibilities_stride + h * kPartLanes;
            const double* factor = c.row_factor + c.groups.index[g] * kGroupRows + h * kPartLanes;
#pragma GCC unroll 1  // not unrolled, because an unrolled loop would spill registers
            for (int v = 0; v < kGroupVectors; ++v) {
                Part weight = Part::load(r + v * kLanes);
                if constexpr (kIsFirst) {
                    weight = weight * Part::load(factor + v * kLanes);
                    weight.store(r + v * kLanes);
                    sum = sum + weight;
                }
                GAUSSMIX_UNROLL for (int i = 0; i < R; ++i) {
                    const Part u = Part::load(x + (i * kGroupVectors + v) * kLanes) - center[i];
                    const Part weighted = weight * u;
                    first[i] = first[i] + weighted;
                    second[i] = fma(weighted, u, second[i]);
                }
            }
        }
        GAUSSMIX_UNROLL for (int i = 0; i < kFours * 4; ++i) {
            set_part(totals[first_at(i)], h, i < R ? first[smaller(i, R - 1)] : Part::zero());
            set_part(totals[second_at(i)], h, i < R ? second[smaller(i, R - 1)] : Part::zero());
        }
        set_part(total_weight, h, sum);
    }
    add_all_lane_sums(totals, sums);
    if constexpr (kIsFirst) *mass += lane_sum(total_weight);
}

// The outermost loop runs over features, so that the columns of these features stay in the L1 cache while all
// components are processed.
inline void add_moments(const TileView& tile, const double* anchor, double* mass, double* sums, Index stride) {
    const Index d = tile.n_features;
    for (Index i = 0; i < d; i += kTogether) {
        if (tile.poll->is_cancelled(kTileRows * 2 * kTogether * tile.n_components)) return;
        with_constant(smaller(Index{kTogether}, d - i), [&](auto count) {
            constexpr int R = smaller(decltype(count)::value, kTogether);
            for (Index k = 0; k < tile.n_components; ++k) {
                if (tile.active[k] == 0) continue;
                const Component c{
                    tile.rows + i * kGroupRows, tile.densities + k * kGroupRows, tile.row_factor,
                    tile.rows_stride(),         tile.densities_stride(),         active_groups(tile.active[k])};
                const Index component = tile.component_of(k);
                const double* center = anchor + component * d + i;
                double* out = sums + component * stride + i * 2;
                i == 0 ? add_features<R, true>(c, center, mass + component, out)
                       : add_features<R, false>(c, center, mass + component, out);
            }
        });
    }
}

inline void unpack(const Shape& shape, const double* sums, MomentsView out) {
    const Index d = shape.n_features;
    for (Index k = 0; k < shape.n_components; ++k, sums += component_stride(d)) {
        double trace = 0;
        for (Index i = 0; i < d; ++i) {
            const double second = sums[second_at(i)];
            out.first[k * d + i] = sums[first_at(i)];
            if (shape.second == Second::diagonal) out.second[k * d + i] = second;
            trace += second;
        }
        if (shape.second == Second::trace) out.second[k] = trace;
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::flat
