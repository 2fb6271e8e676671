// Covariances along axes of their own, or along axes that all components share.
#pragma once
#include "kernel_table.hpp"
#include "volume.hpp"

namespace gaussmix {

struct Spectra {
    Numbers variances;  // (n_components, n_features), of scatters along their axes, not negative
    Numbers axes;       // in columns: (n_components, n_features, n_features), or one for all
};

// Eigenvalues, largest first, and eigenvectors of each scatter.
Spectra own_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener);

// Axes (n_features, n_features) that covariances of one structure share.
Numbers axes_of(const KernelTable& kernels, Index n_components, Index n_features, const double* covariances,
                Listener listener);

// Axes to look from where there are no covariances yet: those of the pooled scatter and of the largest components.
std::vector<Numbers> first_axes(const KernelTable& kernels, const ScattersView& scatters, const double* mass,
                                Listener listener);

// Axes that scatters share best near some, after so many sweeps at most.
constexpr int kMostSweeps = 100, kFewSweeps = 5;
Spectra common_axes(const KernelTable& kernels, const ScattersView& scatters, Numbers axes, int most_sweeps,
                    Listener listener);

// D_k diag(v_k) D_k', symmetric to the bit.
void compose(Index n_components, Index n_features, const Numbers& axes, const Numbers& variances, double* covariances);

}  // namespace gaussmix
