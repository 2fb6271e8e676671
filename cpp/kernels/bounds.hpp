// Lower bounds, carried from pass to pass, on how far the rows of a group are from each component: what they prove
// hopeless is not whitened at all. With new parameters marked ',
//
//   |W'(x - mean')| >= ratio (|W (x - mean)| - shift)      shift = |W (mean' - mean)|,  ratio = 1 / |W W'^-1|
//
// No bit of a step depends on them: a component that they leave out is one whose responsibilities are zero anyway.
// They are float32 with margins far above their rounding.
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// 60 log 2 nats: a responsibility below 2^-60 of its row's largest is 0.
constexpr double kNegligible = 0x1.4cb5ecf0a9650p+5;

namespace bounds {

constexpr double kMargin = 0x1p-20;  // relative: far above the rounding of distances, and of a float

struct View {
    float* distance;     // [component]: at most the least |W (x - mean)| of the group's rows; null: nothing is known
    float* score;        // room for [component]: distance^2 - 2 log_scale, at most -2 times the largest log density
    const float* ratio;  // [component]
    const float* shift;

    bool is_valid() const { return distance != nullptr; }
};

// Brings the bounds to the new parameters.
inline void move(const View& b, const double* log_scale, Index n_components) {
    for (Index k = 0; k < n_components; ++k) {
        const float shifted = b.ratio[k] * (b.distance[k] - b.shift[k]);
        b.distance[k] = shifted > 0 ? shifted : 0;  // also where it is NaN
        const float score = b.distance[k] * b.distance[k] - 2 * static_cast<float>(log_scale[k]);
        b.score[k] = score < __FLT_MAX__ ? score : __FLT_MAX__;  // infinite only once it has been visited
    }
}

// The component of the least score.
inline Index nearest(const View& b, Index n_components) {
    Index nearest = 0;
    for (Index k = 1; k < n_components; ++k) {
        if (b.score[k] < b.score[nearest]) nearest = k;
    }
    return nearest;
}

// The score from which on a component is negligible for every row, if `best` are the largest log densities so far.
GAUSSMIX_INLINE float limit(const Vec (&best)[kGroupVectors]) {
    const double twice = 2 * (kNegligible + 0.1 - lane_min(min(min(best[0], best[1]), best[2])));
    const double limit = twice + 4 * kMargin * (twice < 0 ? -twice : twice);
    return limit < __FLT_MAX__ ? static_cast<float>(limit) : __builtin_inff();
}

// From squared distances, or parts of them. Finite: an infinite one would never come down.
GAUSSMIX_INLINE float distance(const Vec (&squares)[kGroupVectors]) {
    Vec least = Vec::broadcast(kLargest);
    GAUSSMIX_UNROLL for (int v = 0; v < kGroupVectors; ++v) least = min(squares[v], least);  // passes over NaN
    const double distance = __builtin_sqrt(lane_min(least)) * (1 - kMargin);
    return distance < __FLT_MAX__ ? static_cast<float>(distance) : __FLT_MAX__;
}

}  // namespace bounds

}  // namespace gaussmix::GAUSSMIX_ISA
