"""Covariances from axes and variances along them, and back."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array


def spectra_along(scatters: Array, axes: Array) -> Array:
    """Variances (DᵀS_kD)_jj along shared axes, (n_components, d), not negative."""
    spectra: Array = np.einsum("kij,ij->kj", np.einsum("kij,jl->kil", scatters, axes), axes)
    return spectra.clip(min=0.0)


def composed(axes: Array, variances: Array) -> Array:
    """D_k diag(v_k) D_kᵀ, (n, d, d), of `axes` (n or 1, d, d) and `variances` (n, d) ≥ 0; symmetric to the bit."""
    roots = axes * np.sqrt(variances)[:, None, :]
    product: Array = np.einsum("kij,klj->kil", roots, roots)
    return product
