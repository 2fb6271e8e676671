"""Samples: rows drawn by a hash of their numbers, and the pass that finds them together with all else that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.hashing import mix, uniform
from gaussmix.numerics.pieces import taken
from gaussmix.numerics.rows import extreme_rows
from gaussmix.sources.findings import Find, Finding
from gaussmix.waist.block import Block, Profile
from gaussmix.waist.leaves import Tree

SPARE = 2_048  # rows kept beyond those expected: eight standard deviations


def hashes(block: Block) -> Array:
    """A number from 0 to 1 for each row, which depends on the row's number alone."""
    return uniform(mix(mix(np.arange(block.places.start, block.places.stop, dtype=np.uint64))))


def are_drawn(hashed: Array, row_weight: Array | None, fair: float) -> NDArray[np.bool_]:
    """Whether rows with these hashes are in a sample whose rows stand for `fair` of the total weight each."""
    drawn: NDArray[np.bool_] = hashed * fair < (1.0 if row_weight is None else row_weight)
    return drawn


def sampled(rows: Rows, row_weight: Array | None, drawn: NDArray[np.bool_], fair: float) -> Block:
    """The rows that were drawn and the extreme rows, with the weights that they stand for."""
    drawn[extreme_rows(rows, row_weight)] = True
    places = drawn.nonzero()[0]
    return Block(0, taken(rows, places), None if row_weight is None else np.maximum(row_weight[places], fair))


@dataclass
class Survey:
    """Collects, block after block, what `Source.of_all` and `Source.sample` say.

    A row is sampled where its key, a hash of its number over its weight, is below 1 over the weight that a sampled row
    stands for. That weight is known at the end only. So the rows with the smallest keys are kept until then.

    Parameters
    ----------
    n_rows : of all blocks.
    n_sampled : about how many rows to sample.
    kinds : of findings, one of them `Profile`.
    """

    n_rows: int
    n_sampled: int
    kinds: Sequence[type[Finding]] = (Profile,)
    _findings: Tree[Any] = field(default_factory=Tree)
    _kept: list[_Candidates] = field(default_factory=list)
    _n_kept: int = 0
    _limit: float = np.inf  # rows with larger keys were dropped, or will be

    def add(self, block: Block) -> None:
        """Take note of the next block: a node of the tree of leaves."""
        self._findings.add(Find(tuple(self.kinds)).call(block, None), block.n_leaves)
        if self.n_rows <= self.n_sampled or not (block.row_weight is None or block.row_weight.any()):
            return
        for part in block.cut():
            self._keep(part)

    @property
    def findings(self) -> dict[type[Finding], Any]:
        """What was found out, by its kind."""
        return dict(zip(self.kinds, self._findings.total, strict=True))

    def sample(self, n_rows: int) -> Block | None:
        """The rows of `Source.sample`; None if too few were kept."""
        fair = self.findings[Profile].total_weight / n_rows
        if n_rows != self.n_sampled or not self._kept or self._limit * fair < 1 + 1e-9:
            return None
        kept = _Candidates.joined(self._kept)
        return sampled(kept.rows, kept.row_weight, are_drawn(kept.hashed, kept.row_weight, fair), fair)

    def _keep(self, part: Block) -> None:
        if part.row_weight is not None and not part.row_weight.any():
            return
        every = _Candidates(hashes(part), part.rows, part.row_weight)
        self._kept.append(every.below(self._limit))
        self._n_kept += len(self._kept[-1].hashed)
        if self._n_kept > 2 * (self.n_sampled + SPARE):
            self._drop()

    def _drop(self) -> None:
        """Keep the rows with the smallest keys, and the extreme rows."""
        kept, most = _Candidates.joined(self._kept), self.n_sampled + SPARE
        self._limit = min(self._limit, float(np.partition(kept.keys, most)[most]))
        self._kept = [kept.below(self._limit)]
        self._n_kept = len(self._kept[0].hashed)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Rows that a sample may have, in order, and a hash of their numbers between 0 and 1."""

    hashed: Array
    rows: Rows
    row_weight: Array | None

    @property
    def keys(self) -> Array:
        """The hash over the weight; infinity for rows of weight 0."""
        if self.row_weight is None:
            return self.hashed
        with np.errstate(divide="ignore"):
            return self.hashed / self.row_weight

    @classmethod
    def joined(cls, parts: list[_Candidates]) -> _Candidates:
        """Consecutive ones as one."""
        weights = [part.row_weight for part in parts if part.row_weight is not None]
        hashed, rows = np.concatenate([part.hashed for part in parts]), np.concatenate([part.rows for part in parts])
        return cls(hashed, rows, np.concatenate(weights) if weights else None)

    def below(self, limit: float) -> _Candidates:
        """A copy of those with smaller keys, and of the extreme rows."""
        chosen = self.keys < limit
        chosen[extreme_rows(self.rows, self.row_weight)] = True
        places = chosen.nonzero()[0]
        weight = None if self.row_weight is None else self.row_weight[places]
        return _Candidates(self.hashed[places], self.rows[places], weight)
