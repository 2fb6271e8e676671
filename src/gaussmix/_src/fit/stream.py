"""A stream of rows: the rows that wait for the next step, and the sums of the steps so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.interfaces.need import Need
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource

_SUMS = ("mass", "first", "second", "anchor", "log_likelihood")


@dataclass(frozen=True, eq=False)
class Learned:
    """The sums and settings of a stream after its first fit.

    Parameters
    ----------
    sums : of all rows so far, for a row weight of 1.
    ridge : (n_features,), added to every variance, data units².
    unit : the mean weight of the first rows, in which the weights of later ones are counted.
    seen : row weight since the first fit, in units of that of `STEP_ROWS` rows; that fit counts 1, however many rows
        it had, so that little remains of what it found before it converged.
    """

    sums: Moments
    ridge: Array
    unit: float
    seen: float


@dataclass(frozen=True, eq=False)
class Stream:
    """The state of a stream.

    Parameters
    ----------
    dtype : of the rows, that of the first ones.
    seed : of the start.
    held : rows that wait, and their weights. Each block is more than twice as long as the next, so that a row is copied
        few times however short the calls are.
    learned : None until the first `LEAF_ROWS` rows are there.
    n_seen : rows of all calls, of any weight.
    """

    dtype: np.dtype[Any]
    seed: NDArray[np.int64]
    held: tuple[Block, ...] = ()
    learned: Learned | None = None
    n_seen: int = 0

    @property
    def n_held(self) -> int:
        """How many rows wait."""
        return sum(block.n_rows for block in self.held)

    @property
    def row_weight(self) -> float:
        """The weight of all rows so far."""
        waiting = sum(float(block.weight.sum()) for block in self.held)
        if self.learned is None:
            return waiting
        return waiting + self.learned.unit * (LEAF_ROWS + (self.learned.seen - 1) * STEP_ROWS)

    def filled(self, block: Block) -> tuple[Stream, ArraySource | None, Block]:
        """Append rows to the waiting ones, up to the number that the next fit or step needs.

        Returns
        -------
        stream : with copies of the rows that wait now.
        portion : the rows for the fit or step; None if there are too few.
        rest : the rows that were not used.
        """
        missing = (LEAF_ROWS if self.learned is None else STEP_ROWS) - self.n_held
        part, rest = block.between(0, missing), block.between(missing, max(missing, block.n_rows))
        part = Block(0, part.rows.astype(self.dtype, copy=False), part.weight)
        if part.n_rows == missing:
            return replace(self, held=()), _source([*self.held, part]), rest
        held = [*self.held, Block(0, np.array(part.rows, order="C"), np.array(part.row_weight))]
        while len(held) > 1 and held[-2].n_rows <= 2 * held[-1].n_rows:
            held[-2:] = [Block.joined(held[-2:])]
        return replace(self, held=tuple(held)), None, rest

    @property
    def waiting(self) -> ArraySource:
        """The rows that wait, one at least."""
        return _source(self.held)

    def table(self) -> dict[str, list[Any]]:
        """As plain values, for a file."""
        values: dict[str, list[Any]] = {"dtype": [self.dtype.name], "seed": [self.seed]}
        if self.held:
            block = Block.joined(self.held)
            values |= {"rows": [block.rows], "weight": [block.row_weight]}
        if self.learned is not None:
            learned = self.learned
            values |= {name: [getattr(learned.sums, name)] for name in _SUMS}
            values |= {"ridge": [learned.ridge], "unit": [learned.unit], "seen": [learned.seen]}
        return values

    @classmethod
    def of_table(cls, values: dict[str, list[Any]], model: Model, n_seen: int) -> Stream:
        """The stream that `table` wrote, for its model and number of rows; raises ValueError if damaged."""
        found = {name: value for name, (value,) in values.items()}
        dtype, n_features = np.dtype(found["dtype"]), model.n_features
        if dtype.name not in ("float32", "float64"):
            raise ValueError
        stream = cls(dtype, _array(found["seed"], (4,), "i"), n_seen=n_seen)
        if "rows" in found:
            rows = _array(found["rows"], (len(found["rows"]), n_features), "f")
            weight = _array(found["weight"], (len(rows),), "f")
            if not (weight > 0).all() or len(rows) >= (STEP_ROWS if "mass" in found else LEAF_ROWS):
                raise ValueError
            stream = replace(stream, held=(Block(0, rows.astype(dtype), weight),))
        if "mass" in found:
            need = model.family.need(model.covariances)
            stream = replace(stream, learned=_learned(found, need, model))
        return stream


def _learned(found: dict[str, Any], need: Need, model: Model) -> Learned:
    """The sums in a table; raises ValueError."""
    means = model.means
    shapes = dict.fromkeys(("first", "anchor"), means.shape)
    shapes |= {"mass": means.shape[:1], "ridge": means.shape[1:], "second": need.squares(means).shape}
    arrays = {name: _array(found[name], shape, "f") for name, shape in shapes.items()}
    log_likelihood, unit, seen = (float(_array(found[name], (), "f")) for name in ("log_likelihood", "unit", "seen"))
    ridge = arrays.pop("ridge")
    if not (unit > 0 and seen >= 1 and (ridge >= 0).all() and (arrays["mass"] >= 0).all() and arrays["mass"].any()):
        raise ValueError
    return Learned(Moments(**arrays, log_likelihood=log_likelihood, row_weight=1.0, need=need), ridge, unit, seen)


def _array(value: Any, shape: tuple[int, ...], kind: str) -> Any:
    """Finite numbers of a kind and shape; raises ValueError."""
    array = np.asarray(value)
    if array.dtype.kind != kind or array.shape != shape or not np.isfinite(array).all():
        raise ValueError
    return array


def counting(block: Block) -> Block:
    """The rows of positive weight: only they count, also for the end of a step."""
    weight = block.row_weight
    return block if weight is None or weight.all() else block.taken(weight.nonzero()[0], 0)


def _source(held: Sequence[Block]) -> ArraySource:
    """Rows for a fit, without weights if all are 1."""
    block = Block.joined(held)
    return ArraySource(block.rows, None if (block.weight == 1).all() else block.row_weight)
