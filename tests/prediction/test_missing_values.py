"""Classifiers, regressors and detectors can be fitted to rows with missing values, and predict from such rows."""

from itertools import combinations

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureDetector, GaussianMixtureRegressor


@pytest.fixture
def rows(rng):
    return rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + 3.0 * rng.integers(2, size=(400, 1))


@pytest.fixture
def X_nan(rows, rng):
    X_nan = np.where(rng.random(rows.shape) < 0.25, np.nan, rows)
    X_nan[:2] = [[np.nan] * 3, rows[1]]
    return X_nan


@pytest.mark.parametrize("two_targets", [False, True])
def test_regressor_predicts_from_the_observed_values(two_targets, rows, X_nan, rng):
    y = rows @ np.array([[1.0, 0.0], [2.0, 1.0], [-1.0, 0.5]]) + rng.normal(size=(400, 2))
    y = y if two_targets else y[:, 0]
    regressor = GaussianMixtureRegressor(2, random_state=0).fit(rows, y)
    p = [0.1, 0.5, 0.9]
    (mean, deviation), quantiles = (regressor.predict(X_nan, return_std=True), regressor.predict_quantiles(X_nan, p))
    for i in range(12):
        seen = np.flatnonzero(~np.isnan(X_nan[i]))
        targets = np.arange(3, regressor.mixture_.n_features)
        part = regressor.mixture_.marginal([*seen, *targets])
        conditional = part.condition(dict(enumerate(X_nan[i, seen]))) if seen.size else part
        expected = conditional.mean if two_targets else conditional.mean[0]
        np.testing.assert_allclose(mean[i], expected, rtol=1e-9)
        spread = np.sqrt(np.diagonal(conditional.covariance))
        np.testing.assert_allclose(deviation[i], spread if two_targets else spread[0], rtol=1e-7)
        lines = [conditional.marginal([index]).quantile(p) for index in range(conditional.n_features)]
        np.testing.assert_allclose(quantiles[i], lines if two_targets else lines[0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"predict_mixture needs complete rows, .* use predict or predict_quantiles"):
        regressor.predict_mixture(X_nan)


def test_regressor_is_fitted_to_rows_with_missing_values(rows, X_nan):
    y = rows @ [1.0, 2.0, -1.0]
    regressor = GaussianMixtureRegressor(2, max_iter=500, random_state=0).fit(X_nan, y)
    joint = GaussianMixture(2, max_iter=500, random_state=0).fit(np.c_[X_nan, y])
    np.testing.assert_array_equal(regressor.mixture_.means, joint.mixture_.means)
    assert regressor.score(rows, y) > 0.99


@pytest.mark.heavy
def test_detector_caches_the_last_marginals(rng):
    rows, missing = rng.normal(size=(400, 6)), np.array(list(combinations(range(6), 3)))
    detector = GaussianMixtureDetector(2, random_state=0).fit(rows)
    X_nan, mixture = rows[: len(missing)].copy(), detector.mixture_
    np.put_along_axis(X_nan, missing, np.nan, axis=1)
    for row, p_value in zip(X_nan, detector.p_values(X_nan), strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        assert p_value == mixture.marginal(seen).density_p_value(row[None, seen])[0]
    ids = {seen: id(marginal) for seen, marginal in mixture._marginal_cache.items()}
    assert len(ids) == 16 < len(missing)
    again = np.array([row for row in X_nan if np.flatnonzero(~np.isnan(row)).tobytes() in ids])
    assert (detector.predict(again) == np.where(detector.p_values(again) < 0.05, -1, 1)).all()
    assert {seen: id(marginal) for seen, marginal in mixture._marginal_cache.items()} == ids
    used = next(iter(mixture._marginal_cache))
    detector.p_values(again[[np.flatnonzero(~np.isnan(row)).tobytes() == used for row in again]])
    detector.p_values(X_nan[[np.flatnonzero(~np.isnan(row)).tobytes() not in ids for row in X_nan]])
    assert used in mixture._marginal_cache
    detector.predict(X_nan)
    ids = list(map(id, mixture._marginal_cache.values()))
    detector.predict(X_nan)  # with cached thresholds, although there are more patterns than cached marginals
    assert list(map(id, mixture._marginal_cache.values())) == ids
    half = GaussianMixtureDetector(2, coverage=0.5, random_state=0).fit(rows)
    detector.offset_ = half.offset_
    np.testing.assert_array_equal(detector.decision_function(X_nan), half.decision_function(X_nan))


@pytest.mark.heavy
@pytest.mark.parametrize("offset", [None, -3.0, -8.0])
@pytest.mark.parametrize("parameters", [{"coverage": 0.9}, {"contamination": 0.1}], ids=str)
def test_detector_judges_rows_by_the_marginal_of_their_observed_values(parameters, offset, X_nan):
    detector = GaussianMixtureDetector(2, random_state=0, **parameters).fit(X_nan)
    if offset is not None:
        detector.offset_ = offset
    drawn = detector.mixture_.sample(200_000, rng=1)[0]
    mass = (detector.score_samples(drawn) > detector.offset_).mean()
    sides, p_values, excess = (
        detector.predict(X_nan),
        detector.p_values(X_nan[:20]),
        detector.decision_function(X_nan),
    )
    assert (sides[0], p_values[0], excess[0]) == (1, 1.0, pytest.approx(0.0, abs=1e-12))
    for i in np.flatnonzero(~np.isnan(X_nan).all(axis=1))[:12]:
        seen = np.flatnonzero(~np.isnan(X_nan[i]))
        part = detector.mixture_.marginal(seen)
        assert p_values[i] == pytest.approx(part.density_p_value(X_nan[i : i + 1, seen])[0], rel=1e-9)
        level = part.log_density(X_nan[i : i + 1, seen])[0] - excess[i]
        assert (part.log_density(drawn[:, seen]) > level).mean() == pytest.approx(mass, abs=5 * 200_000**-0.5)
    np.testing.assert_array_equal(sides, np.where(excess < 0, -1, 1))
    detector.set_params(coverage=0.5, contamination="auto")
    np.testing.assert_array_equal(detector.decision_function(X_nan), excess)
    if offset is None:
        assert np.mean(sides < 0) == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("offset", [-60.0, -600.0])  # the mass above rounds to 1
@pytest.mark.parametrize("n_components", [1, 2])
def test_detector_applies_an_extreme_offset_to_rows_with_missing_values(n_components, offset, rows):
    detector = GaussianMixtureDetector(n_components, random_state=0).fit(rows)
    detector.offset_ = offset
    nan, mixture = np.nan, detector.mixture_
    distant = mixture.mean + 100 * np.sqrt(mixture.covariance.diagonal())
    X_nan = np.array([[distant[0], nan, nan], [nan, distant[1], -distant[2]], [rows[0, 0], nan, nan]])
    excess = detector.decision_function(X_nan)
    assert np.sign(excess).tolist() == [-1, -1, 1]
    expected = mixture._log_mass_below(offset)
    for row, each in zip(X_nan, excess, strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        part = mixture.marginal(seen)
        level = part.log_density(row[None, seen])[0] - each
        assert part._log_mass_below(level) == pytest.approx(expected, rel=1e-2 if len(seen) > 1 else 1e-9)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("seed", range(4))  # weights whose sum rounds to 1 or below it
def test_detector_predicts_an_inlier_for_a_row_without_observed_values(seed, rows):
    detector, nothing = GaussianMixtureDetector(3, random_state=seed).fit(rows), np.full((1, 3), np.nan)
    actual = detector.predict(nothing)[0], detector.decision_function(nothing)[0], detector.p_values(nothing)[0]
    assert actual == (1, 0.0, 1.0)


def test_contamination_requires_complete_rows():
    X = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, np.nan], [np.nan, 5.0]])
    with pytest.raises(ValueError, match="contamination needs complete rows"):
        GaussianMixtureDetector(1, covariance_type="diag", contamination=0.1).fit(X)


