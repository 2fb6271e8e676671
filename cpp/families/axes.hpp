// Computes covariances from variances along axes, which are separate for each component or shared by all components.
#pragma once
#include "kernel_table.hpp"
#include "values.hpp"

namespace gaussmix {

// Computes the eigenvalues (count, n_features) of positive semidefinite matrices, largest first, and their
// eigenvectors, which are the columns of `axes`.
void principal_axes(const KernelTable& kernels, Index count, Index n_features, const double* matrices,
                    Listener listener, double* spectra, double* axes);

constexpr int kMaxSweeps = 1000;  // more than 100, because rotations pass saddle points slowly
constexpr SweepLimits kAllSweeps{kMaxSweeps, 0};

// Rotates axes so that they fit all scatter matrices; kernels/shared_axes.hpp explains the method.
void shared_axes(const KernelTable& kernels, const ScattersView& scatters, SweepLimits limits, Listener listener,
                 double* axes);

struct Spectra {
    Values variances;  // (n_components, n_features), nonnegative variances of the scatter matrices along the axes
    Values axes;  // (n_components, n_features, n_features), or one matrix for all components; the columns are the axes
};

// Returns the principal axes of each scatter matrix, and the variances along these axes.
Spectra own_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Returns the axes, (n_features, n_features), that the given covariances have in common, in descending order of the sum
// of all variances along them.
Values axes_of(const KernelTable& kernels, Index n_components, Index n_features, const double* covariances,
               Listener listener);

// Returns the principal axes of the sum of all scatter matrices.
Values pooled_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Rotates the given axes so that they fit all scatter matrices, and returns the result.
Spectra common_axes(const KernelTable& kernels, const ScattersView& scatters, Values axes, SweepLimits limits,
                    Listener listener);

// Computes the variances of scatter matrices along given axes.
Spectra along_axes(const ScattersView& scatters, Values axes, Listener listener);

// Computes exactly symmetric covariances D_k diag(v_k) D_k' from axes D_k and variances v_k.
void compose(Index n_components, Index n_features, const Values& axes, const Values& variances, Listener listener,
             double* covariances);

}  // namespace gaussmix
