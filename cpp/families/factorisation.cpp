#include "factorisation.hpp"

#include <cmath>
#include <limits>

#include "values.hpp"

namespace gaussmix {

namespace {

bool is_usable(double variance) {
    using Limits = std::numeric_limits<double>;
    return variance >= Limits::min() && variance <= Limits::max();
}

}  // namespace

bool invert_roots(const double* variances, Index count, double* roots) {
    for (Index i = 0; i < count; ++i) {
        if (!is_usable(variances[i])) return false;
        roots[i] = 1 / std::sqrt(variances[i]);
    }
    return true;
}

bool find_whitening(const KernelTable& kernels, FactorShape factor_shape, Index n, Index n_features,
                    const double* covariances, Listener listener, double* factors, double* log_abs_det) {
    const Index d = n_features;
    if (factor_shape == FactorShape::spherical) {
        if (!invert_roots(covariances, n, factors)) return false;
        kernels.log(factors, n, log_abs_det);
        for (Index k = 0; k < n; ++k) log_abs_det[k] *= static_cast<double>(d);
        return true;
    }
    if (factor_shape == FactorShape::diagonal) {
        if (!invert_roots(covariances, n * d, factors)) return false;
        Values logarithms = zeros(n * d);
        kernels.log(factors, n * d, logarithms.data());
        for (Index k = 0; k < n; ++k) log_abs_det[k] = sum_in_pairs(logarithms.data() + k * d, d);
        return true;
    }
    Factoriser factorise(kernels, d);
    for (Index k = 0; k < n; ++k) {
        const double* covariance = covariances + k * d * d;
        for (Index j = 0; j < d; ++j) {
            if (!is_usable(covariance[j * d + j])) return false;
        }
        if (!factorise(covariance, listener, factors + k * d * d, log_abs_det + k)) return false;
    }
    return true;
}

}  // namespace gaussmix
