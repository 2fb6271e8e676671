"""`GaussianMixtureRegressor`: predictions with y and with columns of X, and invalid input."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import raises_and_keeps
from scipy.special import ndtri
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureRegressor, Mixture
from gaussmix._src.mixture.predictive import row_quantiles


def test_regressor_of_one_component_is_linear_regression(rng):
    X = rng.normal(size=(100, 3))
    Y = X @ rng.normal(size=(3, 2)) + 0.3 * rng.normal(size=(100, 2))
    theirs = LinearRegression().fit(X, Y)
    ours = GaussianMixtureRegressor(reg_covar=0).fit(X, Y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-11)
    _, std = ours.predict(X, return_std=True)
    residual = Y - theirs.predict(X)
    np.testing.assert_allclose(std, np.tile(np.sqrt((residual**2).mean(axis=0)), (100, 1)), rtol=1e-9)


def test_regressor_predicts_the_conditional_of_the_joint_mixture(v_shaped):
    X, y = v_shaped
    regressor = GaussianMixtureRegressor(3, random_state=0).fit(X, y)
    joint = GaussianMixture(3, random_state=0).fit(np.column_stack([X, y])).mixture_
    np.testing.assert_array_equal(regressor.mixture_.means, joint.means)
    mean, std = regressor.predict(X, return_std=True)
    predictive = regressor.predict_mixture(X)
    assert len(predictive) == len(X)
    for row in (0, 7, 100):
        conditional = joint.condition({0: X[row, 0]})
        expected = conditional.weights @ conditional.means[:, 0]
        assert mean[row] == pytest.approx(expected, rel=1e-12)
        second = conditional.weights @ (conditional.covariances[:, 0, 0] + (conditional.means[:, 0] - expected) ** 2)
        assert std[row] == pytest.approx(np.sqrt(second), rel=1e-10)
        assert isinstance(predictive[row], Mixture)
        at = np.array([[0.0], [1.0], [2.5]])
        np.testing.assert_allclose(predictive[row].log_density(at), conditional.log_density(at), rtol=1e-10)
        quantiles = regressor.predict_quantiles(X[row : row + 1], [0.01, 0.3, 0.5, 0.9])[0]
        np.testing.assert_allclose(quantiles, conditional.quantile([0.01, 0.3, 0.5, 0.9]), rtol=1e-11)


def test_columns_of_y_must_be_in_the_order_of_the_targets(rng):
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    X, Y = frame[["a"]], frame[["b", "c"]]
    regressor = GaussianMixtureRegressor().fit(X, Y)
    predictive = regressor.predict_mixture(X)
    assert regressor.score(X, Y) == regressor.score(X, Y.to_numpy())
    np.testing.assert_array_equal(predictive.log_density(Y), predictive.log_density(Y.to_numpy()))
    for call in (lambda y: regressor.score(X, y), predictive.log_density):
        with pytest.raises(ValueError, match=r"y has 'c' in column 0, but the columns must be \['b', 'c'\]"):
            call(Y[["c", "b"]])
    single = GaussianMixtureRegressor().fit(X, frame["b"])
    values = pd.Series(frame["b"].to_numpy(), [f"row {row}" for row in range(59)] + ["b"])  # labels of rows
    assert single.score(X, values) == single.score(X, frame["b"])
    assert (single.predict_mixture(X).log_density(values) == single.predict_mixture(X).log_density(frame["b"])).all()


def test_predictive_log_density_is_joint_minus_marginal_log_density(rng):
    X = rng.normal(size=(60, 2))
    Y = np.column_stack([X[:, 0] ** 2, X[:, 1]]) + 0.1 * rng.normal(size=(60, 2))
    for structure in ("full", "tied", "diag", "spherical"):
        regressor = GaussianMixtureRegressor(3, covariance_type=structure, random_state=0, max_iter=500).fit(X, Y)
        predictive = regressor.predict_mixture(X)
        each = [predictive[row].log_density(Y[row : row + 1])[0] for row in range(60)]
        np.testing.assert_allclose(predictive.log_density(Y), each, rtol=1e-9)
        joint, known = regressor.mixture_.log_density(np.c_[X, Y]), regressor.mixture_.marginal([0, 1]).log_density(X)
        np.testing.assert_allclose(predictive.log_density(Y), joint - known, rtol=1e-8, atol=1e-8)
        for far in ([1e200, 0.0], [1e308, 1e308], [-1e308, 1e308]):
            np.testing.assert_array_equal(predictive.log_density([far] * 60), predictive[0].log_density([far])[0])
    with pytest.raises(ValueError, match=r"y has shape \(60,\), but there are 60 rows with 2 targets"):
        predictive.log_density(Y[:, 0])
    with pytest.raises(ValueError, match=r"y has shape \(5, 2\), but there are 60 rows with 2 targets"):
        predictive.log_density(Y[:5])


def test_predictive_log_density_includes_components_whose_weight_underflows(rng):
    regime = np.repeat([0.0, 60.0], 50)
    X, y = regime + rng.normal(size=100), regime / 6 + rng.normal(size=100)
    regressor = GaussianMixtureRegressor(2, covariance_type="diag", random_state=0).fit(X[:, None], y)
    predictive, joint = regressor.predict_mixture(X[:, None]), regressor.mixture_
    assert (predictive.weights.min(axis=1) == 0).all()
    swapped = 10.0 - y  # y in the regime that x is not in
    expected = joint.log_density(np.c_[X, swapped]) - joint.marginal([0]).log_density(X[:, None])
    np.testing.assert_allclose(predictive.log_density(swapped), expected, rtol=1e-9)
    distant = regressor.predict_mixture([[-1e200]])  # log γ(x) is the lowest float64
    assert distant.log_density([1e200])[0] == distant[0].log_density([[1e200]])[0]


def test_predictive_weights_of_far_rows_sum_to_1(rng):
    X, y = rng.normal(size=(100, 1)), np.repeat([-3.0, 3.0], 50) + 0.1 * rng.normal(size=100)
    regressor, far = GaussianMixtureRegressor(2, covariance_type="tied").fit(X, y), np.linspace(-90, 90, 50)[:, None]
    weights = regressor.predict_mixture(far).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=4e-15)
    np.testing.assert_allclose(weights, regressor.mixture_.conditional_weights(far, [0]), rtol=1e-11)


def test_predictions_have_the_shape_of_y(v_shaped):
    X, y = v_shaped
    one_target = GaussianMixtureRegressor(2, random_state=0).fit(X, y)
    one_column = GaussianMixtureRegressor(2, random_state=0).fit(X, y[:, None])
    two_targets = GaussianMixtureRegressor(2, random_state=0).fit(X, np.column_stack([y, -y + np.sin(9 * y)]))
    assert one_target.predict(X[:5]).shape == (5,)
    assert one_column.predict(X[:5]).shape == (5, 1)
    assert two_targets.predict(X[:5]).shape == two_targets.predict(X[:5], return_std=True)[1].shape == (5, 2)
    assert one_target.predict_quantiles(X[:5]).shape == (5, 3)
    assert one_column.predict_quantiles(X[:5], [0.5]).shape == (5, 1, 1)
    assert two_targets.predict_quantiles(X[:5]).shape == (5, 2, 3)
    np.testing.assert_array_equal(one_target.predict(X), one_column.predict(X)[:, 0])


@pytest.mark.parametrize("structure", sorted(FAMILIES))
def test_regressor_supports_every_structure(structure, rng):
    X = rng.normal(size=(120, 3))
    y = np.where(X[:, 0] > 0, X[:, 1], 3.0) + 0.1 * rng.normal(size=120)
    regressor = GaussianMixtureRegressor(3, covariance_type=structure, random_state=0, max_iter=500).fit(X, y)
    mean, std = regressor.predict(X, return_std=True)
    quantiles = regressor.predict_quantiles(X, [0.001, 0.5, 0.999])
    assert (np.diff(quantiles, axis=1) > 0).all()
    assert (std > 0).all()
    predictive = regressor.predict_mixture(X)
    masses = predictive.weights[:, None, :] * norm.cdf(
        (quantiles[:, :, None] - predictive.means[:, None, :, 0])
        / np.sqrt(predictive[0]._model.covariances.variances()[:, 0])
    )
    np.testing.assert_allclose(masses.sum(axis=2), np.tile([0.001, 0.5, 0.999], (120, 1)), rtol=1e-10)
    np.testing.assert_allclose(
        mean, (predictive.weights * predictive.means[:, :, 0]).sum(axis=1), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("p", [1e-300, 1e-3, 0.3, 0.5, 1 - 1e-12])
def test_row_quantiles_equal_the_quantiles_of_each_row(p, rng):
    weights, deviations = rng.dirichlet([0.3] * 4, size=50), np.array([1e-3, 0.5, 1.0, 30.0])
    weights[::7, 1:] = 0.0
    weights[::7, 0] = 1.0
    weights[1::7, 1] = 1e-320  # its reciprocal is infinite
    weights /= weights.sum(axis=1, keepdims=True)
    means = 5 * rng.normal(size=(50, 4))
    actual = row_quantiles(weights, means, deviations, p)
    for row in range(50):
        mixture = Mixture(weights[row], means[row][:, None], deviations**2, FAMILIES["spherical"])
        assert actual[row] == pytest.approx(mixture.quantile(p), rel=1e-9, abs=1e-9)


def test_row_quantiles_are_exact_for_components_of_tiny_weight():
    weights, means = np.array([[1.0, 5e-324], [1e-310, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(row_quantiles(weights, means, np.ones(2), 0.1), ndtri(0.1), rtol=1e-12)


def test_row_quantiles_near_the_largest_double_are_numbers():
    assert row_quantiles(np.ones((1, 1)), np.array([[-1.7e308]]), np.ones(1), 0.9).tolist() == [-1.7e308]


@pytest.mark.parametrize("method", ["predict", "predict_mixture", "predict_quantiles"])
def test_predictions_that_overflow_float64_report_the_row(method, rng):
    X = rng.normal(size=(100, 1))
    regressor = GaussianMixtureRegressor().fit(X, 3 * X[:, 0])
    with pytest.raises(ValueError, match="Row 1 is so far from the means that the result is beyond the range"):
        getattr(regressor, method)([[0.0], [1e308]])


def test_predict_mixture_is_indexed_by_single_rows(v_shaped):
    predictive = GaussianMixtureRegressor(2, random_state=0).fit(*v_shaped).predict_mixture(v_shaped[0])
    np.testing.assert_array_equal(predictive[np.int64(3)].means, predictive[3].means)
    with pytest.raises(TypeError, match="'slice' object cannot be interpreted as an integer"):
        predictive[:2]


@pytest.fixture
def table(rng):
    """Return 300 rows of three dependent columns."""
    age = rng.normal(50, 12, size=300)
    bmi = 20 + 0.1 * age + rng.normal(size=300)
    return pd.DataFrame({"age": age, "bmi": bmi, "bp": 60 + 2 * bmi - 0.2 * age + rng.normal(size=300)})


@pytest.mark.parametrize("frame", [lambda table: table, pl.from_pandas], ids=["pandas", "polars"])
def test_targets_selects_columns_by_name(frame, table):
    data = frame(table)
    regressor = GaussianMixtureRegressor(2, targets="bmi", random_state=0).fit(data)
    with_y = GaussianMixtureRegressor(2, random_state=0).fit(frame(table[["age", "bp"]]), frame(table[["bmi"]])["bmi"])
    assert list(regressor.feature_names_in_) == list(with_y.feature_names_in_) == ["age", "bp"]
    assert regressor.n_features_in_ == 2
    assert regressor.mixture_.feature_names == ("age", "bmi", "bp")
    assert with_y.mixture_.feature_names == ("age", "bp", "bmi")
    expected = with_y.predict(frame(table[["age", "bp"]]))
    assert expected.shape == (300,)
    with_targets, without = regressor.predict(data), regressor.predict(frame(table[["age", "bp"]]))
    np.testing.assert_array_equal(with_targets, without)
    np.testing.assert_allclose(without, expected, rtol=0.02)
    assert regressor.score(data) == pytest.approx(regressor.score(frame(table[["age", "bp"]]), table["bmi"]), rel=1e-12)
    assert regressor.predict_mixture(data)[0].feature_names == ("bmi",)
    np.testing.assert_array_equal(regressor.predict(frame(table[["bmi", "age", "bp"]])), without)
    several = GaussianMixtureRegressor(2, targets=["bp", "age"], random_state=0).fit(data)
    expected = several.predict(frame(table[["bmi"]]))
    assert expected.shape == (300, 2)
    np.testing.assert_array_equal(several.predict(frame(table[["bp", "bmi"]])), expected)
    with pytest.raises(ValueError, match="unseen at fit time:\n- other"):
        regressor.predict(frame(table.rename(columns={"bmi": "other"})))


def test_targets_selects_columns_by_index(table):
    rows = table.to_numpy()
    regressor = GaussianMixtureRegressor(targets=[-1, 0], reg_covar=0).fit(rows)
    theirs = LinearRegression().fit(rows[:, [1]], rows[:, [2, 0]])
    np.testing.assert_allclose(regressor.predict(rows[:, [1]]), theirs.predict(rows[:, [1]]), rtol=1e-9)
    np.testing.assert_array_equal(regressor.predict(rows), regressor.predict(rows[:, [1]]))


def test_predictions_are_in_the_order_of_targets(table):
    table["pulse"] = np.sqrt(table["bp"]) - 0.1 * table["bmi"]
    first, second = (
        GaussianMixtureRegressor(2, targets=targets, random_state=0).fit(table)
        for targets in (["bp", "pulse", "age"], ["age", "bp", "pulse"])
    )
    order = [1, 2, 0]
    for some in table, table.mask(table > table.median()):  # complete rows, and rows with missing values
        np.testing.assert_array_equal(first.predict(some), second.predict(some)[:, order])
    np.testing.assert_array_equal(first.predict_quantiles(table), second.predict_quantiles(table)[:, order])
    deviations, expected = (each.predict(table, return_std=True)[1] for each in (first, second))
    np.testing.assert_array_equal(deviations, expected[:, order])
    assert first.predict_mixture(table)[0].feature_names == ("bp", "pulse", "age")


def test_a_target_that_equals_a_predictor_is_rejected_without_reg_covar(v_shaped):
    X, y = v_shaped
    both = np.column_stack([X, y])
    regressor = GaussianMixtureRegressor().fit(both, y)  # with a ridge of 1e-6 of the variance
    np.testing.assert_allclose(regressor.predict(both), y, atol=1e-5 * y.std())
    with pytest.raises(ValueError, match="The target in column 'y' equals column 'x1', so that their covariance is"):
        GaussianMixtureRegressor(reg_covar=0).fit(both, y)


def test_a_target_without_a_name_gets_a_name_that_no_predictor_has():
    for y, names in ((Y, ("y_",)), (ROWS[:, :2], ("y0_", "y1_"))):
        frame = FRAME.set_axis(["y", "y0", "depth"], axis=1)
        assert GaussianMixtureRegressor().fit(frame, y).mixture_.feature_names == (*frame.columns, *names)


@pytest.mark.parametrize("n_components", [1, [1, 2]])
@pytest.mark.parametrize("named", [False, True])
def test_errors_and_warnings_name_the_target(named, n_components):
    y = {name: pd.Series(values, name="price" if named else None) for name, values in SINGULAR.items()}
    regressor, name = GaussianMixtureRegressor(n_components, reg_covar=0), "price" if named else "y"
    with pytest.raises(ValueError, match=f"Column '{name}' is constant"):
        regressor.fit(ROWS, y["constant"])
    with pytest.raises(ValueError, match=f"Column '{name}' follows from columns 'x0', 'x2'. Leave out one of "):
        regressor.fit(ROWS, y["dependent"])
    with pytest.warns(RuntimeWarning, match=f"Column '{name}' is constant"):
        fitted = GaussianMixtureRegressor().fit(ROWS, y["constant"])
    assert fitted.mixture_.feature_names is None
    assert not hasattr(fitted, "feature_names_in_")


def test_bic_selects_the_number_of_components(v_shaped):
    regressor = GaussianMixtureRegressor([1, 2, 3], tol=1e-6, max_iter=500, init_params="hierarchical").fit(*v_shaped)
    assert regressor.n_components_ == regressor.mixture_.n_components == 2
    assert regressor.score(*v_shaped) > 0.9


ROWS = np.arange(60.0).reshape(20, 3) ** 1.5 % 7
Y = np.arange(20.0) ** 2 % 5
FRAME = pd.DataFrame(ROWS, columns=["height", "width", "depth"])
SINGULAR = {"constant": np.ones(20), "dependent": ROWS[:, 0] - ROWS[:, 2]}
BAD = {
    "neither": ({}, ROWS, None, ValueError, "requires y to be passed, but the target y is None"),
    "both": ({"targets": 0}, ROWS, Y, ValueError, "y and targets were both passed. Pass y, or set targets"),
    "an unknown name": ({"targets": "heigth"}, FRAME, None, ValueError, "Did you mean 'height'?"),
    "a name without names": ({"targets": "height"}, ROWS, None, ValueError, "'height' is a name, but"),
    "no such column": ({"targets": [0, 7]}, ROWS, None, ValueError, "There is no feature 7"),
    "twice": ({"targets": [1, "width"]}, FRAME, None, ValueError, "occurs twice"),
    "every column": ({"targets": [0, 1, 2]}, ROWS, None, ValueError, "targets contains every column of X"),
    "no column": ({"targets": []}, ROWS, None, ValueError, "targets contains no column of X"),
    "no name": ({"targets": 1.5}, ROWS, None, TypeError, "targets=1.5"),
    "NaN": ({}, ROWS, np.where(Y == 1, np.nan, Y), ValueError, "Input y contains NaN: row 1 (counted from 0). Remove"),
    "infinity": ({}, ROWS, np.where(Y == 1, np.inf, Y), ValueError, "Input y contains infinity or a value too large"),
    "text": ({}, ROWS, ["a"] * 20, ValueError, "y must be an array of numbers"),
    "the name of a column": ({}, ROWS, "b", ValueError, "y='b' is text. Pass the values of the column, and leave"),
    "a target in X": (
        {},
        FRAME,
        FRAME["width"],
        ValueError,
        "y and X both have a column 'width'. Leave the target out",
    ),
    "too short": ({}, ROWS, Y[:5], ValueError, "y has 5 rows, but X has 20"),
    "three dimensions": ({}, ROWS, Y.reshape(20, 1, 1), ValueError, "y must have shape (n_samples,)"),
    "no target": ({}, ROWS, np.empty((20, 0)), ValueError, "y must have shape (n_samples,)"),
    "constant": ({"reg_covar": 0}, ROWS, np.ones(20), ValueError, "ill-defined empirical covariance"),
    "too large": ({}, ROWS, Y * 1e200, ValueError, "(counted from 0). Its square overflows"),
    "too small": ({}, ROWS, np.c_[Y, Y * 1e-200], ValueError, "in column 'y1': the square of this range underflows"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_failed_fit_reports_the_reason_and_keeps_the_previous_regressor(case):
    parameters, X, y, error, message = BAD[case]
    regressor = GaussianMixtureRegressor().fit(ROWS, Y).set_params(**parameters)
    with raises_and_keeps(regressor, error, re.escape(message)):
        regressor.fit(X, y)


@pytest.mark.parametrize("p", [0.5, [-0.1, 0.5], [0.5, 2.0], [np.nan], ["a"], [[0.1, 0.2]]])
def test_invalid_probabilities_of_quantiles_are_rejected(p):
    regressor = GaussianMixtureRegressor().fit(ROWS, Y)
    with pytest.raises(ValueError, match=r"quantiles (contains|must be)"):
        regressor.predict_quantiles(ROWS, p)
    with pytest.raises(ValueError, match=r"p (contains|must be)"):
        regressor.predict_mixture(ROWS).quantiles(p)


def test_score_asks_for_the_targets_of_a_fit_with_y():
    with pytest.raises(ValueError, match=r"^score needs the targets y, because fit also received y\. Pass y\.$"):
        GaussianMixtureRegressor().fit(ROWS, Y).score(ROWS)


def test_score_rejects_masked_values_of_y():
    regressor = GaussianMixtureRegressor().fit(ROWS, Y)
    assert regressor.score(ROWS, np.ma.array(Y)) == regressor.score(ROWS, Y)
    with pytest.raises(ValueError, match="contains NaN"):
        regressor.score(ROWS, np.ma.array(Y, mask=np.arange(len(Y)) == 1))


def test_quantiles_at_0_and_1_are_infinite(v_shaped):
    regressor, p = GaussianMixtureRegressor(2, random_state=0).fit(*v_shaped), [0.0, 0.5, 1.0]
    predictive = regressor.predict_mixture(v_shaped[0][:3])
    each = [predictive[row].quantile(p) for row in range(3)]
    np.testing.assert_allclose(predictive.quantiles(p)[:, 0], each, rtol=1e-11)
    np.testing.assert_allclose(regressor.predict_quantiles(v_shaped[0][:3], p), each, rtol=1e-11)
