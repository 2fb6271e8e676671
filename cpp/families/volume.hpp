// Volumes |Sigma_k|^(1/d): geometric means of variances, and volumes of their own for components that share a shape.
#pragma once
#include <cmath>
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

using Values = std::vector<double>;

inline Values room(Index count) { return Values(static_cast<std::size_t>(count)); }

// e^x for |x| < 700, by sums and products alone: the C library's has bits of its own.
double exponential(double x);

// (prod_j v_j)^(1/d) of each of n rows of variances (n, d); 0 where one is not positive.
Values geometric_means(const KernelTable& kernels, const double* variances, Index n, Index d);

// Factors that turn scatters into covariances of one volume, sum_k |S_k|^(1/d) / sum_k N_k, from the |S_k|^(1/d). Where
// that is 0, the factor of the plain covariance, which is as singular.
Values equal_volumes(const Values& roots, const double* mass);

double sum(const double* values, Index count);

// The same in NumPy's order, pairwise and in runs of eight, for sums that Python makes too.
double sum_in_pairs(const double* values, Index count);

// 1 / x, and 0 where x is not positive.
inline double reciprocal(double x) { return x > 0 ? 1 / x : 0; }

// Volumes stop when they change by less than a part, where the likelihood is so flat that it can gain the square at most.
// Volumes that move by a factor of `kRunaway`, or still change by more than the last part in the last round, have no limit:
// the shape is singular, and the likelihood has no bound.
constexpr double kVolumeTolerance = 1e-13, kRunaway = 0x1p50, kRestless = 0.01;
constexpr int kMaxRounds = 500;

// Volumes of covariances lambda_k C with one C, in turn with it: Celeux & Govaert (1995) section 3.1. Each turn is a
// maximisation, so none lowers the expected log-likelihood. `traces` replaces
// the volumes that C is made of by tr C^-1 S_k, NaN where C is singular. All 0 where they have no limit.
template <class Traces>
Values converged_volumes(Values volumes, const double* mass, Index n_features, Listener listener, Traces&& traces) {
    const Values start = volumes;
    Values before;
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
        const bool is_bounded =
            all([&](std::size_t k) { return volumes[k] <= kRunaway * start[k] && volumes[k] >= start[k] / kRunaway; });
        if (!is_bounded) return Values(volumes.size(), 0.0);
    }
    return changed_less(kRestless) ? volumes : Values(volumes.size(), 0.0);
}

}  // namespace gaussmix
