// Computes volumes |Sigma_k|^(1/d) of covariances Sigma_k of d features: geometric means of variances, and the volume
// of each component if components share a shape.
#pragma once
#include <cmath>

#include "kernel_table.hpp"
#include "values.hpp"

namespace gaussmix {

// Computes the geometric mean (prod_j v_j)^(1/d) of each row of `variances`, (n, d). The geometric mean is 0 if a
// variance of the row is not positive.
Values geometric_means(const KernelTable& kernels, const double* variances, Index n, Index d);

// Computes, from the roots |S_k|^(1/d) of scatter matrices S_k and the total weights N_k, the factors that convert the
// scatter matrices to covariances of equal volume. The common volume is the sum of the roots divided by the sum of the
// weights. If the root of S_k is 0, the factor is 1 / N_k, so that the covariance is as singular as S_k.
Values equal_volumes(const Values& roots, const double* mass);

// Returns 1 / x, or 0 if x is not positive.
inline double reciprocal(double x) { return x > 0 ? 1 / x : 0; }

// The iteration for volumes stops when every volume changes by less than the fraction `kVolumeTolerance`, because near
// a maximum, further rounds could raise the likelihood only in proportion to the square of this fraction. The iteration
// counts as divergent if a volume has changed by a factor of `kMaxGrowth`, or if volumes still change by more than the
// fraction `kMaxLastChange` in the last round. If the iteration diverges, the common shape is singular, and the
// likelihood is unbounded.
constexpr double kVolumeTolerance = 1e-13, kMaxGrowth = 0x1p50, kMaxLastChange = 0.01;
constexpr int kMaxRounds = 500;

// Computes the volumes lambda_k of covariances lambda_k C, by updating the volumes and the common matrix C in turn
// (Celeux & Govaert 1995, section 3.1). Every update maximises the expected log-likelihood over either the volumes or
// C, so that the expected log-likelihood never falls. The function `traces` computes C from the volumes, and replaces
// each volume with the trace of C^-1 S_k, where S_k is a scatter matrix, or with NaN if C is singular. All volumes are
// 0 if the iteration diverges.
template <class Traces>
Values converged_volumes(Values volumes, const double* mass, Index n_features, Listener listener, Traces&& traces) {
    const Values start = volumes;
    Values before = start;  // if the first round is cancelled, no volume has changed
    const auto all = [&](auto&& claim) {
        bool holds = true;
        for (std::size_t k = 0; k < volumes.size(); ++k) holds &= claim(k);
        return holds;
    };
    const auto changed_less = [&](double part) {
        return all([&](std::size_t k) { return std::fabs(volumes[k] - before[k]) <= part * before[k]; });
    };
    for (int round = 0; round < kMaxRounds && !listener.ask(listener.self); ++round) {
        before = volumes;
        traces(volumes);
        for (std::size_t k = 0; k < volumes.size(); ++k) volumes[k] /= static_cast<double>(n_features) * mass[k];
        if (changed_less(kVolumeTolerance)) return volumes;
        const bool is_bounded = all(
            [&](std::size_t k) { return volumes[k] <= kMaxGrowth * start[k] && volumes[k] >= start[k] / kMaxGrowth; });
        if (!is_bounded) return Values(volumes.size(), 0.0);
    }
    return changed_less(kMaxLastChange) ? volumes : Values(volumes.size(), 0.0);
}

}  // namespace gaussmix
