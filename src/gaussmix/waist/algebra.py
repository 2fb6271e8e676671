"""What a family's update is, as algebra: enough for an engine that makes EM's steps by itself."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Across(IntEnum):
    """How a part of the covariances differs across components; the numbers are those of the C++ core."""

    NOTHING = 0  # there is no such part: mclust's letter I
    EQUAL = 1  # the same for all components: E
    OWN = 2  # each component's own: V


class Algebra(NamedTuple):
    """Σ_k = λ_k D_k diag(a_k) D_kᵀ, Π_j a_kj = 1; Banfield & Raftery (1993), Biometrics 49.

    Parameters
    ----------
    volume : λ_k.
    shape : a_k; spheres without one.
    orientation : D_k; along the coordinates without one.
    """

    volume: Across
    shape: Across = Across.NOTHING
    orientation: Across = Across.NOTHING

    @property
    def is_shared(self) -> bool:
        """One covariance serves all components."""
        return Across.OWN not in self
