"""Fits of rows with missing values or measurement errors: their laws, and their errors."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from common import ArraySource
from scipy.stats import multivariate_normal

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix._src.fit.checkpoint import fit_identity

STRUCTURES = ["full", "tied", "diag", "spherical", "VEI", "EVE", "VVE", "VEV", "factor_analyzer"]


@pytest.fixture
def rows(rng):
    label = rng.integers(2, size=300)
    mixing = rng.normal(size=(2, 3, 3)) + 2 * np.eye(3)
    return np.einsum("nij,nj->ni", mixing[label], rng.normal(size=(300, 3))) + 6.0 * label[:, None]


@pytest.fixture
def holed(rows, rng):
    return np.where(rng.random(rows.shape) < 0.2, np.nan, rows)


def fitted(X, n_components=2, *, X_error=None, sample_weight=None, **parameters):
    mixture = GaussianMixture(n_components, **{"random_state": 0, "tol": 1e-6, "max_iter": 200} | parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.fit(X, sample_weight=sample_weight, X_error=X_error)


def assert_same(one, other, rtol=1e-7):
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_each_step_raises_the_likelihood_of_what_is_observed(structure, holed, rng):
    errors = rng.uniform(0.1, 1.0, size=holed.shape)
    for X_error in None, errors:
        found = fitted(holed, covariance_type=structure, reg_covar=0.0, tol=0.0, max_iter=30, X_error=X_error)
        assert np.diff(found.lower_bounds_).min() > -1e-9
        assert found.score(holed, X_error=X_error) >= found.lower_bound_ - 1e-9


def test_a_mixture_of_one_component_is_found_in_closed_form(rng):
    """Compare with regression, the solution if the second of two columns has gaps; Little & Rubin (2002) 7.2."""
    first = rng.normal(size=200)
    second = 2.0 * first + rng.normal(size=200)
    second[first > 0.3] = np.nan
    seen = ~np.isnan(second)
    found = fitted(np.c_[first, second], 1, tol=1e-14, max_iter=5000, reg_covar=0.0)
    slope, intercept = np.polyfit(first[seen], second[seen], 1)
    residual = np.mean((second[seen] - intercept - slope * first[seen]) ** 2)
    mean, variance = first.mean(), first.var()
    np.testing.assert_allclose(found.means_[0], [mean, intercept + slope * mean], atol=1e-6)
    expected = [[variance, slope * variance], [slope * variance, residual + slope**2 * variance]]
    np.testing.assert_allclose(found.covariances_[0], expected, rtol=1e-5)


def test_one_common_error_is_taken_off_the_covariance(rng):
    rows = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + 1.0
    error = np.diag([0.1, 0.2, 0.3]) @ np.cov(rows.T)
    error = 0.2 * (error + error.T)
    found = fitted(rows, 1, X_error=error, tol=1e-14, max_iter=5000, reg_covar=0.0)
    np.testing.assert_allclose(found.means_[0], rows.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(found.covariances_[0], np.cov(rows.T, bias=True) - error, rtol=1e-5, atol=1e-7)


def test_what_is_missing_has_an_infinite_error(rows, holed):
    errors = np.where(np.isnan(holed), np.inf, 0.5)
    assert_same(fitted(rows, X_error=errors), fitted(holed, X_error=np.full(3, 0.5)), rtol=0)


def test_an_error_of_zero_is_no_error(rows, holed):
    assert fitted(holed, X_error=0.0).mixture_ == fitted(holed).mixture_
    assert fitted(rows, X_error=np.zeros((3, 3))).mixture_ == fitted(rows).mixture_
    for some in rows, holed:
        assert_same(fitted(some, X_error=1e-8, init_params="kmeans"), fitted(some, init_params="kmeans"))


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_all_forms_of_errors_say_the_same(structure, holed):
    deviations = np.array([0.2, 0.5, 1.0])
    square = np.diag(deviations**2)
    forms = [deviations, np.tile(deviations, (300, 1)), square, np.tile(square, (300, 1, 1))]
    first, *others = (fitted(holed, X_error=form, covariance_type=structure) for form in forms)
    for other in others:
        assert_same(first, other)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data", "hierarchical", "search"])
def test_order_and_multiplicity_of_rows_change_nothing(init, holed, rng):
    times = rng.integers(1, 4, size=300)
    repeated = np.repeat(holed, times, axis=0)
    one = fitted(holed, init_params=init, sample_weight=times.astype(float))
    other = fitted(repeated[rng.permutation(len(repeated))], init_params=init)
    order = one.means_[:, 0].argsort(), other.means_[:, 0].argsort()
    np.testing.assert_allclose(one.means_[order[0]], other.means_[order[1]], rtol=1e-6)


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_row_with_holes_is_judged_by_what_it_has(structure, rows):
    mixture = fitted(rows, covariance_type=structure)
    part = mixture.mixture_.marginal([0, 2])
    X = np.array(rows[:20])
    X[:, 1] = np.nan
    np.testing.assert_allclose(mixture.score_samples(X), part.log_density(X[:, [0, 2]]), rtol=1e-9)
    np.testing.assert_allclose(mixture.predict_proba(X), part.responsibilities(X[:, [0, 2]]), atol=1e-9)
    np.testing.assert_array_equal(mixture.predict(X), part.predict(X[:, [0, 2]]))
    nothing = np.full((1, 3), np.nan)
    np.testing.assert_allclose(mixture.predict_proba(nothing)[0], mixture.weights_, rtol=1e-12)
    assert mixture.score_samples(nothing) == 0


def test_weights_that_sum_to_1_with_a_rounding_error_give_an_empty_row_the_density_1(rng):
    X = rng.normal(size=(60, 2))
    X[::5, 0] = np.nan
    fits = [fitted(X, n_components=5, random_state=seed) for seed in range(6)]
    assert any(fit.weights_.sum() != 1 for fit in fits)
    assert [fit.score_samples([[np.nan, np.nan]])[0] for fit in fits] == [0] * 6


def test_errors_widen_the_density(rows):
    mixture, error = fitted(rows), np.diag([0.5, 1.0, 2.0])
    wide = [multivariate_normal(m, s + error) for m, s in zip(mixture.means_, mixture.covariances_, strict=True)]
    expected = np.log(sum(w * each.pdf(rows) for w, each in zip(mixture.weights_, wide, strict=True)))
    np.testing.assert_allclose(mixture.score_samples(rows, X_error=error), expected, rtol=1e-10)


def test_denoised_rows_are_those_of_the_joint_normal_distribution(rows):
    """Compare with the normal distribution of (truth, measurement), whose covariance is [[Σ, Σ], [Σ, Σ + S]]."""
    mixture, error = fitted(rows, 1), np.diag([0.5, 1.0, 2.0])
    means, covariances = mixture.denoise(rows, error)
    mean, covariance = mixture.means_[0], mixture.covariances_[0]
    gain = covariance @ np.linalg.inv(covariance + error)
    np.testing.assert_allclose(means, mean + (rows - mean) @ gain.T, rtol=1e-9)
    np.testing.assert_allclose(covariances[7], covariance - gain @ covariance, rtol=1e-9)
    exact, nothing = mixture.denoise(rows)
    np.testing.assert_array_equal(exact, rows)
    assert not nothing.any()


def test_a_file_with_holes_is_fitted_as_the_array(tmp_path, holed):
    np.save(tmp_path / "rows.npy", holed)
    assert_same(fitted(gaussmix.open(tmp_path / "rows.npy", missing=True)), fitted(holed), rtol=0)
    refusing = GaussianMixture(2, missing="error")
    with pytest.raises(ValueError, match="does not support missing values"):
        refusing.fit(gaussmix.open(tmp_path / "rows.npy", missing=True))


ROWS = np.arange(60.0).reshape(20, 3) ** 1.5 % 7
SKEW = np.tile(np.eye(3), (20, 1, 1))
SKEW[4, 0, 1] = 0.5
INDEFINITE = np.tile(np.eye(3), (20, 1, 1))
INDEFINITE[3, 2, 2] = -1.0
LOST_PAIR = np.tile(np.eye(3), (20, 1, 1))
LOST_PAIR[5, 0, 1] = LOST_PAIR[5, 1, 0] = np.inf
APART = np.where(np.arange(20)[:, None] % 2 == [0, 1, 0], np.nan, ROWS)
BESIDE = np.array(ROWS)
BESIDE[1] = [np.nan, np.inf, 1.0]
BAD = {
    "infinite beside missing": (BESIDE, None, "infinity: row 1, column 1"),
    "an empty column": (np.where([0, 1, 0], np.nan, ROWS), None, "no value at all in column 1"),
    "columns apart": (APART, None, "both in column 0 .* and column 1"),
    "a wrong shape": (ROWS, np.ones((4, 5)), r"X_error has shape \(4, 5\). Pass standard deviations of shape \(3,"),
    "a negative one": (ROWS, np.where(ROWS[2, 2] == ROWS, -1.0, 1.0), "X_error of row 2 is negative"),
    "NaN": (ROWS, np.where(ROWS[2, 2] == ROWS, np.nan, 1.0), "X_error of row 2 contains NaN where X is observed"),
    "no symmetry": (ROWS, SKEW, "X_error of row 4 is not symmetric"),
    "indefinite": (ROWS, INDEFINITE, "X_error of row 3 is not positive semidefinite"),
    "an infinite covariance": (ROWS, LOST_PAIR, "X_error of row 5 is infinite between two finite variances"),
    "text": (ROWS, "wide", "X_error must be an array of numbers"),
    "a masked one": (ROWS, np.ma.masked_array(np.ones((20, 3)), ROWS[2, 2] == ROWS), "row 2 contains NaN where X is"),
    "a square that overflows": (ROWS, 1e155, r"X has no value at all in column 0 .* above 1.3e154 counts as infinite"),
}


@pytest.mark.parametrize("library", [pa.table, pa.record_batch, pd.DataFrame])
def test_errors_may_be_a_frame_with_the_columns_of_the_rows(library):
    rows, errors = (library({name: each[:, place] for place, name in enumerate("abc")}) for each in (ROWS, ROWS**2))
    assert_same(fitted(rows, 1, X_error=errors), fitted(ROWS, 1, X_error=ROWS**2), rtol=0)
    with pytest.raises(ValueError, match=r"columns of X_error are 'a', 'b', 'c', but X has 'a', 'b', 'd'\."):
        fitted(library(dict.fromkeys("abd", ROWS[:, 0])), 1, X_error=errors)


@pytest.mark.parametrize("case", BAD)
def test_rows_and_errors_that_cannot_be_fitted_are_refused(case):
    X, X_error, sentence = BAD[case]
    mixture = GaussianMixture(2, random_state=0).fit(ROWS)
    before = dict(vars(mixture))
    with pytest.raises(ValueError, match=sentence):
        mixture.fit(X, X_error=X_error)
    assert vars(mixture) == before


def test_diagonal_structures_need_no_rows_in_common():
    found = fitted(APART, 2, covariance_type="diag")
    assert np.isfinite(found.means_).all()


def test_unknown_words_and_sources_are_refused(tmp_path):
    with pytest.raises(ValueError, match="missing='drop'"):
        GaussianMixture(2, missing="drop").fit(ROWS)
    np.save(tmp_path / "rows.npy", ROWS)
    with pytest.raises(ValueError, match="With X_error, X must be an array or a data frame"):
        GaussianMixture(2).fit(gaussmix.open(tmp_path / "rows.npy"), X_error=1.0)


def test_an_error_whose_square_overflows_is_infinite(rows):
    error = np.ones(rows.shape)
    error[3, 1] = 1e200
    infinite = np.where(error > 1, np.inf, 1.0)
    assert fitted(rows, X_error=error).lower_bound_ == fitted(rows, X_error=infinite).lower_bound_


@pytest.mark.parametrize("X_error", [None, 1e-9])
def test_criteria_are_those_of_complete_rows_where_hardly_anything_is_unknown(X_error, rows):
    """Check criteria including ICL, whose likelihood assigns each row to one component."""
    options = {"covariance_type": "full", "random_state": 0}
    whole = GaussianMixtureIC([1, 2, 3], **options).fit(rows).results_
    X = np.array(rows) if X_error else np.r_[rows, np.full((1, 3), np.nan)]
    found = GaussianMixtureIC([1, 2, 3], **options).fit(X, X_error=X_error).results_
    for name in ("bic", "icl", "log_likelihood"):
        np.testing.assert_allclose(found[name][:2], whole[name][:2], rtol=0.01)


def test_criteria_know_errors(rows):
    search = GaussianMixtureIC([1, 2], covariance_type="full", random_state=0).fit(rows, X_error=0.5)
    best = search.results_["bic"][search.best_index_]
    assert search.bic(rows, X_error=0.5) == pytest.approx(best, rel=1e-9)
    assert search.bic(rows) > best + 1


def test_errors_of_a_frame_have_its_columns(rows):
    frame, errors = (pd.DataFrame(values, columns=["a", "b", "c"]) for values in (rows, np.full(rows.shape, 0.1)))
    with pytest.raises(ValueError, match="The columns of X_error are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, X_error=errors[["c", "b", "a"]])
    means = frame.iloc[[0, 1]]
    fitted(frame, means_init=means)
    fitted(frame, means_init=pd.DataFrame(means.to_numpy()))  # values without column names
    with pytest.raises(ValueError, match="means_init are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, means_init=means[["c", "b", "a"]])


def test_a_checkpoint_is_of_its_errors(rows):
    said = []
    for deviation in (0.1, 0.9):
        source = ArraySource(rows, error=np.broadcast_to(np.full(3, deviation**2), rows.shape))
        said.append(fit_identity(GaussianMixture(), source))
    assert {what for what in said[0] if said[0][what] != said[1][what]} == {"the content of X_error"}


@pytest.mark.parametrize("every", [1, 3, 10, 40])  # one in `every` rows has a value
def test_a_constant_column_with_holes_is_named(every, holed):
    X = np.array(holed)
    X[:, 1] = np.where(np.isnan(X[:, 1]) | (np.arange(len(X)) % every > 0), np.nan, 7.0)
    with pytest.warns(RuntimeWarning, match=r"Column 1 .* is constant"):
        GaussianMixture(2, random_state=0, max_iter=500).fit(X)


def test_rows_may_be_noise_so_denoise_has_no_answer(rows):
    with pytest.raises(ValueError, match="denoise does not support noise"):
        fitted(rows, noise=True).denoise(rows, 0.1)


EMPTY = np.r_[ROWS, np.full((50, ROWS.shape[1]), np.nan)]


@pytest.mark.parametrize("weight", [None, 3.0])
def test_rows_without_any_value_do_not_count_in_criteria(weight):
    gm = GaussianMixture(2, random_state=0).fit(ROWS)
    of_rows, of_all = (None if weight is None else np.full(len(rows), weight) for rows in (ROWS, EMPTY))
    assert gm.bic(EMPTY, of_all) == pytest.approx(gm.bic(ROWS, of_rows), rel=1e-12)
    assert gm.aic(EMPTY, of_all) == pytest.approx(gm.aic(ROWS, of_rows), rel=1e-12)
    told = gm.summary(EMPTY, of_all).statistics["bic"]
    assert told == pytest.approx(gm.bic(EMPTY, of_all), rel=1e-12)


def test_rows_without_any_value_do_not_count_where_weights_are_shares_or_precisions():
    shares = np.full(len(EMPTY), 1e-3 / len(EMPTY))
    gm = GaussianMixture(2, random_state=0).fit(ROWS)
    with pytest.warns(RuntimeWarning, match=f"scaled to sum to {len(ROWS)}"):
        found = gm.bic(EMPTY, shares)
    assert found == pytest.approx(gm.bic(ROWS), rel=1e-9)
    gm.weight_type = "precision"
    assert gm.bic(EMPTY, 7e3 * shares) == pytest.approx(gm.bic(ROWS), rel=1e-9)


def test_a_search_counts_rows_that_have_a_value():
    gm = GaussianMixtureIC([1, 2], covariance_type="full", random_state=0).fit(EMPTY)
    n_rows = len(ROWS)
    for place in range(2):
        size, log_likelihood = (gm.results_[name][place] for name in ("n_parameters", "log_likelihood"))
        assert gm.results_["bic"][place] == pytest.approx(-2 * log_likelihood + size * np.log(n_rows), rel=1e-12)
    summary = GaussianMixture(1, tol=1e-10, max_iter=1000).fit(EMPTY).summary().statistics
    full = GaussianMixture(1, tol=1e-10, max_iter=1000).fit(ROWS).summary().statistics
    assert summary["log_likelihood"] == pytest.approx(full["log_likelihood"], rel=1e-6)
    assert summary["bic"] == pytest.approx(full["bic"], rel=1e-6)


def masked(holed):
    return np.ma.masked_array(np.nan_to_num(holed, nan=1e6), np.isnan(holed))


def test_masked_cells_are_missing(holed, rng):
    assert_same(fitted(masked(holed)), fitted(holed), rtol=0)
    whole = np.ma.masked_array(rng.integers(9, size=(60, 3)), rng.random((60, 3)) < 0.1)
    found = fitted(whole)
    assert_same(found, fitted(whole.astype(float).filled(np.nan)), rtol=0)
    np.testing.assert_array_equal(found.predict(whole), found.predict(whole.astype(float).filled(np.nan)))
    large = np.ma.masked_array(2**60 + np.arange(60).reshape(20, 3), np.eye(20, 3, dtype=bool))
    with pytest.raises(ValueError, match="a double can't distinguish such integers"):
        fitted(large)


def test_masked_rows_of_groups_are_holes(holed):
    offsets = [0, len(holed) // 2, len(holed)]
    options = {"missing": "allow", "random_state": 0}
    found = gaussmix.fit_many(masked(holed), 1, offsets=offsets, **options)
    expected = gaussmix.fit_many(holed, 1, offsets=offsets, **options)
    np.testing.assert_array_equal(found.means, expected.means)
    weights = [np.ma.masked_array(np.ones(30), np.arange(30) == 3), np.ones(30)]
    with pytest.warns(RuntimeWarning, match="Group 0: .* A weight can't be missing"):
        gaussmix.fit_many([holed[:30], holed[30:60]], 1, sample_weight=weights, **options)


@pytest.mark.parametrize("make", [np.ma.masked_invalid, lambda error: pd.DataFrame(error).convert_dtypes()])
def test_an_error_may_be_masked_or_null_where_the_cell_is_missing(make, holed):
    error = np.where(np.isnan(holed), np.nan, 0.5)
    assert_same(fitted(holed, X_error=make(error)), fitted(holed, X_error=error), rtol=0)


def test_a_single_row_of_weight_is_not_blamed_on_a_column(holed):
    weight = (np.arange(len(holed)) == np.flatnonzero(np.isnan(holed[:, 1]))[0]).astype(float)
    with pytest.raises(ValueError, match=r"no value in column . .* among the 1 row with a positive sample_weight"):
        fitted(holed, sample_weight=weight)


def test_summaries_of_rows_take_measurement_errors_into_account(rows, rng):
    error = rng.uniform(0.5, 2.0, size=rows.shape)
    noisy = pd.DataFrame(rows + error * rng.normal(size=rows.shape), columns=["a", "b", "c"])
    found = fitted(noisy, X_error=error)
    facts = found.summary(noisy, X_error=error).statistics
    assert facts["log_likelihood"] == pytest.approx(found.score_samples(noisy, X_error=error).sum(), rel=1e-12)
    assert facts["bic"] == pytest.approx(found.bic(noisy, X_error=error), rel=1e-12)
    assert found.glance(noisy, X_error=error)["bic"][0] == facts["bic"]
    assert found.summary(noisy, X_error=error).warnings == []
    assert "treat X as exact. Pass X_error, too" in str(found.summary(noisy))
    with pytest.warns(RuntimeWarning, match=r"treat X as exact\. Pass X_error, too"):
        found.glance(noisy)
    shares = found.predict_proba(noisy, X_error=error)
    np.testing.assert_allclose(found.summary(noisy, X_error=error).components["size"], shares.sum(axis=0), rtol=1e-12)
    table = found.augment(noisy, X_error=error)
    np.testing.assert_array_equal(table["component"], found.predict(noisy, X_error=error))
    np.testing.assert_array_equal(table["log_density"], found.score_samples(noisy, X_error=error))
    merging = found.merge(noisy, X_error=error)
    entropy = -(shares * np.log(shares)).sum()
    assert merging.entropy[-1] == pytest.approx(entropy, rel=1e-9)


@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("kind", ["variances", "covariances"])
def test_an_explanation_of_rows_with_errors_adds_up(structure, kind, holed, rng):
    error = rng.uniform(0.2, 2.0, size=holed.shape)
    if kind == "covariances":
        roots = rng.normal(size=(len(holed), 3, 3))
        error = roots @ roots.swapaxes(1, 2)
    found = fitted(holed, X_error=error, covariance_type=structure)
    why = found.explain(holed, X_error=error)
    shares = found.predict_proba(holed, X_error=error)
    np.testing.assert_array_equal(why.component, found.predict(holed, X_error=error))
    expected = np.log(shares.max(axis=1)) - np.log(shares.min(axis=1))
    np.testing.assert_allclose(why.log_ratio, expected, rtol=1e-9, atol=1e-9)
    parts = why.log_weight_ratio + why.log_density_ratio + np.nansum(why.feature_log_ratio, axis=1)
    np.testing.assert_allclose(parts, why.log_ratio, rtol=1e-9, atol=1e-9)
    without = found.explain(holed)
    no_error = found.explain(holed, X_error=np.zeros(3))
    np.testing.assert_allclose(no_error.contributions, without.contributions, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(no_error.standard_deviations, without.standard_deviations, rtol=1e-12)


def test_a_row_without_any_value_goes_by_the_weights(rng):
    found = GaussianMixture(3, random_state=0).fit(rng.normal(size=(90, 2)) ** 2)
    nothing = np.full((2, 2), np.nan)
    np.testing.assert_allclose(found.predict_proba(nothing), [found.weights_] * 2, rtol=1e-12)
    assert found.predict(nothing).tolist() == [found.weights_.argmax()] * 2
