// Vector types for the instruction set of this compilation. `Vec` has a fixed number of lanes of double, and `Part` is
// one register.
#pragma once
#include "vec.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Adds the sum of the lanes of a[i] to sums[i], for N vectors. `sums` must have room for N doubles, rounded up to a
// multiple of eight.
template <int N>
GAUSSMIX_INLINE void add_all_lane_sums(const Vec (&a)[N], double* sums) {
    constexpr int kPadded = (N + kSumsTogether - 1) / kSumsTogether * kSumsTogether;
    Part padded[kPadded];
    GAUSSMIX_UNROLL for (int i = 0; i < kPadded; ++i) padded[i] = i < N ? folded(a[i < N ? i : 0]) : Part::zero();
    GAUSSMIX_UNROLL for (int i = 0; i < N; i += kSumsTogether) add_lane_sums(sums + i, padded + i);
}

// Adds up the lanes of one vector, in the same order as add_lane_sums.
GAUSSMIX_INLINE double lane_sum(Vec a) {
    alignas(64) double x[kLanes];
    a.store(x);
    GAUSSMIX_UNROLL for (int half = kLanes / 2; half > 0; half /= 2) {
        GAUSSMIX_UNROLL for (int j = 0; j < half; ++j) x[j] = x[j] + x[j + half];
    }
    return x[0];
}

GAUSSMIX_INLINE double lane_min(Vec a) {
    alignas(64) double x[kLanes];
    a.store(x);
    double least = x[0];
    GAUSSMIX_UNROLL for (int i = 1; i < kLanes; ++i) least = x[i] < least ? x[i] : least;
    return least;
}
}  // namespace gaussmix::GAUSSMIX_ISA
