// Keeps lower bounds on the distances from the rows of a group (24 rows) to each component, and adapts the
// bounds to the new parameters in every pass. If the bound on a component's distance shows that the component is
// negligible for all rows of the group, the pass does not compute the distances to this component. The bounds follow
// from this inequality, in which W is the component's whitening factor and a prime marks the new parameters:
//
//   |W'(x - mean')| >= ratio (|W (x - mean)| - shift),   shift = |W (mean' - mean)|,   ratio = 1 / |W W'^-1|.
//
// A step gives bit-identical results with and without bounds, because the excluded components would have responsibility
// 0. The bounds are float32 numbers and include margins that are far larger than rounding errors.
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Limit of 60 log 2 nats. A component whose log density lies at least this limit below the row's largest log density
// gets responsibility 0, because its responsibility would be below 2^-60 times the row's largest responsibility.
constexpr double kNegligible = 0x1.4cb5ecf0a9650p+5;

namespace bounds {

constexpr double kMargin = 0x1p-20;  // relative margin of the bounds, far above the rounding errors of float32 values

struct View {
    // one value per component: lower bound on |W (x - mean)| for all rows of the group; null if there are no bounds
    float* distance;
    // one value per component: distance^2 - 2 log_scale, a lower bound on -2 times the log density of each row
    float* score;
    const float* ratio;  // one value per component, as in the inequality at the top of this file
    const float* shift;  // one value per component, as in the inequality at the top of this file

    bool is_valid() const { return distance != nullptr; }
};

// Adapts the bounds of all components to the new parameters.
inline void move(const View& b, const double* log_scale, Index n_components) {
    for (Index k = 0; k < n_components; ++k) {
        const float shifted = b.ratio[k] * (b.distance[k] - b.shift[k]);
        b.distance[k] = shifted > 0 ? shifted : 0;  // the bound is also 0 if `shifted` is NaN
        const float score = b.distance[k] * b.distance[k] - 2 * static_cast<float>(log_scale[k]);
        // the score is kept finite, because infinity marks the components that have been visited already
        b.score[k] = score < __FLT_MAX__ ? score : __FLT_MAX__;
    }
}

// Returns the index of the component with the smallest score.
inline Index nearest(const View& b, Index n_components) {
    Index nearest = 0;
    for (Index k = 1; k < n_components; ++k) {
        if (b.score[k] < b.score[nearest]) nearest = k;
    }
    return nearest;
}

// Returns the score above which a component is negligible for every row of the group. `best` holds the largest log
// density of each row so far.
GAUSSMIX_INLINE float limit(const Vec (&best)[kGroupVectors]) {
    const double twice = 2 * (kNegligible + 0.1 - lane_min(min(min(best[0], best[1]), best[2])));
    const double limit = twice + 4 * kMargin * (twice < 0 ? -twice : twice);
    return limit < __FLT_MAX__ ? static_cast<float>(limit) : __builtin_inff();
}

// Computes the lower bound on a component's distance, given the squared distances of the rows or partial sums of these
// squared distances. The bound is kept finite, because an infinite bound would never decrease.
GAUSSMIX_INLINE float distance(const Vec (&squares)[kGroupVectors]) {
    Vec least = Vec::broadcast(kLargest);
    // `min` ignores squared distances that are NaN
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) least = min(squares[v], least);
    const double distance = __builtin_sqrt(lane_min(least)) * (1 - kMargin);
    return distance < __FLT_MAX__ ? static_cast<float>(distance) : __FLT_MAX__;
}

}  // namespace bounds

}  // namespace gaussmix::GAUSSMIX_ISA
