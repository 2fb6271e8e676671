// Turns log densities into responsibilities, in place. The results for a group of rows are the exponentials e_k =
// exp(l_k - max l) and, for each row, the row factor, which is the row's weight divided by the sum of the row's
// exponentials. The product of e_k and the row factor is the responsibility times the row's weight.
//
// In each row, responsibilities of at most 2^-60 times the largest responsibility of the row are set to zero. The
// normaliser is the sum of the exponentials that are not negligible, added in the order of the components. Because the
// comparison uses l_k - max l, the largest responsibility is never dropped, however large |l_k| is. The threshold also
// keeps subnormal numbers out of the moments. Without the threshold, arithmetic with subnormal numbers would take 40 %
// of the M-step's time at d = 32.
#pragma once
#include "densities.hpp"
#include "exp_log.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// A row is called distant if its squared distance from every mean exceeds this value. Beyond this value, the relative
// rounding error of the distance, about 1e-16, begins to affect the responsibilities of the row. Distant rows are
// counted, so that the engine can recompute their responsibilities accurately.
constexpr double kMaxSquaredDistance = 1e8;

// Returns the limit for distant rows: a row is distant if its largest log density is below this limit. If there is only
// one component, no row is distant, because the responsibility of the component is 1 for every row.
inline double distant_limit(const Shape& shape, const double* log_scale) {
    if (shape.n_components == 1) return -__builtin_inf();
    double largest = log_scale[0];
    for (Index k = 1; k < shape.n_components; ++k) largest = log_scale[k] > largest ? log_scale[k] : largest;
    return largest - kMaxSquaredDistance / 2;
}

// Sums (row weight * log density) over the rows of a tile, separately for each lane. Without row weights, the
// normalisers of a lane are multiplied, so that the tile needs only one logarithm per lane (d = 2, K = 3: 1.22 instead
// of 1.42 ns per row and component). The product of the 18 normalisers of a lane cannot overflow, because no normaliser
// exceeds n_components + 1, which is far below 2^56, and 18 * 56 < 1024.
struct LogLikelihood {
    bool is_weighted;
    double distant_limit;
    Vec sum = Vec::zero();
    Vec product = Vec::broadcast(1);
    Vec n_distant = Vec::zero();
    Vec noise = Vec::zero();  // total responsibility of the noise component

    GAUSSMIX_INLINE void add(Vec weight, Vec largest) { sum = sum + keep(less(Vec::zero(), weight), weight * largest); }
    GAUSSMIX_INLINE void add(Vec weight, Vec largest, Vec normaliser) {
        const Vec present = keep(less(Vec::zero(), weight), Vec::broadcast(1));
        n_distant = n_distant + keep(less(largest, Vec::broadcast(distant_limit)), present);
        if (is_weighted) return add(weight, largest + log(normaliser));
        add(weight, largest);
        product = product * select(less(Vec::zero(), weight), normaliser, Vec::broadcast(1));
    }
    double total() const { return lane_sum(sum + log(product)); }
    double distant_rows() const { return lane_sum(n_distant); }
    double noise_mass() const { return lane_sum(noise); }
};

// Counts the nonzero responsibilities in a group.
inline double count_active(const GroupView& group, Index n_components, const Vec (&best)[kGroupVectors]) {
    Vec n_nearby = Vec::zero();
    for (Index k = 0; k < n_components; ++k) {
        if (!(group.active[k] & group.bit)) continue;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            const Vec gap = Vec::load(group.densities + (k * kGroupVectors + v) * kLanes) - best[v];
            n_nearby = n_nearby + keep(less(Vec::broadcast(-kNegligible), gap), Vec::broadcast(1));
        }
    }
    return lane_sum(n_nearby);
}

