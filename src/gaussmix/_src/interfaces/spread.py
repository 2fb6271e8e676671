"""Mean and scatter of rows that are not divided among components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule, Second
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.rows import unit_of_weights
from gaussmix._src.numerics.threads import granted


@dataclass(frozen=True, eq=False)
class Spread:
    """Weight, mean and scatter of rows; NaN if a row of positive weight has a missing value.

    Each leaf is summed about its own mean. Leaves are merged as in Chan, Golub & LeVeque (1983), eq. 2.1.
    """

    mean: Array  # (n_features,), data units
    # relative_weight and relative_scatter are Σ_i s_i and Σ_i s_i (x_i − mean)(x_i − mean)ᵀ (n_features, n_features),
    # data units², both divided by `unit`.
    relative_weight: float
    relative_scatter: Array
    unit: float = 1.0  # power of 2 near the largest weight, which prevents overflow of the sums

    @classmethod
    def from_block(cls, block: Block) -> Spread:
        """Sum the rows of a block whose first row begins a leaf."""
        return block.sum_of(cls._from_leaf)

    @classmethod
    def _from_leaf(cls, leaf: Block) -> Spread:
        rows, weight, n_features, unit = leaf.rows, leaf.row_weight, leaf.rows.shape[1], 1.0
        if weight is not None:
            unit = unit_of_weights(float(weight.max(initial=0.0)))
            weight = weight / unit
        leaf = replace(leaf, row_weight=weight)
        total = leaf.total_weight
        if weight is not None and leaf.has_missing:
            leaf = leaf.take(np.flatnonzero(weight), leaf.first_row)
            rows, weight = leaf.rows, leaf.row_weight
        if not total or leaf.has_missing:
            nothing = np.nan if total else 0.0
            return cls(np.full(n_features, nothing), total, np.full((n_features, n_features), nothing), unit)
        mass, first, _ = _sums(rows, weight, np.zeros(n_features), Second.NONE)
        mean = first / mass
        scatter = _sums(rows, weight, mean, Second.FULL)[2]
        assert scatter is not None, "second moments were requested"
        return cls(mean, total, scatter, unit)

    @property
    def weight(self) -> float:
        """Return Σ_i s_i."""
        return self.relative_weight * self.unit

    @property
    def scatter(self) -> Array:
        """Return Σ_i s_i (x_i − mean)(x_i − mean)ᵀ, (n_features, n_features), data units²."""
        return self.relative_scatter * self.unit

    @property
    def covariance(self) -> Array:
        """Return the scatter divided by the weight, (n_features, n_features), data units²."""
        return self.relative_scatter / self.relative_weight

    def __add__(self, other: Spread) -> Spread:
        if not (self.relative_weight and other.relative_weight):
            return self if self.relative_weight else other
        unit = max(self.unit, other.unit)
        one, two = self.unit / unit, other.unit / unit
        weight, more = self.relative_weight * one, other.relative_weight * two
        fraction, gap = more / (weight + more), other.mean - self.mean
        scatter = self.relative_scatter * one + other.relative_scatter * two + weight * fraction * gap[:, None] * gap
        return Spread(self.mean + fraction * gap, weight + more, scatter, unit)

    def scaled(self, factor: float) -> Spread:
        """Return the spread of the same rows with their weights multiplied by a power of 2."""
        return replace(self, unit=self.unit * factor)


def _sums(rows: Rows, row_weight: Array | None, about: Array, second: Second) -> tuple[float, Array, Array | None]:
    """Sum mass, first moments and, unless `second` is `Second.NONE`, second moments of rows about a point."""
    labels, anchor = np.broadcast_to(np.int32(0), len(rows)), np.ascontiguousarray(about[None])
    about_point = None if second is Second.NONE else anchor
    unread = None, np.zeros(1), np.zeros_like(anchor), 0, np.ones(1)  # placeholders for the origin and the parameters
    _, mass, first, squares, *_ = native_target().step(
        rows, row_weight, labels, *unread, about_point, AssignmentRule.ASSIGNMENT, second, granted()
    )
    return float(mass[0]), first[0], None if squares is None else squares[0]
