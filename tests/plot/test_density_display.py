"""Contours of the density hold the masses that they promise."""

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture
from gaussmix.plot import DensityDisplay


@pytest.fixture
def mixture():
    covariances = [[[1.0, 0.6], [0.6, 2.0]], [[0.3, 0.0], [0.0, 0.5]]]
    return Mixture([0.4, 0.6], [[0.0, 0.0], [4.0, 1.0]], covariances, FAMILIES["full"], ["length", "width"])


def test_contours_hold_their_masses(mixture):
    """Of 100,000 rows drawn from the mixture, as many lie inside as should, to 5 standard errors."""
    display = DensityDisplay.from_estimator(mixture, masses=[0.9, 0.5])
    np.testing.assert_allclose(display.contours_.levels, display.levels_, rtol=1e-9)
    density = mixture.log_density(mixture.sample(100_000, rng=0)[0])
    for mass, level in zip([0.9, 0.5], display.levels_, strict=True):
        assert abs((density >= level).mean() - mass) < 5 * np.sqrt(mass * (1 - mass) / 100_000) + 1e-3
    for level, paths in zip(display.levels_, display.contours_.get_paths(), strict=True):
        np.testing.assert_allclose(mixture.log_density(paths.vertices), level, atol=0.02)  # straight between grid lines


def test_one_feature_is_a_curve_over_its_regions(mixture):
    display = DensityDisplay.from_estimator(mixture, features="length", masses=[0.5])
    x, height = display.contours_.get_data()
    marginal = mixture.marginal(["length"])
    np.testing.assert_allclose(height, np.exp(marginal.log_density(x[:, None])))
    assert np.trapezoid(height, x) == pytest.approx(1, abs=1e-3)
    inside = height >= np.exp(display.levels_[0])
    assert np.trapezoid(np.where(inside, height, 0), x) == pytest.approx(0.5, abs=0.02)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["50% of the mass"]


def test_rows_are_in_view(mixture):
    display = DensityDisplay.from_estimator(mixture, [[0.0, 0.0], [30.0, -9.0]])
    np.testing.assert_array_equal(display.rows_[0].get_offsets(), [[0.0, 0.0], [30.0, -9.0]])
    assert display.ax_.get_xlim()[1] > 30
    assert display.ax_.get_ylim()[0] < -9


@pytest.mark.parametrize("masses", [[], [0.0], [0.5, 1.0]])
def test_masses_are_between_0_and_1(mixture, masses):
    with pytest.raises(ValueError, match="must be numbers above 0 and below 1"):
        DensityDisplay.from_estimator(mixture, masses=masses)
