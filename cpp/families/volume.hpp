// Volumes |Sigma_k|^(1/d): geometric means of variances, and the components' own volumes if they share a shape.
#pragma once
#include <cmath>
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

using Values = std::vector<double>;

inline Values room(Index count) { return Values(static_cast<std::size_t>(count)); }

// Computes e^x for |x| < 700 by sums and products alone, because the C library's result differs between platforms.
double exponential(double x);

// Computes (prod_j v_j)^(1/d) of each of n rows of variances (n, d); 0 if a variance is not positive.
Values geometric_means(const KernelTable& kernels, const double* variances, Index n, Index d);

// Computes the factors that turn scatters into covariances of equal volume, sum_k |S_k|^(1/d) / sum_k N_k, from the
// |S_k|^(1/d). If the root is 0, it returns the factor of the ordinary covariance, which is equally singular.
Values equal_volumes(const Values& roots, const double* mass);

double sum(const double* values, Index count);

// Sums values in NumPy's order, pairwise and in runs of eight, for sums that Python computes, too.
double sum_in_pairs(const double* values, Index count);

// Returns 1 / x, or 0 if x is not positive.
inline double reciprocal(double x) { return x > 0 ? 1 / x : 0; }

// The iteration of volumes stops when they change by less than a fraction, because near a maximum the likelihood can
// then gain at most its square. Volumes have no limit if they move by a factor of `kRunaway`, or if they still change
// by more than the fraction `kRestless` in the last round. In this case the shape is singular, and the likelihood is
// unbounded.
constexpr double kVolumeTolerance = 1e-13, kRunaway = 0x1p50, kRestless = 0.01;
constexpr int kMaxRounds = 500;

// Computes volumes of covariances lambda_k C with one C, in alternation with C: Celeux & Govaert (1995) section 3.1.
// Each round is a maximisation, so none lowers the expected log-likelihood. `traces` replaces the volumes from which C
// is made by tr C^-1 S_k, NaN if C is singular. All volumes are 0 if they have no limit.
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
