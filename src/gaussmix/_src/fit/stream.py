"""Store the state of a stream of rows: the rows that wait for the next EM step, and the moments of all earlier rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import MomentSpec
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource

_MOMENT_NAMES = ("mass", "first", "second", "anchor", "log_likelihood")


@dataclass(frozen=True, eq=False)
class StreamState:
    """The moments and settings of a stream after its first fit.

    Parameters
    ----------
    moments : moments of all rows of the fit and of later EM steps, scaled to a total row weight of 1.
    ridge : numbers that are added to the variances of each feature, (n_features,), in squared units of the data.
    weight_unit : mean weight of the rows of the first fit; the weights of all later rows are divided by this mean.
    seen_weight : total row weight divided by the weight of `STEP_ROWS` rows. All rows of the first fit together count
        as 1, so that moments from before the convergence of this fit are soon forgotten.
    """

    moments: Moments
    ridge: Array
    weight_unit: float
    seen_weight: float


@dataclass(frozen=True, eq=False)
class Stream:
    """The state of a stream of rows between two calls of `partial_fit`.

    Parameters
    ----------
    dtype : data type of the rows, which the first rows determine.
    seed : seed of the random generator of the first fit.
    waiting_blocks : blocks of waiting rows with weights. Each block has more than twice as many rows as the next block,
        so that each row is copied only a few times even if calls add few rows.
    state : moments and settings; None before the first fit, which needs `LEAF_ROWS` rows.
    n_rows_seen : number of rows passed in all calls, including rows of weight 0.
    integer_columns : indices of columns of integers, which doubles may not represent exactly. Model files do not store
        these indices.
    """

    dtype: np.dtype[Any]
    seed: NDArray[np.int64]
    waiting_blocks: tuple[Block, ...] = ()
    state: StreamState | None = None
    n_rows_seen: int = 0
    integer_columns: frozenset[int] = frozenset()

    @property
    def n_waiting_rows(self) -> int:
        """Return the number of rows that wait for the next EM step."""
        return sum(block.n_rows for block in self.waiting_blocks)

    @property
    def total_weight(self) -> float:
        """Return the total weight of all rows passed so far."""
        waiting = sum(float(block.weight.sum()) for block in self.waiting_blocks)
        if self.state is None:
            return waiting
        return waiting + self.state.weight_unit * (LEAF_ROWS + (self.state.seen_weight - 1) * STEP_ROWS)

    def append_rows(self, block: Block) -> tuple[Stream, ArraySource | None, Block]:
        """Append rows of `block` to the waiting rows, up to the number required for the next fit or EM step.

        Returns
        -------
        stream : new stream with copies of the rows that still wait.
        portion : rows for the next fit or EM step; None if fewer rows wait than required.
        rest : rows of `block` that were not appended.
        """
        missing = (LEAF_ROWS if self.state is None else STEP_ROWS) - self.n_waiting_rows
        part, rest = block.row_range(0, missing), block.row_range(missing, max(missing, block.n_rows))
        part = Block(0, part.rows.astype(self.dtype, copy=False), part.weight)
        if part.n_rows == missing:
            portion = replace(self, waiting_blocks=(*self.waiting_blocks, part)).waiting_source
            return replace(self, waiting_blocks=()), portion, rest
        blocks = [*self.waiting_blocks, Block(0, np.array(part.rows, order="C"), np.array(part.row_weight))]
        while len(blocks) > 1 and blocks[-2].n_rows <= 2 * blocks[-1].n_rows:
            blocks[-2:] = [Block.concatenate(blocks[-2:])]
        return replace(self, waiting_blocks=tuple(blocks)), None, rest

    @property
    def waiting_source(self) -> ArraySource:
        """Return a source of the waiting rows, without row weights if all are 1; at least one row must wait."""
        block = Block.concatenate(self.waiting_blocks)
        return ArraySource(block.rows, None if (block.weight == 1).all() else block.row_weight)

    def to_table(self) -> dict[str, list[Any]]:
        """Convert the stream to a table of arrays and built-in types for a model file."""
        values: dict[str, list[Any]] = {"dtype": [self.dtype.name], "seed": [self.seed]}
        if self.waiting_blocks:
            block = Block.concatenate(self.waiting_blocks)
            values |= {"rows": [block.rows], "weight": [block.row_weight]}
        if self.state is not None:
            state = self.state
            values |= {name: [getattr(state.moments, name)] for name in _MOMENT_NAMES}
            values |= {"ridge": [state.ridge], "unit": [state.weight_unit], "seen": [state.seen_weight]}
        return values

    @classmethod
    def from_table(cls, values: dict[str, list[Any]], model: Model, n_rows_seen: int) -> Stream:
        """Restore a stream from the table that `to_table` returned; raise ValueError if the table is damaged."""
        table = {name: value for name, (value,) in values.items()}
        dtype, n_features = np.dtype(table["dtype"]), model.n_features
        if dtype.name not in ("float32", "float64"):
            raise ValueError
        stream = cls(dtype, _to_array(table["seed"], (4,), "i"), n_rows_seen=n_rows_seen)
        if "rows" in table:
            rows = _to_array(table["rows"], (len(table["rows"]), n_features), "f")
            weight = _to_array(table["weight"], (len(rows),), "f")
            if not (weight > 0).all() or len(rows) >= (STEP_ROWS if "mass" in table else LEAF_ROWS):
                raise ValueError
            stream = replace(stream, waiting_blocks=(Block(0, rows.astype(dtype), weight),))
        if "mass" in table:
            spec = model.family.moment_spec(model.covariances)
            stream = replace(stream, state=_read_state(table, spec, model))
        return stream


def _read_state(table: dict[str, Any], spec: MomentSpec, model: Model) -> StreamState:
    """Restore the moments and settings of a stream from a table; raise ValueError if a value is invalid."""
    means = model.means
    shapes = dict.fromkeys(("first", "anchor"), means.shape)
    shapes |= {"mass": means.shape[:1], "ridge": means.shape[1:], "second": spec.squares(means).shape}
    arrays = {name: _to_array(table[name], shape, "f") for name, shape in shapes.items()}
    log_likelihood, unit, seen = (float(_to_array(table[name], (), "f")) for name in ("log_likelihood", "unit", "seen"))
    ridge = arrays.pop("ridge")
    if not (unit > 0 and seen >= 1 and (ridge >= 0).all() and (arrays["mass"] >= 0).all() and arrays["mass"].any()):
        raise ValueError
    return StreamState(Moments(**arrays, log_likelihood=log_likelihood, row_weight=1.0, spec=spec), ridge, unit, seen)


def _to_array(value: Any, shape: tuple[int, ...], kind: str) -> Any:
    """Return a value as an array; raise ValueError unless it is finite and has the given `dtype.kind` and shape."""
    array = np.asarray(value)
    if array.dtype.kind != kind or array.shape != shape or not np.isfinite(array).all():
        raise ValueError
    return array


def drop_weightless_rows(block: Block) -> Block:
    """Return the rows of positive weight, because rows of weight 0 must not count as rows of an EM step."""
    weight = block.row_weight
    return block if weight is None or weight.all() else block.take(weight.nonzero()[0], 0)