def labelled(rows):
    return np.where(rows @ [1.0, -1.0, 0.5] > 0.5, "up", "down")


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("parameters", [{}, {"covariance_type": "tied"}, {"n_components": 2}], ids=str)
def test_classifier_predicts_from_the_observed_values(parameters, rows, X_nan):
    classifier = GaussianMixtureClassifier(random_state=0, reject_below=0.01, **parameters).fit(rows, labelled(rows))
    rows, X_nan = rows[:30], X_nan[:30]  # tail probabilities take long
    methods = "predict_proba", "density_p_value", "predict"
    proba, tails, labels = (getattr(classifier, method)(X_nan) for method in methods)
    mixtures = [classifier.class_mixture(label) for label in classifier.classes_]
    np.testing.assert_allclose(proba[0], classifier.class_prior_, rtol=1e-12)
    for i in np.flatnonzero(~np.isnan(X_nan).all(axis=1))[:8]:
        seen = np.flatnonzero(~np.isnan(X_nan[i]))
        parts = [mixture.marginal(seen) for mixture in mixtures]
        joint = classifier.class_prior_ * [np.exp(part.log_density(X_nan[i : i + 1, seen])[0]) for part in parts]
        np.testing.assert_allclose(proba[i], joint / joint.sum(), rtol=1e-9)
        expected = [part.density_p_value(X_nan[i : i + 1, seen])[0] for part in parts]
        np.testing.assert_allclose(tails[i], expected, rtol=1e-9)
        best = classifier.classes_[joint.argmax()] if max(expected) >= 0.01 else "unknown"
        assert labels[i] == best
    complete = ~np.isnan(X_nan).any(axis=1)
    np.testing.assert_array_equal(proba[complete], classifier.predict_proba(rows[complete]))


@pytest.mark.parametrize("family", ["full", "tied", "VEV", "diag"])
def test_classifier_is_fitted_to_rows_with_missing_values(family, rows, X_nan):
    y = labelled(rows)
    settings = {"covariance_type": family, "max_iter": 500, "tol": 1e-11, "reg_covar": 0.0}
    classifier = GaussianMixtureClassifier(**settings).fit(X_nan, y)
    labels = np.searchsorted(classifier.classes_, y)
    joint = GaussianMixture(2, random_state=0, **settings).fit(X_nan, labels=labels)
    np.testing.assert_allclose(classifier.mixture_.weights, joint.weights_, rtol=1e-9)
    np.testing.assert_allclose(classifier.mixture_.means, joint.means_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        classifier.mixture_._model.covariances.dense(), joint.mixture_._model.covariances.dense(), rtol=1e-4, atol=1e-6
    )
    if family == "full":  # With "full", classes have no common parameters.
        for label in classifier.classes_:
            alone = GaussianMixture(1, **settings).fit(X_nan[y == label])
            np.testing.assert_allclose(classifier.class_mixture(label).means, alone.means_, rtol=1e-5, atol=1e-6)
