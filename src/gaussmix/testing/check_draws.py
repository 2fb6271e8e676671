"""The law of drawn rows: every engine draws the same, each row as a function of the key and its number."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from gaussmix.engines.base import Engine
from gaussmix.engines.reference import ReferenceEngine
from gaussmix.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix.testing.engine_cases import random_parameters
from gaussmix.waist.whitening.base import FactorShape


def check_draws(engine: Engine[Any], rng: np.random.Generator) -> None:
    """The reference's labels and, to rounding, its rows; a smaller draw is the beginning of a larger one."""
    for factor_shape, is_shared, n_features in product(FactorShape, (False, True), (1, 2, 3, 8, 9, 21)):
        parameters = random_parameters(rng, 5, n_features, factor_shape, is_shared)
        cumulative = np.cumsum([0.0, 0.3, 0.0, 0.7, 0.0])
        cumulative[3:] = np.inf
        key = int(rng.integers(2**64, dtype=np.uint64))
        drawn = cumulative, parameters.means, parameters.whitening, key
        what = f"of {n_features} features, {'shared ' if is_shared else ''}{factor_shape.name}"
        expected_rows, expected_labels = ReferenceEngine().draw(333, *drawn)
        rows, labels = engine.draw(333, *drawn)
        assert_same_bits(labels, expected_labels, f"labels {what}")
        # Two triangular solves differ by a few d ε times the condition of W, tens here, and a normal number by 3 ε.
        allowed, scale = (400 * n_features + 8) * EPS, np.abs(expected_rows).max()
        assert_close(rows, expected_rows, allowed, scale, f"rows {what}")
        for n_rows in (0, 1, 100):
            first_rows, first_labels = engine.draw(n_rows, *drawn)
            assert_same_bits(first_labels, labels[:n_rows], f"the first {n_rows} labels {what}")
            assert_close(first_rows, rows[:n_rows], allowed, scale, f"the first {n_rows} rows {what}")
