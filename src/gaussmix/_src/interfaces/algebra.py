"""Descriptions of what components share in a covariance structure, from which the C++ core derives the M-step."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Across(IntEnum):
    """Sharing of a property of covariances, such as the volume, among components; same integers as in the C++ core."""

    NOTHING = 0  # no property at all, for example no shape of spherical covariances; letter I in mclust's names
    EQUAL = 1  # all components share one value of the property; letter E in mclust's names
    OWN = 2  # each component has a separate value of the property; letter V in mclust's names


class Algebra(NamedTuple):
    """Covariance structure Σ_k = λ_k D_k diag(a_k) D_kᵀ with Π_j a_kj = 1; Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    volume : whether components share the volume λ_k.
    shape : whether components share the ratios a_k of variances; `Across.NOTHING` means spherical covariances.
    orientation : whether components share the principal axes D_k; `Across.NOTHING` means the coordinate axes.
    """

    volume: Across
    shape: Across = Across.NOTHING
    orientation: Across = Across.NOTHING

    @property
    def is_shared(self) -> bool:
        """Return whether all components have the same covariance."""
        return Across.OWN not in self

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count the free parameters: 1 per volume, n_features − 1 per shape, and the angles of each orientation."""
        sizes = 1, n_features - 1, n_features * (n_features - 1) // 2
        counts = {Across.NOTHING: 0, Across.EQUAL: 1, Across.OWN: n_components}
        return sum(counts[across] * size for across, size in zip(self, sizes, strict=True))


class FactorAlgebra(NamedTuple):
    """Covariance structure Σ_k = Λ_k Λ_kᵀ + Ψ_k; McNicholas & Murphy (2008), Statistics and Computing 18.

    Parameters
    ----------
    loadings : whether components share the loadings Λ_k.
    noise : whether components share the noise variances Ψ_k.
    is_isotropic : whether each Ψ_k is a multiple of the identity matrix.
    """

    loadings: Across
    noise: Across
    is_isotropic: bool
