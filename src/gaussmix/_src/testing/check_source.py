"""Checks that the division of a source's rows into blocks does not affect its rows, moments and samples."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import Dense
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines import complete_engine
from gaussmix._src.interfaces.block import Block, BlockState, RowStatistics
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells, DistinctDigests, PairwiseObservedCounts
from gaussmix._src.testing.closeness import EPS, assert_close, assert_same_bits

N_ROWS, N_COMPONENTS = 3_000, 3
ENGINE = complete_engine(1)
_rows, _weights, _assignment = attrgetter("rows"), attrgetter("weight"), attrgetter("assignment")


def check_source(make_source: Callable[[Rows, Array | None], Source], rng: np.random.Generator) -> None:
    """Check that all methods of a source agree with the rows from which the source was created.

    Parameters
    ----------
    make_source : function that creates a source from float64 rows (n_rows, n_features) and row weights (n_rows,) or
        None.
    rng : random generator that draws the rows.

    Raises
    ------
    AssertionError : a check failed; the message describes the failure.
    """
    rows = rng.standard_normal((N_ROWS, 3))
    weight = rng.choice([0.0, 0.5, 1.0, 2.0, 50.0], size=N_ROWS)
    weight[:200] = 0.0  # Sources with small blocks must handle a first block of total weight 0.
    for row_weight in (None, weight):
        source, block = make_source(rows, row_weight), Block(0, rows, row_weight)
        _check_rows(source, block)
        _check_profile(source, block)
        _check_passes(source, block, rng)
        _check_states(source, rng)
        _check_sample(source, make_source(rows, row_weight), block)
        _check_changes(source, block, rng)


def _check_rows(source: Source, block: Block) -> None:
    """Check that blocks yield all rows and weights in order, and that results per row are in the order of the rows."""
    if (source.n_rows, source.n_features, np.dtype(source.dtype)) != (*block.rows.shape, block.rows.dtype):
        raise AssertionError("n_rows, n_features or dtype of the source differs from the rows")
    for number in range(2):
        assert_same_bits(source.each_row(_rows), block.rows, f"rows of pass {number}")
        assert_same_bits(source.each_row(_row_indices), np.arange(block.n_rows), f"numbers of rows of pass {number}")
        assert_same_bits(source.each_row(_weights), block.weight, f"weights of pass {number}")
    if source.whole is not None:
        assert_same_bits(source.whole.rows, block.rows, "all rows as one block")


def _check_profile(source: Source, block: Block) -> None:
    """Check that `row_totals` and the collected statistics of a source agree with the rows of the source."""
    weight, profile = block.weight, source.row_totals
    assert_close(profile.total_weight, weight.sum(), N_ROWS * EPS, weight.sum(), "total_weight")
    expected: Any = (np.count_nonzero(weight), None if block.row_weight is None else weight.max())
    if (profile.n_positive, profile.largest_weight) != expected:
        raise AssertionError(f"row_totals is {profile}, but n_positive and largest_weight must be {expected}")
    _check_findings(source, ArraySource(block.rows, block.row_weight), "rows")
    factor = 1.0 if block.row_weight is None else 0.25
    quarter = ArraySource(block.rows, None if block.row_weight is None else factor * block.row_weight)
    _check_findings(source.reweighted(0.25), quarter, "rows of other weights")


def _check_findings(source: Source, in_memory: Source, what: str) -> None:
    """Check that `source` and `in_memory`, which have the same rows, collect bit-identical statistics."""
    for kind in (RowStatistics, Cells, PairwiseObservedCounts, Spread):
        actual, expected = vars(source.collect(kind)), vars(in_memory.collect(kind))
        for name, value in expected.items():
            one, other = (np.asarray(each, dtype=np.float64) for each in (actual[name], value))  # maps None to NaN
            assert_same_bits(one, other, f"{name} of {kind.__name__} of {what}")
    n_distinct = [len(each.collect(DistinctDigests).digests) for each in (source, in_memory)]
    if n_distinct[0] != n_distinct[1]:
        raise AssertionError(f"{n_distinct[0]} distinct rows were counted in {what}, but there are {n_distinct[1]}")


def _check_passes(source: Source, block: Block, rng: np.random.Generator) -> None:
    """Check the moments of a first pass, of a second pass, and of a pass without the block states of earlier passes."""
    parameters, spec = _parameters(rng, source.n_features), MomentSpec(Second.FULL)
    task = StepTask(ENGINE, N_COMPONENTS, parameters, spec)
    expected = ENGINE.step(block, ENGINE.make_state(block, N_COMPONENTS), parameters, spec)
    passes = (
        (source, "a pass"),
        (source, "a second pass"),
        (source.without_states(), "a pass without the states of the first"),
    )
    for again, what in passes:
        again.map_merge(StepTask(ENGINE, N_COMPONENTS, parameters, MomentSpec(Second.NONE)))
        sums = again.map_merge(task)
        for name in ("mass", "first", "second", "log_likelihood", "row_weight"):
            assert_same_bits(getattr(sums, name), getattr(expected, name), f"{name} of {what}")


def _parameters(rng: np.random.Generator, n_features: int) -> Parameters:
    """Draw parameters of components whose means are a few standard deviations apart."""
    covariances = Dense(np.eye(n_features)[None], N_COMPONENTS, n_features, is_shared=True)
    means = rng.normal(0.0, 2.0, size=(N_COMPONENTS, n_features))
    return Parameters.from_mixture(rng.dirichlet(np.full(N_COMPONENTS, 3.0)), means, covariances.whitening)


@dataclass(eq=False)
class _Mark(BlockState):
    seen: tuple[MomentSpec, float] | None = None


@dataclass(frozen=True)
class _Marked(StepTask):
    """Pass that stores the sum of a block's rows in the block's state, to detect the state of a different block."""

    @property
    def key(self) -> Hashable:
        return "marked", self.spec

    def open(self, block: Block) -> _Mark:
        return _Mark(seen=(self.spec, block.rows.sum()))

    def call(self, block: Block, state: Any) -> BlockMoments:
        if state.seen != self.open(block).seen:
            raise AssertionError("a block was passed with the state of another block or of another task")
        return super().call(block, super().open(block))


def _check_states(source: Source, rng: np.random.Generator) -> None:
    """Check that each block comes with the state that a task of the same key created for this block."""
    parameters = _parameters(rng, source.n_features)
    for spec in (MomentSpec(Second.NONE), MomentSpec(Second.FULL), MomentSpec(Second.FULL), MomentSpec(Second.NONE)):
        source.map_merge(_Marked(ENGINE, N_COMPONENTS, parameters, spec))


def _check_sample(source: Source, twin: Source, block: Block) -> None:
    """Check that a sample contains all rows if `n_rows` is large enough, otherwise rows drawn in proportion to weight.

    The sample must have about the requested number of rows, and must be the same for all sources of the same rows.
    """
    rows, row_weight, weight = block.rows, block.row_weight, block.weight
    for n_rows in (N_ROWS, N_ROWS + 1):
        whole = source.sample(n_rows)
        assert_same_bits(whole.rows, rows, "a sample of all rows")
        assert_same_bits(whole.weight, weight, "weights of a sample of all rows")
    sample: Any = source.sample(N_ROWS // 3)
    assert_same_bits(twin.sample(N_ROWS // 3).rows, sample.rows, "a sample of the same rows")
    in_memory = ArraySource(rows, row_weight).sample(N_ROWS // 3)
    assert_same_bits(sample.rows, in_memory.rows, "a sample of the same rows in memory")
    drawn_weight = weight.sum() / (N_ROWS // 3)
    chance = np.minimum(weight / drawn_weight, 1.0)
    present = np.flatnonzero(weight)
    extreme = np.concatenate([present[rows[present].argmin(axis=0)], present[rows[present].argmax(axis=0)]])
    chance[extreme] = 1.0
    if abs(sample.n_rows - chance.sum()) > 6 * np.sqrt((chance * (1 - chance)).sum()):  # six standard deviations
        raise AssertionError(f"a request for {N_ROWS // 3} rows should draw {chance.sum():.0f}, not {sample.n_rows}")
    indices = {row.tobytes(): i for i, row in enumerate(rows)}
    actual = np.array([indices[row.tobytes()] for row in sample.rows])
    assert_same_bits(actual, np.unique(actual), "rows of a sample, which keep their order")
    stands_for = np.ones(sample.n_rows) if row_weight is None else np.maximum(weight[actual], drawn_weight)
    assert_close(sample.weight, stands_for, N_ROWS * EPS, drawn_weight, "weights of a sample")
    if not np.isin(np.flatnonzero(chance == 1.0), actual).all():
        raise AssertionError("a sample lacks a row of large weight, or a row with the minimum or maximum of a feature")
    if (weight[actual] == 0).any():
        raise AssertionError("a row of weight 0 is in a sample")


def _check_changes(source: Source, block: Block, rng: np.random.Generator) -> None:
    """Check the rows, labels and weights of the sources that `with_assignment`, `part` and `reweighted` return."""
    labels = rng.integers(N_COMPONENTS, size=block.n_rows).astype(np.int32)
    labelled = source.with_assignment(labels)
    assert_same_bits(labelled.each_row(_assignment), labels, "the labels of rows")
    assert_same_bits(labelled.each_row(_rows), block.rows, "rows with labels")
    chosen = (rng.random(block.n_rows) < 0.2) & (np.arange(block.n_rows) // 100 % 3 > 0)
    part = source.part(partial(_are_chosen, chosen=chosen), int(chosen.sum()))
    for task, expected in ((_rows, block.rows), (_weights, block.weight)):
        assert_same_bits(part.each_row(task), expected[chosen], "the rows of a part")
    assert_same_bits(part.each_row(_row_indices), np.arange(chosen.sum()), "numbers of the rows of a part")
    assert_same_bits(part.with_assignment(labels[chosen]).each_row(_assignment), labels[chosen], "the labels of a part")
    factor = 1.0 if block.row_weight is None else 0.25
    assert_same_bits(source.reweighted(0.25).each_row(_weights), factor * block.weight, "weights times a factor")


def _are_chosen(block: Block, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return chosen[block.row_slice]


def _row_indices(block: Block) -> NDArray[np.intp]:
    return np.arange(block.row_slice.start, block.row_slice.stop)
