"""Test probabilities of clutter against R's prabclus, which implements Byers & Raftery's method."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from common import ArraySource, distinct_rows
from tables import rows_of

from gaussmix._src.em.initialisation.clutter import clutter_probabilities

PROBABILITIES = json.loads((Path(__file__).parent / "nnclean.json").read_text())["clutter"]


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_clutter_probabilities_equal_those_of_prabclus(n_columns, factor):
    rows = rows_of("noise")[:, :n_columns]
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    sample = distinct_rows(ArraySource(factor * rows[first], np.full(len(first), factor)))
    found = clutter_probabilities(sample)[sample.distinct_index]
    np.testing.assert_allclose(found, PROBABILITIES[n_columns - 1], atol=1e-4)
    assert min(PROBABILITIES[n_columns - 1]) < 0.1 < 0.9 < max(PROBABILITIES[n_columns - 1])


def test_a_row_that_occurs_often_does_not_make_other_rows_clutter():
    sample = distinct_rows(ArraySource(np.unique(rows_of("noise"), axis=0)))
    weight = np.ones(len(sample.rows))
    weight[len(weight) // 2] = 5000
    found = clutter_probabilities(replace(sample, weight=weight))
    np.testing.assert_allclose(found, clutter_probabilities(sample), rtol=1e-12)
