// The vector of this compilation: `Vec`, eight logical lanes of `Real`, and `Part`, the lanes of one register.
#pragma once
#if defined(__AVX512F__)
#include "avx512.hpp"
#elif defined(__AVX2__)
#include "avx2.hpp"
#else
#error "kernels.cpp is compiled for one of the instruction sets in cpp/simd"
#endif

namespace gaussmix::GAUSSMIX_ISA {
constexpr int kLanes = 8;  // whatever the registers: the lanes a row falls into decide the bits of every sum
constexpr int kPartLanes = kLanes / kParts;
constexpr int kSumsTogether = 8;  // vectors whose lanes are added up together

// sums[i] += the lanes of a[i], for any number of vectors; `sums` has room for a multiple of eight.
template <int N>
GAUSSMIX_INLINE void add_all_lane_sums(const Vec (&a)[N], double* sums) {
    constexpr int kPadded = (N + kSumsTogether - 1) / kSumsTogether * kSumsTogether;
    Vec padded[kPadded];
    GAUSSMIX_UNROLL for (int i = 0; i < kPadded; ++i) padded[i] = i < N ? a[i < N ? i : 0] : Vec::zero();
    GAUSSMIX_UNROLL for (int i = 0; i < N; i += kSumsTogether) add_lane_sums(sums + i, padded + i);
}

// In the order of add_lane_sums.
GAUSSMIX_INLINE double lane_sum(Vec a) {
    alignas(64) Real x[kLanes];
    a.store(x);
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

GAUSSMIX_INLINE Real lane_min(Vec a) {
    alignas(64) Real x[kLanes];
    a.store(x);
    Real least = x[0];
    GAUSSMIX_UNROLL for (int i = 1; i < kLanes; ++i) least = x[i] < least ? x[i] : least;
    return least;
}
}  // namespace gaussmix::GAUSSMIX_ISA
