// Covariances along axes of their own, or along axes that all components share.
#pragma once
#include "kernel_table.hpp"
#include "volume.hpp"

namespace gaussmix {

// Eigenvalues (count, n_features) of positive semidefinite matrices, largest first, and eigenvectors in columns.
void principal_axes(const KernelTable& kernels, Index count, Index n_features, const double* matrices,
                    Listener listener, double* spectra, double* axes);

// Turns axes to those that scatters share best: see kernels/shared_axes.hpp.
void shared_axes(const KernelTable& kernels, const ScattersView& scatters, int max_sweeps, Listener listener,
                 double* axes);

struct Spectra {
    Values variances;  // (n_components, n_features), of scatters along their axes, not negative
    Values axes;       // in columns: (n_components, n_features, n_features), or one for all
};

// Those of each scatter.
Spectra own_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Axes (n_features, n_features) that the covariances of a family share.
Values axes_of(const KernelTable& kernels, Index n_components, Index n_features, const double* covariances,
               Listener listener);

// Those of the sum of all scatters.
Values pooled_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Axes that scatters share best near some.
Spectra common_axes(const KernelTable& kernels, const ScattersView& scatters, Values axes, Listener listener);

// The variances of scatters along some axes.
Spectra along_axes(const ScattersView& scatters, Values axes, Listener listener);

// D_k diag(v_k) D_k', symmetric to the bit.
void compose(Index n_components, Index n_features, const Values& axes, const Values& variances, Listener listener,
             double* covariances);

}  // namespace gaussmix
