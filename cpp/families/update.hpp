// Covariances of every family that volume, shape and orientation describe, from the scatter about the new means.
#pragma once
#include "algebra.hpp"
#include "volume.hpp"

namespace gaussmix {

struct SecondSumsView {  // in the form of `Algebra::second`, data units^2
    Index n_components, n_features;
    const double* mass;    // (n_components,)
    const double* second;  // one for each component, or where all share a covariance the sum
};

// Whether `update` can make covariances of this family.
bool is_valid(const Algebra& algebra);

// Maximises the expected log-likelihood over the covariances of a family, in compact form.
//
// `current` are the last covariances, where searches start; null at the first step. families/structures.py has the
// formulas and their sources.
void update(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter, const double* current,
            Listener listener, double* covariances);

struct OtherAxes {       // families/structures.py
    Index limit;         // components whose own axes are tried: the largest
    double sharp, soft;  // times the variances that fit the scatter along pooled axes, and along a component's
};

// Covariances along the axes of the sum of all scatters, and along those of each of the largest components, for a family
// whose components share axes.
std::vector<Values> other_covariances(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter,
                                      const OtherAxes& other, Listener listener);

}  // namespace gaussmix
