"""Which parts of their covariances components share. From this alone the core makes the `update` of a family."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Across(IntEnum):
    """How a part of the covariances differs across components. The C++ core uses the same numbers."""

    NOTHING = 0  # the covariances have no such part; mclust's letter I
    EQUAL = 1  # one for all components; E
    OWN = 2  # one for each component; V


class Algebra(NamedTuple):
    """Σ_k = λ_k D_k diag(a_k) D_kᵀ, Π_j a_kj = 1; Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    volume : how λ_k differs.
    shape : how a_k differs; without it the covariances are spheres.
    orientation : how D_k differs; without it the axes are those of the coordinates.
    """

    volume: Across
    shape: Across = Across.NOTHING
    orientation: Across = Across.NOTHING

    @property
    def is_shared(self) -> bool:
        """Whether all components have the same covariance."""
        return Across.OWN not in self

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free numbers: a volume, n_features − 1 ratios of a shape, and the angles of an orientation."""
        sizes = 1, n_features - 1, n_features * (n_features - 1) // 2
        counts = {Across.NOTHING: 0, Across.EQUAL: 1, Across.OWN: n_components}
        return sum(counts[across] * size for across, size in zip(self, sizes, strict=True))


class OtherAxes(NamedTuple):
    """Axes of scatters from which EM begins too, where components share axes.

    Parameters
    ----------
    max_components : components whose own axes are tried: the largest.
    sharp : times the variances that suit the axes of the pooled scatter.
    soft : times those that suit the axes of a component.
    """

    max_components: int
    sharp: float
    soft: float


class FactorAlgebra(NamedTuple):
    """Σ_k = Λ_k Λ_kᵀ + Ψ_k; McNicholas & Murphy (2008), Statistics and Computing 18.

    Parameters
    ----------
    loadings : how Λ_k differs.
    noise : how Ψ_k differs.
    is_isotropic : whether Ψ_k is a multiple of the unit matrix.
    """

    loadings: Across
    noise: Across
    is_isotropic: bool
