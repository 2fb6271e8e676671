// Covariances of every factor_shape that volume, shape and orientation make, from the scatter about the new means.
#pragma once
#include "algebra.hpp"

namespace gaussmix {

struct SecondSumsView {  // in the form of `Algebra::second`, data units^2
    Index n_components, n_features;
    const double* mass;    // (n_components,)
    const double* second;  // one for each component, or where all share a covariance the sum
};

// Whether `update` knows the factor_shape.
bool is_known(const Algebra& algebra);

// Maximises the expected log-likelihood over covariances of a factor_shape, in the compact form of its family.
//
// `current` are the last covariances, where searches start; null at the first step. Formulas and their sources: families/,
// one file each, say the same at length.
void update(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter, const double* current,
            Listener listener, double* covariances);

}  // namespace gaussmix
