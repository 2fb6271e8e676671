"""Draws of all components or of one, with labels or without."""

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture

APART = Mixture([0.5, 0.5, 0.0], [[0.0], [100.0], [200.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])


def seeded():
    return np.random.default_rng(0)


def test_labels_come_or_do_not():
    rows, labels = APART.sample(50, rng=seeded())
    np.testing.assert_array_equal(APART.sample(50, seeded(), return_labels=False), rows)
    np.testing.assert_array_equal(labels, (rows[:, 0] > 50).astype(int))


@pytest.mark.parametrize("component", [0, 1, np.int64(2)])
def test_one_component_alone_is_drawn_from_whatever_its_weight(component):
    rows, labels = APART.sample(1000, seeded(), component=component)
    np.testing.assert_array_equal(labels, component)
    assert abs(rows.mean() - 100 * component) < 6.2 / np.sqrt(1000)  # standard errors; passed by all but 1e-9 of seeds


@pytest.mark.parametrize(
    ("component", "error", "said"),
    [
        (3, ValueError, "There is no component 3: the mixture has 3, counted from 0"),
        (-1, ValueError, "There is no component -1"),
        (1.0, TypeError, "component must be a number, counted from 0, not 1.0"),
        (True, TypeError, "not True"),
    ],
)
def test_a_component_that_is_not_there_is_named(component, error, said):
    with pytest.raises(error, match=said):
        APART.sample(5, seeded(), component=component)
