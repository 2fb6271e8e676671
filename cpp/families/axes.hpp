// Covariances along each component's own axes, or along axes that all components share.
#pragma once
#include "kernel_table.hpp"
#include "volume.hpp"

namespace gaussmix {

// Computes eigenvalues (count, n_features) of positive semidefinite matrices, largest first, and eigenvectors in
// columns.
void principal_axes(const KernelTable& kernels, Index count, Index n_features, const double* matrices,
                    Listener listener, double* spectra, double* axes);

// Rotates axes towards the axes that scatters share best: see kernels/shared_axes.hpp.
void shared_axes(const KernelTable& kernels, const ScattersView& scatters, int max_sweeps, Listener listener,
                 double* axes);

struct Spectra {
    Values variances;  // (n_components, n_features), variances of scatters along their axes, not negative
    Values axes;       // (n_components, n_features, n_features), or one for all; axes are columns
};

// Returns the axes of each scatter and the variances along them.
Spectra own_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Returns the axes (n_features, n_features) that the covariances of a structure share.
Values axes_of(const KernelTable& kernels, Index n_components, Index n_features, const double* covariances,
               Listener listener);

// Returns the axes of the sum of all scatters.
Values pooled_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Returns the axes near the given ones that the scatters share best.
Spectra common_axes(const KernelTable& kernels, const ScattersView& scatters, Values axes, Listener listener);

// Computes the variances of scatters along given axes.
Spectra along_axes(const ScattersView& scatters, Values axes, Listener listener);

// Computes D_k diag(v_k) D_k', symmetric to the bit.
void compose(Index n_components, Index n_features, const Values& axes, const Values& variances, Listener listener,
             double* covariances);

}  // namespace gaussmix
