"""Variances per feature in the same proportions for all components, and a volume per component."""

from __future__ import annotations

from typing import ClassVar

from gaussmix.families.base import register
from gaussmix.families.diagonal import Diagonal
from gaussmix.families.volume import with_own_volumes
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("VEI")
class VEI(Diagonal):
    """Σ_k = λ_k diag(b): b and λ_k in turns, Celeux & Govaert (1995) section 3.2; in compact form as "diag"."""

    algebra: ClassVar[Algebra | None] = Algebra(Across.OWN, Across.EQUAL)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        start = scatter.second / scatter.mass[:, None] if current is None else current
        return with_own_volumes(scatter.second, scatter.mass, start.mean(axis=1))

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components + n_features - 1
