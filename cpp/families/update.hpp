// Computes covariances from scatter matrices about the new means, for every covariance structure that is described by
// its volume, shape and orientation.
#pragma once
#include "algebra.hpp"
#include "values.hpp"

namespace gaussmix {

// Sums of full, diagonal or scalar second moments (see `Algebra::second`), in squared units of the data.
struct SecondSumsView {
    Index n_components, n_features;
    const double* mass;    // total weight of each component, (n_components,)
    const double* second;  // sum of each component, or a single sum if all components share a covariance
};

// Checks whether `update` supports a covariance structure.
bool is_valid(const Algebra& algebra);

// Computes the covariances of a structure, in compact form, that maximise the expected log-likelihood.
//
// Iterations begin at the covariances of the last EM step, `current`, which is null in the first step. The formulas for
// covariances and their sources are in families/structures.py.
void update(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter, const double* current,
            Listener listener, double* covariances);

constexpr Index kMaxAxesComponents = 8;  // `other_covariances` tries the axes of at most this number of components
// factors for the variances of alternatives with the axes of the sum of all scatter matrices, and of alternatives with
// the axes of one component; `CommonAxes` in families/structures.py gives the reason
constexpr double kPooledAxesFactor = 0.5, kOwnAxesFactor = 4;

// Returns alternative covariances for a structure whose components share axes. Each alternative has the axes of the sum
// of all scatter matrices, or the axes of one of the largest components.
std::vector<Values> other_covariances(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter,
                                      Listener listener);

}  // namespace gaussmix