// Writes the most probable component of each row of a group; if several components are equally probable, the first of
// them. A distant row gets label 0, because otherwise its label could depend on the other rows of the group.
inline void write_likeliest(const GroupView& group, Index n_components, const Vec (&best)[kGroupVectors], double limit,
                            const RowsView& rows, Index first, std::uint16_t* labels) {
    for (int v = 0; v < kGroupVectors; ++v, first += kLanes) {
        Vec label = Vec::zero();
        for (Index k = n_components - 1; k >= 0; --k) {
            if (!(group.active[k] & group.bit)) continue;
            const Vec l = Vec::load(group.densities + (k * kGroupVectors + v) * kLanes);
            label = select(equal(l, best[v]), Vec::broadcast(static_cast<double>(k)), label);
        }
        label = select(less(best[v], Vec::broadcast(limit)), Vec::zero(), label);
        alignas(64) double lanes[kLanes];
        label.store(lanes);
        for (int i = 0; i < kLanes && first + i < rows.n_rows; ++i) {
            labels[row_at(rows, first + i)] = static_cast<std::uint16_t>(lanes[i]);
        }
    }
}

// Computes responsibilities from log densities. If there is a noise component, `noise` holds the weighted log
// density of the noise component, and `best` must be at least as large as `noise`.
template <bool kHasNoise>
GAUSSMIX_INLINE void soft_assign(const GroupView& group, Index n_components, const Vec (&best)[kGroupVectors],
                                 const Vec (&noise)[kGroupVectors], double* row_factor, LogLikelihood& log_likelihood) {
    const Vec cut = Vec::broadcast(-kNegligible);
    Vec sum[kGroupVectors] = {Vec::zero(), Vec::zero(), Vec::zero()};
    for (Index k = 0; k < n_components; ++k) {
        if (!(group.active[k] & group.bit)) continue;
        double* e = group.densities + k * kGroupRows;
        Vec gap[kGroupVectors];
        bool is_active = false;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            gap[v] = Vec::load(e + v * kLanes) - best[v];
            is_active |= any(less(cut, gap[v]));
        }
        if (!is_active) {
            group.active[k] = static_cast<unsigned char>(group.active[k] & ~group.bit);
            continue;
        }
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            const Vec value = keep(less(cut, gap[v]), exp_normal(gap[v]));
            value.store(e + v * kLanes);
            sum[v] = sum[v] + value;
        }
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
        const Vec weight = Vec::load(row_factor + v * kLanes);
        Vec value = Vec::zero();
        if constexpr (kHasNoise) {
            const Vec gap = noise[v] - best[v];
            value = keep(less(cut, gap), exp_normal(gap));
            sum[v] = sum[v] + value;
        }
        // The sum of the exponentials is at least 1, or 0 if every component has weight 0.
        const Vec factor = weight / max(sum[v], Vec::broadcast(1));
        factor.store(row_factor + v * kLanes);
        if constexpr (kHasNoise) log_likelihood.noise = log_likelihood.noise + factor * value;
        log_likelihood.add(weight, best[v], sum[v]);
    }
}

// Assigns each row to the first component with the largest log density, or to the noise component if the log density of
// the noise component is larger.
GAUSSMIX_INLINE void hard_assign(const GroupView& group, Index n_components, const Vec (&best)[kGroupVectors],
                                 bool has_noise, const double* row_weight, LogLikelihood& log_likelihood) {
    Vec left[kGroupVectors] = {Vec::broadcast(1), Vec::broadcast(1), Vec::broadcast(1)};
    for (Index k = 0; k < n_components; ++k) {
        if (!(group.active[k] & group.bit)) continue;
        double* e = group.densities + k * kGroupRows;
        bool is_active = false;
        GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
            const Vec value = keep(equal(Vec::load(e + v * kLanes), best[v]), left[v]);
            value.store(e + v * kLanes);
            left[v] = left[v] - value;
            is_active |= any(less(Vec::zero(), value));
        }
        if (!is_active) group.active[k] = static_cast<unsigned char>(group.active[k] & ~group.bit);
    }
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) {
        const Vec weight = Vec::load(row_weight + v * kLanes);
        if (has_noise) log_likelihood.noise = log_likelihood.noise + left[v] * weight;
        log_likelihood.add(weight, best[v]);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
