// Covariances of every structure that volume, shape and orientation describe, from the scatter about the new means.
#pragma once
#include "algebra.hpp"
#include "volume.hpp"

namespace gaussmix {

struct SecondSumsView {  // second sums in the form of `Algebra::second`, data units^2
    Index n_components, n_features;
    const double* mass;    // (n_components,)
    const double* second;  // one for each component, or their sum if all components share a covariance
};

// Checks whether `update` supports this structure.
bool is_valid(const Algebra& algebra);

// Maximises the expected log-likelihood over the covariances of a structure, in compact form.
//
// `current` are the last covariances, at which iterations start; null at the first step. families/structures.py has the
// formulas and their sources.
void update(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter, const double* current,
            Listener listener, double* covariances);

struct OtherAxes {  // settings of `other_covariances`, from families/structures.py
    Index limit;    // number of largest components whose own axes are tried
    // factors on the variances that fit the scatter along pooled axes, and along a component's axes
    double sharp, soft;
};

// Returns covariances along the axes of the sum of all scatters, and along the axes of each of the largest components,
// for a structure whose components share axes.
std::vector<Values> other_covariances(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter,
                                      const OtherAxes& other, Listener listener);

}  // namespace gaussmix
