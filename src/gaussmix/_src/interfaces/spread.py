"""Mean and scatter of rows that are not divided into components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule, Second
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.rows import unit_of_weights
from gaussmix._src.numerics.threads import default_threads


@dataclass(frozen=True, eq=False)
class Spread:
    """Weight, mean and scatter of rows. Mean and scatter are NaN if a row of positive weight has a missing value.

    The rows of each leaf (65,520 rows) are summed about the mean of the leaf. The sums of leaves are merged as in Chan,
    Golub & LeVeque (1983), eq. 2.1.
    """

    mean: Array  # mean of the rows, (n_features,), in data units
    # For row weights s_i, relative_weight is Σ_i s_i / unit, and relative_scatter is Σ_i s_i (x_i − mean)(x_i − mean)ᵀ
    # / unit, (n_features, n_features), in data units².
    relative_weight: float
    relative_scatter: Array
    unit: float = 1.0  # power of 2 near the largest row weight; weights are divided by it to prevent overflow

    @classmethod
    def from_block(cls, block: Block) -> Spread:
        """Compute the spread of a block, which must begin at the first row of a leaf (65,520 rows)."""
        return block.sum_of(cls._from_leaf)

    @classmethod
    def _from_leaf(cls, leaf: Block) -> Spread:
        n_features, unit = leaf.rows.shape[1], 1.0
        if leaf.row_weight is not None:
            unit = unit_of_weights(float(leaf.row_weight.max(initial=0.0)))
            leaf = replace(leaf, row_weight=leaf.row_weight / unit)
        total = leaf.total_weight
        if leaf.row_weight is not None and leaf.has_missing:  # missing values in rows of weight 0 do not matter
            leaf = leaf.take(np.flatnonzero(leaf.row_weight), leaf.first_row)
        if not total or leaf.has_missing:
            value = np.nan if total else 0.0
            return cls(np.full(n_features, value), total, np.full((n_features, n_features), value), unit)
        mass, first, _ = _sums(leaf.rows, leaf.row_weight, np.zeros(n_features), Second.NONE)
        mean = first / mass
        scatter = _sums(leaf.rows, leaf.row_weight, mean, Second.FULL)[2]
        assert scatter is not None, "second moments were requested"
        return cls(mean, total, scatter, unit)

    @property
    def weight(self) -> float:
        """Return the sum Σ_i s_i of the row weights."""
        return self.relative_weight * self.unit

    @property
    def scatter(self) -> Array:
        """Return Σ_i s_i (x_i − mean)(x_i − mean)ᵀ, (n_features, n_features), in data units²."""
        return self.relative_scatter * self.unit

    @property
    def covariance(self) -> Array:
        """Return the covariance, which is scatter / weight, (n_features, n_features), in data units²."""
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
        """Return the spread after multiplication of all row weights by `factor`, a power of 2."""
        return replace(self, unit=self.unit * factor)


def _sums(rows: Rows, row_weight: Array | None, about: Array, second: Second) -> tuple[float, Array, Array | None]:
    """Return the sum of weights, the first moments and, if requested, the second moments of rows about a point."""
    labels, anchor = np.broadcast_to(np.int32(0), len(rows)), np.ascontiguousarray(about[None])
    about_point = None if second is Second.NONE else anchor
    unread = None, np.zeros(1), np.zeros_like(anchor), 0, np.ones(1)  # placeholders that the C++ core does not read
    _, mass, first, squares, *_ = native_target().step(
        rows, row_weight, labels, *unread, about_point, AssignmentRule.ASSIGNMENT, second, default_threads()
    )
    return float(mass[0]), first[0], None if squares is None else squares[0]
