"""Births, merges and deletions of one column in the core: which component it does not need."""

import numpy as np
import pytest
from scipy.optimize import brentq

from gaussmix.em.approximation import GaussWishart
from gaussmix.em.bound_moves import NEGLIGIBLE
from gaussmix.em.concentration import StickWeights
from gaussmix.families import FAMILIES

ROWS = np.append(np.linspace(-2.0, 2.0, 200), 8.0)[:, None]


def settled(target, place, seconds):
    """Where two components end, most rows in the first and one row in the second, at a place; no birth makes more."""
    family = FAMILIES["diag"]
    belief = GaussWishart(family, StickWeights(0.5), np.zeros(1), 0.01, 1.0, np.ones(1)).as_values(201.0, 1.0)
    weights, means = np.array([200.0, 1.0]) / 201.0, np.array([[0.0], [place]])[: 2 if np.isfinite(place) else 1]
    limits = 2.0**-40, 1e-15, 1e3, 1e8
    bound, weights, *_ = target.settle_column(
        ROWS, np.ones(201), family.algebra, weights[: len(means)], means, np.ones(len(means)), np.zeros(1), limits,
        1e-9, 1, seconds, 1e-4, 1, np.array([0.5]), belief, 1,
    )  # fmt: skip
    return 201.0 * bound, len(weights)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_component_that_adds_next_to_nothing_to_the_bound_is_deleted(target, share):
    """The farther it is from its row, the less it adds."""
    alone = settled(target, np.inf, 0.0)[0]
    place = brentq(lambda place: settled(target, place, 0.0)[0] - alone - share * NEGLIGIBLE, 8.0, 15.0, xtol=1e-12)
    assert settled(target, place, 1e9)[1] == (1 if share < 1 else 2)
