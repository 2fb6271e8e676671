// Lower bounds on the distances between the rows of a group and each component, which are kept from pass to pass. If
// the bound shows that a component is negligible for the whole group, the rows are not whitened for this component.
// With a prime for the new parameters, the following holds:
//
//   |W'(x - mean')| >= ratio (|W (x - mean)| - shift),   shift = |W (mean' - mean)|,   ratio = 1 / |W W'^-1|.
//
// A step gives bit-identical results with and without bounds, because the excluded components would have responsibility
// 0. The bounds are float32 numbers, with margins that far exceed rounding errors.
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// 60 log 2, in nats, because responsibilities below 2^-60 times the largest responsibility of the row are set to 0.
constexpr double kNegligible = 0x1.4cb5ecf0a9650p+5;

namespace bounds {

constexpr double kMargin = 0x1p-20;  // relative margin, far above the rounding errors of distances and of float32

struct View {
    float* distance;     // [component]: lower bound on |W (x - mean)| over the rows of the group; null: no bounds
    float* score;        // [component]: distance^2 - 2 log_scale, a lower bound on -2 times each row's log density
    const float* ratio;  // [component]
    const float* shift;

    bool is_valid() const { return distance != nullptr; }
};

// Updates the bounds for the new parameters of all components.
inline void move(const View& b, const double* log_scale, Index n_components) {
    for (Index k = 0; k < n_components; ++k) {
        const float shifted = b.ratio[k] * (b.distance[k] - b.shift[k]);
        b.distance[k] = shifted > 0 ? shifted : 0;  // also 0 if `shifted` is NaN
        const float score = b.distance[k] * b.distance[k] - 2 * static_cast<float>(log_scale[k]);
        // the score is kept finite, because infinity marks a component that has been visited
        b.score[k] = score < __FLT_MAX__ ? score : __FLT_MAX__;
    }
}

// Returns the component with the smallest score.
inline Index nearest(const View& b, Index n_components) {
    Index nearest = 0;
    for (Index k = 1; k < n_components; ++k) {
        if (b.score[k] < b.score[nearest]) nearest = k;
    }
    return nearest;
}

// Returns the score above which a component is negligible for every row, given `best`, the largest log densities found
// so far.
GAUSSMIX_INLINE float limit(const Vec (&best)[kGroupVectors]) {
    const double twice = 2 * (kNegligible + 0.1 - lane_min(min(min(best[0], best[1]), best[2])));
    const double limit = twice + 4 * kMargin * (twice < 0 ? -twice : twice);
    return limit < __FLT_MAX__ ? static_cast<float>(limit) : __builtin_inff();
}

// Computes the bound on a component's distance from complete or partial squared distances. The bound is kept finite,
// because an infinite bound would never decrease.
GAUSSMIX_INLINE float distance(const Vec (&squares)[kGroupVectors]) {
    Vec least = Vec::broadcast(kLargest);
    // `min` ignores a NaN among squares[v]
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) least = min(squares[v], least);
    const double distance = __builtin_sqrt(lane_min(least)) * (1 - kMargin);
    return distance < __FLT_MAX__ ? static_cast<float>(distance) : __FLT_MAX__;
}

}  // namespace bounds

}  // namespace gaussmix::GAUSSMIX_ISA
