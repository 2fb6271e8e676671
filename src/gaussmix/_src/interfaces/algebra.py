"""Descriptions of covariance structures by what components share. From these, the C++ core derives the M-step."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Across(IntEnum):
    """Sharing of a property of covariances, such as the volume, by components. The C++ core uses the same integers."""

    NOTHING = 0  # the covariances do not have this property; letter I in mclust's names
    EQUAL = 1  # one value shared by all components; letter E in mclust's names
    OWN = 2  # a separate value for each component; letter V in mclust's names


class Algebra(NamedTuple):
    """Covariance structure Σ_k = λ_k D_k diag(a_k) D_kᵀ with Π_j a_kj = 1; Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    volume : how the volume λ_k differs across components.
    shape : how the ratios of variances a_k differ across components; `Across.NOTHING` means spherical covariances.
    orientation : how the axes D_k differ across components; `Across.NOTHING` means the coordinate axes.
    """

    volume: Across
    shape: Across = Across.NOTHING
    orientation: Across = Across.NOTHING

    @property
    def is_shared(self) -> bool:
        """Return whether all components have the same covariance."""
        return Across.OWN not in self

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count the free parameters: volumes, n_features − 1 ratios for each shape, and angles for each orientation."""
        sizes = 1, n_features - 1, n_features * (n_features - 1) // 2
        counts = {Across.NOTHING: 0, Across.EQUAL: 1, Across.OWN: n_components}
        return sum(counts[across] * size for across, size in zip(self, sizes, strict=True))


class OtherAxes(NamedTuple):
    """Settings of alternative initial covariances with other axes, for structures whose components share axes.

    Parameters
    ----------
    max_components : maximum number of components whose axes are tried as shared axes, in decreasing size.
    sharp : factor by which variances are multiplied if the axes of the pooled scatter are shared.
    soft : factor by which variances are multiplied if the axes of one component are shared.
    """

    max_components: int
    sharp: float
    soft: float


class FactorAlgebra(NamedTuple):
    """Covariance structure Σ_k = Λ_k Λ_kᵀ + Ψ_k; McNicholas & Murphy (2008), Statistics and Computing 18.

    Parameters
    ----------
    loadings : how the loadings Λ_k differ across components.
    noise : how the noise variances Ψ_k differ across components.
    is_isotropic : whether Ψ_k is a multiple of the identity matrix.
    """

    loadings: Across
    noise: Across
    is_isotropic: bool
