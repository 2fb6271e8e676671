"""Uncertain rows: how large their points are, which rows are drawn, and what the heights are in one feature."""

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture
from gaussmix.background import Background
from gaussmix.plot import UncertaintyDisplay


@pytest.fixture
def mixture():
    return Mixture([0.5, 0.5], [[0.0, 0.0], [3.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])


def test_points_grow_with_the_uncertainty(mixture, rng):
    rows = mixture.sample(100, rng)[0]
    display = UncertaintyDisplay.from_estimator(mixture, rows)
    shares = mixture.responsibilities(rows)
    np.testing.assert_array_equal(display.uncertainty, 1 - shares.max(axis=1))
    for k, points in enumerate(display.rows_):
        mine = np.flatnonzero(shares.argmax(axis=1) == k)
        mine = mine[np.argsort(display.uncertainty[mine], kind="stable")]
        np.testing.assert_array_equal(points.get_offsets(), rows[mine])
        np.testing.assert_allclose(points.get_sizes(), 8 + 102 * 2 * display.uncertainty[mine])


def test_noise_is_an_outcome_too():
    noise = Background(0.2, np.log(0.2 / 0.8 * 2 * np.pi))  # as dense as the component in its middle
    mixture = Mixture([0.8], np.zeros((1, 2)), [1.0], FAMILIES["spherical"], noise=noise)
    display = UncertaintyDisplay.from_estimator(mixture, [[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]])
    sizes = np.concatenate([points.get_sizes() for points in display.rows_])
    np.testing.assert_allclose(np.sort(sizes), 8 + 102 * 2 * np.sort(display.uncertainty))
    assert sizes.max() == pytest.approx(110)
    assert [text.get_text() for text in display.legend_.get_texts()][-1] == "uncertainty 0.50"


def test_in_one_feature_it_is_the_height(mixture, rng):
    rows = mixture.sample(100, rng)[0]
    display = UncertaintyDisplay.from_estimator(mixture, rows, features=0)
    drawn = np.concatenate([points.get_offsets() for points in display.rows_])
    expected = np.column_stack([rows[:, 0], display.uncertainty])
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
    assert display.ax_.get_ylabel() == "uncertainty"


def test_the_most_uncertain_of_many_rows_are_drawn(mixture, rng):
    rows = mixture.sample(30_000, rng)[0]
    display = UncertaintyDisplay.from_estimator(mixture, rows)
    uncertainty = 1 - mixture.responsibilities(rows).max(axis=1)
    np.testing.assert_array_equal(np.sort(display.uncertainty), np.sort(uncertainty)[-20_000:])


def test_it_needs_rows(mixture):
    with pytest.raises(ValueError, match=r"UncertaintyDisplay needs rows\. Give X, of shape"):
        UncertaintyDisplay.from_estimator(mixture, None)
