// Whitening factors of covariances in the compact form of a structure.
#pragma once
#include "algebra.hpp"
#include "buffer.hpp"

namespace gaussmix {

// Computes W = L^-1 and log |det W| of symmetric matrices, by the kernels' Cholesky factorisation.
class Factoriser {
public:
    Factoriser(const KernelTable& kernels, Index n_features)
        : kernels_(kernels), n_features_(n_features), room_(Buffer::of_doubles(n_features * (n_features + 2))) {}

    // Returns false if the matrix is singular to working precision.
    bool operator()(const double* matrix, Listener listener, double* factor, double* log_abs_det) {
        return kernels_.factorise(n_features_, matrix, listener, room_.doubles(), factor, log_abs_det);
    }

private:
    const KernelTable& kernels_;
    const Index n_features_;
    const Buffer room_;
};

// Computes factors (n, by shape) and their log |det W|, (n,), of n covariances. Returns false if one of them is
// singular, or if its variances are so small that digits are missing.
bool whiten(const KernelTable& kernels, FactorShape factor_shape, Index n, Index n_features, const double* covariances,
            Listener listener, double* factors, double* log_abs_det);

}  // namespace gaussmix
