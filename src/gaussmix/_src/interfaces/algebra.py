"""Descriptions of the parts of covariances that components share; the C++ core derives the M-step from them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Across(IntEnum):
    """Sharing of one part of the covariances, such as the volume, among components, as the C++ core encodes it."""

    NOTHING = 0  # covariances without this part; letter I in mclust's names
    EQUAL = 1  # one part for all components; letter E
    OWN = 2  # one part for each component; letter V


class Algebra(NamedTuple):
    """Covariance structure Σ_k = λ_k D_k diag(a_k) D_kᵀ with Π_j a_kj = 1; Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    volume : how λ_k differs across components.
    shape : how a_k differs across components; with `Across.NOTHING` the covariances are spherical.
    orientation : how D_k differs across components; with `Across.NOTHING` the axes are the coordinate axes.
    """

    volume: Across
    shape: Across = Across.NOTHING
    orientation: Across = Across.NOTHING

    @property
    def is_shared(self) -> bool:
        """Return whether all components have the same covariance."""
        return Across.OWN not in self

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count the free parameters: volumes, n_features − 1 ratios per shape, and the angles of each orientation."""
        sizes = 1, n_features - 1, n_features * (n_features - 1) // 2
        counts = {Across.NOTHING: 0, Across.EQUAL: 1, Across.OWN: n_components}
        return sum(counts[across] * size for across, size in zip(self, sizes, strict=True))


class OtherAxes(NamedTuple):
    """Settings of further covariances from which EM begins, with other axes, if the components share their axes.

    Parameters
    ----------
    max_components : number of components whose own axes are tried, the largest first.
    sharp : factor on the variances that suit the axes of the pooled scatter.
    soft : factor on the variances that suit the axes of a component.
    """

    max_components: int
    sharp: float
    soft: float


class FactorAlgebra(NamedTuple):
    """Covariance structure Σ_k = Λ_k Λ_kᵀ + Ψ_k; McNicholas & Murphy (2008), Statistics and Computing 18.

    Parameters
    ----------
    loadings : how Λ_k differs across components.
    noise : how Ψ_k differs across components.
    is_isotropic : whether Ψ_k is a multiple of the identity matrix.
    """

    loadings: Across
    noise: Across
    is_isotropic: bool
