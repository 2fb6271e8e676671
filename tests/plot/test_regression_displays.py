"""Displays of regression and calibration, against direct computations."""

import numpy as np
import pandas as pd
import pytest

from gaussmix import FAMILIES, GaussianMixtureRegressor, Mixture
from gaussmix.plot import CalibrationDisplay, ConditionalDisplay


@pytest.fixture
def data(rng):
    x = rng.uniform(0, 4, size=(300, 1))
    return x, np.sin(x[:, 0]) + rng.normal(0, 0.2, 300)


@pytest.fixture
def regressor(data):
    return GaussianMixtureRegressor(3, random_state=0).fit(*data)


def test_lines_are_what_the_regressor_predicts(regressor, data):
    display = ConditionalDisplay.from_estimator(regressor, *data, masses=[0.8])
    x = display.x[:, None]
    np.testing.assert_allclose(display.mean_.get_ydata(), regressor.predict(x), rtol=1e-9)
    low, median, high = regressor.predict_quantiles(x, [0.1, 0.5, 0.9]).T
    np.testing.assert_allclose(display.median_.get_ydata(), median, rtol=1e-9)
    (band,) = display.bands_
    corners = band.get_paths()[0].vertices
    np.testing.assert_allclose(corners[:, 1].max(), high.max(), rtol=1e-9)
    np.testing.assert_allclose(corners[:, 1].min(), low.min(), rtol=1e-9)
    np.testing.assert_array_equal(display.rows_[0].get_offsets(), np.column_stack(data))
    assert (display.x[0], display.x[-1]) == (data[0].min(), data[0].max())


def test_other_features_are_integrated_out():
    """p(x2 | x0) of three features, by the mixture's own marginal and condition."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 3, 3))
    covariances = roots @ roots.transpose(0, 2, 1) + np.eye(3)
    mixture = Mixture([0.4, 0.6], rng.normal(size=(2, 3)) * 3, covariances, FAMILIES["full"], ["a", "b", "c"])
    display = ConditionalDisplay.from_estimator(mixture, feature="a", target="c", masses=[0.9, 0.5])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("a", "c")
    for place in (0, 77, 200):
        given = mixture.marginal(["a", "c"]).condition({"a": display.x[place]})
        assert display.mean[place] == pytest.approx(given.mean[0])
        quantiles = given.quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        np.testing.assert_allclose(display.quantiles[place], quantiles, rtol=1e-8)
    with pytest.raises(ValueError, match="feature and target are both 'c'"):
        ConditionalDisplay.from_estimator(mixture, feature="c")
    with pytest.raises(ValueError, match=r"target.*'d' is not one of 'a', 'b', 'c'"):
        ConditionalDisplay.from_estimator(mixture, target="d")


def test_coverage_of_a_regressor_is_that_of_its_intervals(regressor, data):
    display = CalibrationDisplay.from_estimator(regressor, *data)
    promised, observed = display.line_.get_data()
    X, y = data
    for mass in (0.2, 0.5, 0.9):
        low, high = regressor.predict_quantiles(X, [0.5 - mass / 2, 0.5 + mass / 2]).T
        inside = ((y >= low) & (y <= high)).mean()
        assert observed[np.isclose(promised, mass)][0] == pytest.approx(inside, abs=1.5 / len(y))


def test_the_transform_is_the_mass_below(regressor, data):
    display = CalibrationDisplay.from_estimator(regressor, *data, kind="pit")
    quantiles = regressor.predict_quantiles(data[0], np.arange(1, 10) / 10)
    counts = np.bincount((data[1][:, None] >= quantiles).sum(axis=1), minlength=10)
    np.testing.assert_allclose([bar.get_height() for bar in display.line_], counts / len(data[1]) * 10)


@pytest.mark.parametrize("targets", [None, "y"])
def test_a_regressor_of_a_frame_is_judged_without_a_warning(targets, data):
    frame = pd.DataFrame({"x": data[0][:, 0], "y": data[1]})
    rows = (frame[["x"]], frame["y"]) if targets is None else (frame,)
    regressors = (GaussianMixtureRegressor(targets=targets), *rows), (GaussianMixtureRegressor(), *data)
    named, plain = (CalibrationDisplay.from_estimator(each.fit(*rows), *rows) for each, *rows in regressors)
    np.testing.assert_array_equal(named.values, plain.values)


@pytest.mark.parametrize("display", [CalibrationDisplay, ConditionalDisplay])
def test_columns_in_another_order_are_refused(display, rng):
    X = pd.DataFrame(rng.normal(size=(50, 2)), columns=["a", "b"])
    regressor = GaussianMixtureRegressor().fit(X, X["a"] + rng.normal(size=50))
    with pytest.raises(ValueError, match="X has 'b' in column 0, but the order of the features is"):
        display.from_estimator(regressor, X[["b", "a"]], X["a"])


def test_coverage_of_a_mixture_is_that_of_its_regions():
    mixture = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
    rows = mixture.sample(500, rng=0)[0]
    promised, observed = CalibrationDisplay.from_estimator(mixture, rows).line_.get_data()
    for mass in (0.2, 0.5, 0.9):
        inside = mixture.in_highest_density_region(rows, mass).mean()
        assert observed[np.isclose(promised, mass)][0] == pytest.approx(inside, abs=1.5 / 500)


def test_what_cannot_be_judged_is_one_sentence(regressor, data):
    with pytest.raises(ValueError, match='kind=\'both\' must be "coverage" or "pit"'):
        CalibrationDisplay.from_estimator(regressor, *data, kind="both")
    with pytest.raises(ValueError, match="X has 300 rows and y has 2"):
        CalibrationDisplay.from_estimator(regressor, data[0], data[1][:2])
    two = GaussianMixtureRegressor().fit(data[0], np.column_stack([data[1], data[1] ** 2]))
    with pytest.raises(ValueError, match="needs one target, and the regressor has several"):
        CalibrationDisplay.from_estimator(two, data[0], np.column_stack([data[1], data[1]]))
