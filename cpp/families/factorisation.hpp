// Computes whitening factors of covariances that are stored in the compact form of their covariance structure.
#pragma once
#include "algebra.hpp"
#include "buffer.hpp"

namespace gaussmix {

// Cholesky factorisation S = L L' of symmetric matrices S by the kernels. Each call returns W = L^-1 and log |det W|.
class Factoriser {
public:
    Factoriser(const KernelTable& kernels, Index n_features)
        : kernels_(kernels), n_features_(n_features), scratch_(Buffer::of_doubles(n_features * (n_features + 2))) {}

    // Returns false if the matrix is singular to working precision. If `listener` cancels the call, its results must
    // not be used, because W may be incomplete although true is returned.
    bool operator()(const double* matrix, Listener listener, double* factor, double* log_abs_det) {
        return kernels_.factorise(n_features_, matrix, listener, scratch_.doubles(), factor, log_abs_det);
    }

private:
    const KernelTable& kernels_;
    const Index n_features_;
    const Buffer scratch_;
};

// Computes v^(-1/2) of each variance v. Returns false if a variance is subnormal, negative or infinite. `roots` may be
// the array `variances`.
bool invert_roots(const double* variances, Index count, double* roots);

// Computes the whitening factors W of n covariances, in the layout of `factor_shape`, and log |det W|, (n,). Returns
// false if a covariance is singular, or if a variance is subnormal, negative or infinite. If `listener` cancels the
// call, its results must not be used.
bool find_whitening(const KernelTable& kernels, FactorShape factor_shape, Index n, Index n_features,
                    const double* covariances, Listener listener, double* factors, double* log_abs_det);

// Returns element i of W u, where W is a whitening factor in the layout of `factor_shape`, and `u(j)` is element j
// of u.
template <class Vector>
double whitened_element(FactorShape factor_shape, Index n_features, const double* factor, Index i, Vector&& u) {
    if (factor_shape == FactorShape::spherical) return factor[0] * u(i);
    if (factor_shape == FactorShape::diagonal) return factor[i] * u(i);
    double element = 0;
    for (Index j = 0; j <= i; ++j) element += factor[i * n_features + j] * u(j);
    return element;
}

}  // namespace gaussmix
