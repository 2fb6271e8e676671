// Whitening factors of covariances in a family's compact form.
#pragma once
#include "algebra.hpp"
#include "buffer.hpp"

namespace gaussmix {

// W = L^-1 and log |det W| of symmetric matrices, by the kernels' Cholesky.
class Factoriser {
public:
    Factoriser(const KernelTable& kernels, Index n_features)
        : kernels_(kernels), n_features_(n_features), room_(Buffer::of_doubles(n_features * (n_features + 2))) {}

    // False where the matrix is singular to working precision.
    bool operator()(const double* matrix, Listener listener, double* factor, double* log_abs_det) {
        return kernels_.factorise(n_features_, matrix, listener, room_.doubles(), factor, log_abs_det);
    }

private:
    const KernelTable& kernels_;
    const Index n_features_;
    const Buffer room_;
};

// Factors (n, by shape) and their log |det W|, (n,), of n covariances. False where one is singular, or has variances
// so small that digits are missing.
bool whiten(const KernelTable& kernels, FactorShape factor_shape, Index n, Index n_features, const double* covariances,
            Listener listener, double* factors, double* log_abs_det);

}  // namespace gaussmix
