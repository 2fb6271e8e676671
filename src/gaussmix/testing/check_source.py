"""The laws of sources: the same moments however rows are cut, and the same sample for any partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gaussmix.em.accumulate import StepTask
from gaussmix.engines.reference import ReferenceEngine
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.base import Source
from gaussmix.testing.agreement import assert_same_moments
from gaussmix.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix.testing.engine_cases import random_parameters
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.base import FactorShape

N_ROWS = 3_000


def check_source(make_source: Callable[[Rows, Array | None], Source], rng: np.random.Generator) -> None:
    """Hold a source against the rows it was made of.

    Parameters
    ----------
    make_source : a source of rows (n_rows, n_features) and row weights (n_rows,) or None.
    rng : draws the rows.

    Raises
    ------
    AssertionError : a law is broken; the message says which.
    """
    rows = rng.standard_normal((N_ROWS, 3))
    weight = rng.choice([0.0, 0.5, 1.0, 2.0, 50.0], size=N_ROWS)
    for row_weight in (None, weight):
        source = make_source(rows, row_weight)
        if (source.n_rows, source.n_features, np.dtype(source.dtype)) != (*rows.shape, rows.dtype):
            raise AssertionError("n_rows, n_features or dtype is not that of the rows")
        _check_passes(source, Block(0, rows, row_weight), rng)
        _check_sample(source, make_source(rows, row_weight), rows, row_weight)


def _check_passes(source: Source, block: Block, rng: np.random.Generator) -> None:
    """A pass gives the moments of all rows; a second pass, and one after another task, gives them again."""
    engine = ReferenceEngine()
    parameters = random_parameters(rng, 3, block.rows.shape[1], FactorShape.TRIANGULAR)
    need = Need(Second.FULL)
    task: StepTask = StepTask(engine, 3, parameters, need)
    expected = engine.step(block, 3, parameters, need)
    diagonal = engine.step(block, 3, parameters, Need(Second.DIAGONAL)).second
    assert diagonal is not None
    first = source.map_merge(task)
    assert_same_moments(first, expected, diagonal, N_ROWS * EPS, "a pass")
    source.map_merge(StepTask(engine, 3, parameters, Need(Second.NONE)))
    again = source.map_merge(task)
    for name in ("mass", "first", "second", "log_likelihood", "row_weight"):
        assert_same_bits(getattr(again, name), getattr(first, name), f"{name} of a second pass")


def _check_sample(source: Source, twin: Source, rows: Rows, row_weight: Array | None) -> None:
    """All rows where they fit; else rows by their weight, about as many as asked for, the same in every source."""
    for n_rows in (N_ROWS, N_ROWS + 1):
        whole = source.sample(n_rows)
        assert_same_bits(whole.rows, rows, "a sample of all rows")
        assert_same_bits(_weights(whole), _weights(Block(0, rows, row_weight)), "weights of a sample of all rows")
    some: Any = source.sample(N_ROWS // 3)
    assert_same_bits(twin.sample(N_ROWS // 3).rows, some.rows, "a sample of the same rows")
    weight = _weights(Block(0, rows, row_weight))
    fair = weight.sum() / (N_ROWS // 3)
    chance = np.minimum(weight / fair, 1.0)
    present = np.flatnonzero(weight)
    extreme = np.concatenate([present[rows[present].argmin(axis=0)], present[rows[present].argmax(axis=0)]])
    chance[extreme] = 1.0
    if abs(some.n_rows - chance.sum()) > 6 * np.sqrt((chance * (1 - chance)).sum()):  # six standard deviations
        raise AssertionError(f"a sample of {N_ROWS // 3} rows has {some.n_rows}, not about {chance.sum():.0f}")
    places = {row.tobytes(): i for i, row in enumerate(rows)}
    found = np.array([places[row.tobytes()] for row in some.rows])
    assert_same_bits(found, np.unique(found), "rows of a sample, which keep their order")
    stands_for = np.ones(some.n_rows) if row_weight is None else np.maximum(weight[found], fair)
    assert_close(_weights(some), stands_for, N_ROWS * EPS, fair, "weights of a sample")
    if not np.isin(np.flatnonzero(chance == 1.0), found).all():
        raise AssertionError("a row of more than the fair weight, or an extreme one, is missing in a sample")
    if (weight[found] == 0).any():
        raise AssertionError("a row of weight 0 is in a sample")


def _weights(block: Block) -> Array:
    return np.ones(block.n_rows) if block.row_weight is None else block.row_weight
