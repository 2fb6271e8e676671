"""Checks that an initialisation depends only on the weighted empirical distribution of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix._src.em.initialisation.base import Start
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import distinct_rows
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.engines.base import Engine
from gaussmix._src.families.base import Family
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.testing.closeness import EPS, assert_close


def check_initialisation(start: Start, engine: Engine[Any], family: Family, rng: np.random.Generator) -> None:
    """Check that an initialisation does not change if rows are shuffled, or if equal rows become one weighted row.

    Parameters
    ----------
    start : the initialisation to check, a function that partitions rows.
    engine, family : engine and covariance structure of the M-step that computes a mixture from the partition.
    rng : random generator that draws the rows.

    Raises
    ------
    AssertionError : the initial mixture changes if rows are shuffled, or if equal rows are repeated instead of
        weighted.
    """
    for seed, (n_rows, n_features, n_components) in enumerate([(40, 1, 2), (60, 2, 3), (90, 4, 4)]):
        rows = rng.standard_normal((n_rows, n_features)) + 5 * rng.integers(n_components, size=(n_rows, 1))
        counts = rng.integers(0, 4, size=n_rows)
        repeated = rows.repeat(counts, axis=0)
        expected = _first_model(start, engine, family, n_components, rows, counts.astype(np.float64), seed)
        order = rng.permutation(len(repeated))
        weighted = rng.permutation(n_rows)
        ways = {
            "repeated rows": (repeated, None),
            "shuffled repeated rows": (repeated[order], None),
            "shuffled weighted rows": (rows[weighted], counts[weighted].astype(np.float64)),
            "rows of weight 1": (repeated[order], np.ones(len(order))),
        }
        for what, (form, weight) in ways.items():
            actual = _first_model(start, engine, family, n_components, form, weight, seed)
            tolerance = 8 * len(repeated) * EPS  # bound on the rounding error of sums in a different order
            assert_close(actual.weights, expected.weights, tolerance, 1.0, f"weights of {what}")
            assert_close(actual.means, expected.means, tolerance, np.abs(rows).max(), f"means of {what}")
            size = rows.var(axis=0).max() + np.abs(rows).max() ** 2
            tolerance = max(tolerance, family.accuracy)
            assert_close(actual.covariances.each, expected.covariances.each, tolerance, size, f"covariances of {what}")


def _first_model(
    start: Start, engine: Engine[Any], family: Family, n_components: int, rows: Array, weight: Array | None, seed: int
) -> Model:
    source = ArraySource(rows, weight)
    partition = start(distinct_rows(source), engine, n_components, np.random.default_rng(seed))
    objective = Objective(np.full(rows.shape[1], 1e-3))  # with a ridge, because a component may have a single row
    return InitialMoments(source, engine, n_components, partition).model(family, objective)
