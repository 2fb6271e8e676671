"""Compute statistics of all rows. Each statistic is computed block by block, and the results are added up."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Sums
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.hashing import mix
from gaussmix._src.numerics.rows import extremes

MAX_NARROW_FEATURES = 64  # if there are more features, matrices of feature pairs are computed in a separate pass


class RowStatistic(Protocol):
    """A statistic of rows, such that the statistics of two blocks can be added."""

    @classmethod
    def from_block(cls, leaf: Block, /) -> Self:
        """Return the statistic of the rows in a block."""

    def __add__(self, other: Any, /) -> Any:
        """Return the statistic of all rows of `self`, followed by the rows of `other`."""

    def scaled(self, factor: float, /) -> Self:
        """Return the statistic for weights multiplied by a power of 2; `self` if independent of weights."""
        return self


@dataclass(frozen=True, eq=False)
class Cells:
    """The range and the number of missing values of each feature."""

    # Minimum and maximum of each feature over the rows of positive weight, (2, n_features), in the units of the data;
    # NaN for a feature that is missing in all of these rows.
    ends: Array
    n_seen: Array  # for each feature, number of rows of positive weight in which the feature is observed
    n_missing: Array  # for each feature, number of rows in which the feature is missing
    # Number and total weight of the rows that have positive weight but no observed value.
    n_empty: int
    empty_weight: float

    @classmethod
    def from_block(cls, leaf: Block) -> Cells:
        weight, n_features = leaf.row_weight, leaf.rows.shape[1]
        n_positive = leaf.n_rows if weight is None else int(np.count_nonzero(weight))
        ends = np.full((2, n_features), np.nan)
        if n_positive:
            ends[:] = extremes(leaf.rows, weight)
        n_seen = np.full(n_features, float(n_positive))
        if not leaf.has_missing:
            return cls(ends, n_seen, np.zeros(n_features), 0, 0.0)
        is_missing = np.isnan(leaf.rows)
        is_present = np.ones(leaf.n_rows, dtype=np.bool_) if weight is None else weight > 0
        n_seen -= is_missing[is_present].sum(axis=0)
        is_empty = is_missing.all(axis=1) & is_present
        n_empty = int(np.count_nonzero(is_empty))
        empty_weight = float(n_empty if weight is None else weight[is_empty].sum())
        return cls(ends, n_seen, is_missing.sum(axis=0).astype(np.float64), n_empty, empty_weight)

    def __add__(self, other: Cells) -> Cells:
        return Cells(
            np.array([np.fmin(self.ends[0], other.ends[0]), np.fmax(self.ends[1], other.ends[1])]),
            self.n_seen + other.n_seen,
            self.n_missing + other.n_missing,
            self.n_empty + other.n_empty,
            self.empty_weight + other.empty_weight,
        )

    def scaled(self, factor: float) -> Cells:
        return replace(self, empty_weight=self.empty_weight * factor)


@dataclass(frozen=True, eq=False)
class PairwiseObservedCounts(RowStatistic):
    """Number of rows of positive weight in which both features of a pair are observed, (n_features, n_features)."""

    n_rows: Array

    @classmethod
    def from_block(cls, leaf: Block) -> PairwiseObservedCounts:
        is_seen = ~np.isnan(leaf.rows)
        if leaf.row_weight is not None:
            is_seen &= (leaf.row_weight > 0)[:, None]
        counted = is_seen.astype(np.float32)  # float32 is exact for counts up to 65,520
        return cls((counted.T @ counted).astype(np.float64))

    def __add__(self, other: PairwiseObservedCounts) -> PairwiseObservedCounts:
        return PairwiseObservedCounts(self.n_rows + other.n_rows)


@dataclass(frozen=True)
class DistinctDigests(RowStatistic):
    """Digests (hashes) of up to `MAX_DIGESTS` distinct rows of positive weight."""

    MAX_DIGESTS: ClassVar[int] = 64
    digests: frozenset[bytes]

    @classmethod
    def from_block(cls, leaf: Block) -> DistinctDigests:
        return cls(frozenset(blake2b(row, digest_size=16).digest() for row in find_distinct(leaf, cls.MAX_DIGESTS)))

    def __add__(self, other: DistinctDigests) -> DistinctDigests:
        return DistinctDigests(frozenset(islice(self.digests | other.digests, self.MAX_DIGESTS)))


@dataclass(frozen=True)
class Fingerprint(RowStatistic):
    """A number that changes if rows, weights or their order change; it does not depend on the sizes of blocks.

    For each leaf (65,520 rows), its index and its CRC-32 are hashed; the number is the sum of these hashes, modulo 2⁶⁴.
    A change remains undetected with probability 2⁻³².
    """

    total: int

    @classmethod
    def from_block(cls, leaf: Block) -> Fingerprint:
        count = leaf.first_row // LEAF_ROWS << 32 | checksum(leaf)
        return cls(int(mix(np.array([count], dtype=np.uint64))[0]))

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint((self.total + other.total) % 2**64)


def checksum(block: Block, before: int = 0) -> int:
    """Return the CRC-32 of a block's rows, weights and labels, given the CRC-32 of earlier blocks in `before`."""
    for array in (block.rows.T, block.row_weight, block.assignment):
        if array is not None:
            before = zlib.crc32(np.ascontiguousarray(array).data, before)
    return before


def kinds_for(n_features: int, *, may_miss: bool) -> list[type[RowStatistic]]:
    """Return the classes of the statistics that the first pass over rows in other processes computes."""
    kinds: list[type[RowStatistic]] = [RowStatistics, Cells, DistinctDigests]
    if n_features <= MAX_NARROW_FEATURES:
        kinds += [Spread, PairwiseObservedCounts] if may_miss else [Spread]
    return kinds


def compute_statistics(leaf: Block, kinds: Sequence[type[RowStatistic]]) -> Sums:
    """Compute several statistics of the rows in a block."""
    return Sums(kind.from_block(leaf) for kind in kinds)


def find_distinct(block: Block, max_rows: int) -> set[bytes]:
    """Return up to `max_rows` distinct rows of positive weight in a block."""
    rows = block.rows if block.row_weight is None else block.rows[block.row_weight > 0]
    distinct: set[bytes] = set()
    for row in rows[: 20 * max_rows] + 0.0:  # these rows usually suffice; adding 0.0 turns −0 into 0
        distinct.add(row.tobytes())
        if len(distinct) == max_rows:
            return distinct
    return {row.tobytes() for row in np.unique(rows, axis=0)[:max_rows] + 0.0}
