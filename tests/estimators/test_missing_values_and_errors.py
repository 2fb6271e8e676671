"""Missing values and measurement errors: the laws of fits and predictions, and error messages."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from common import ArraySource, raises_and_keeps
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
def incomplete(rows, rng):
    """Return rows of which a fifth of the values is missing."""
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
def test_a_step_never_lowers_the_likelihood_of_the_observed_values(structure, incomplete, rng):
    errors = rng.uniform(0.1, 1.0, size=incomplete.shape)
    for X_error in None, errors:
        found = fitted(incomplete, covariance_type=structure, reg_covar=0.0, tol=0.0, max_iter=30, X_error=X_error)
        assert np.diff(found.lower_bounds_).min() > -1e-9
        assert found.score(incomplete, X_error=X_error) >= found.lower_bound_ - 1e-9


def test_one_component_with_missing_values_equals_the_closed_form(rng):
    """Compare with regression, the solution if the second of two columns has gaps; Little & Rubin (2002) 7.2."""
    first = rng.normal(size=200)
    second = 2.0 * first + rng.normal(size=200)
    second[first > 0.3] = np.nan
    is_observed = ~np.isnan(second)
    found = fitted(np.c_[first, second], 1, tol=1e-14, max_iter=5000, reg_covar=0.0)
    slope, intercept = np.polyfit(first[is_observed], second[is_observed], 1)
    residual = np.mean((second[is_observed] - intercept - slope * first[is_observed]) ** 2)
    mean, variance = first.mean(), first.var()
    np.testing.assert_allclose(found.means_[0], [mean, intercept + slope * mean], atol=1e-6)
    expected = [[variance, slope * variance], [slope * variance, residual + slope**2 * variance]]
    np.testing.assert_allclose(found.covariances_[0], expected, rtol=1e-5)


def test_a_common_X_error_is_subtracted_from_the_covariance(rng):
    rows = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + 1.0
    error = np.diag([0.1, 0.2, 0.3]) @ np.cov(rows.T)
    error = 0.2 * (error + error.T)
    found = fitted(rows, 1, X_error=error, tol=1e-14, max_iter=5000, reg_covar=0.0)
    np.testing.assert_allclose(found.means_[0], rows.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(found.covariances_[0], np.cov(rows.T, bias=True) - error, rtol=1e-5, atol=1e-7)


def test_a_missing_value_equals_an_infinite_X_error(rows, incomplete):
    errors = np.where(np.isnan(incomplete), np.inf, 0.5)
    assert_same(fitted(rows, X_error=errors), fitted(incomplete, X_error=np.full(3, 0.5)), rtol=0)


def test_a_missing_value_equals_an_infinite_variance_in_a_matrix_X_error(rows, incomplete):
    finite = np.tile([[0.5, 0.2, 0.1], [0.2, 0.6, 0.3], [0.1, 0.3, 0.7]], (len(rows), 1, 1))
    infinite, (row, column) = np.array(finite), np.isnan(incomplete).nonzero()
    infinite[row, column, column] = np.inf
    assert_same(fitted(rows, X_error=infinite), fitted(incomplete, X_error=finite), rtol=0)


def test_explain_ignores_values_with_an_infinite_X_error(rows, incomplete):
    found = fitted(incomplete, X_error=0.5)
    terms = found.explain(rows, X_error=np.where(np.isnan(incomplete), np.inf, 0.5))
    expected = found.explain(incomplete, X_error=0.5)
    np.testing.assert_array_equal(terms.contributions, expected.contributions)
    np.testing.assert_array_equal(terms.log_ratio, expected.log_ratio)


def test_an_X_error_of_0_equals_no_X_error(rows, incomplete):
    assert fitted(incomplete, X_error=0.0).mixture_ == fitted(incomplete).mixture_
    assert fitted(rows, X_error=np.zeros((3, 3))).mixture_ == fitted(rows).mixture_
    for X in rows, incomplete:
        assert_same(fitted(X, X_error=1e-8, init_params="kmeans"), fitted(X, init_params="kmeans"))


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_all_forms_of_X_error_give_the_same_fit(structure, incomplete):
    deviations = np.array([0.2, 0.5, 1.0])
    square = np.diag(deviations**2)
    forms = [deviations, np.tile(deviations, (300, 1)), square, np.tile(square, (300, 1, 1))]
    first, *others = (fitted(incomplete, X_error=form, covariance_type=structure) for form in forms)
    for other in others:
        assert_same(first, other)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data", "hierarchical", "search"])
def test_a_fit_to_weighted_rows_equals_a_fit_to_repeated_and_shuffled_rows(init, incomplete, rng):
    counts = rng.integers(1, 4, size=300)
    repeated = np.repeat(incomplete, counts, axis=0)
    one = fitted(incomplete, init_params=init, sample_weight=counts.astype(float))
    other = fitted(repeated[rng.permutation(len(repeated))], init_params=init)
    order = one.means_[:, 0].argsort(), other.means_[:, 0].argsort()
    np.testing.assert_allclose(one.means_[order[0]], other.means_[order[1]], rtol=1e-6)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_predictions_for_missing_values_equal_those_of_the_marginal_mixture(structure, rows):
    mixture = fitted(rows, covariance_type=structure)
    marginal = mixture.mixture_.marginal([0, 2])
    X = np.array(rows[:20])
    X[:, 1] = np.nan
    np.testing.assert_allclose(mixture.score_samples(X), marginal.log_density(X[:, [0, 2]]), rtol=1e-9)
    np.testing.assert_allclose(mixture.predict_proba(X), marginal.responsibilities(X[:, [0, 2]]), atol=1e-9)
    np.testing.assert_array_equal(mixture.predict(X), marginal.predict(X[:, [0, 2]]))
    empty = np.full((1, 3), np.nan)
    np.testing.assert_allclose(mixture.predict_proba(empty)[0], mixture.weights_, rtol=1e-12)
    assert mixture.score_samples(empty) == 0


def test_a_row_without_values_has_density_1_despite_rounding_of_the_weights(rng):
    X = rng.normal(size=(60, 2))
    X[::5, 0] = np.nan
    fits = [fitted(X, n_components=5, random_state=seed) for seed in range(6)]
    assert any(fit.weights_.sum() != 1 for fit in fits)
    assert [fit.score_samples([[np.nan, np.nan]])[0] for fit in fits] == [0] * 6


def test_score_samples_adds_X_error_to_the_covariances(rows):
    mixture, error = fitted(rows), np.diag([0.5, 1.0, 2.0])
    wide = [multivariate_normal(m, s + error) for m, s in zip(mixture.means_, mixture.covariances_, strict=True)]
    expected = np.log(sum(w * each.pdf(rows) for w, each in zip(mixture.weights_, wide, strict=True)))
    np.testing.assert_allclose(mixture.score_samples(rows, X_error=error), expected, rtol=1e-10)


def test_denoise_equals_the_conditional_normal_distribution(rows):
    """Compare with the normal distribution of (truth, measurement), whose covariance is [[Σ, Σ], [Σ, Σ + S]]."""
    mixture, error = fitted(rows, 1), np.diag([0.5, 1.0, 2.0])
    means, covariances = mixture.denoise(rows, error)
    mean, covariance = mixture.means_[0], mixture.covariances_[0]
    gain = covariance @ np.linalg.inv(covariance + error)
    np.testing.assert_allclose(means, mean + (rows - mean) @ gain.T, rtol=1e-9)
    np.testing.assert_allclose(covariances[7], covariance - gain @ covariance, rtol=1e-9)
    exact, zero = mixture.denoise(rows)
    np.testing.assert_array_equal(exact, rows)
    assert not zero.any()


def test_a_file_with_missing_values_gives_the_fit_of_the_array(tmp_path, incomplete):
    np.save(tmp_path / "rows.npy", incomplete)
    assert_same(fitted(gaussmix.open(tmp_path / "rows.npy", missing=True)), fitted(incomplete), rtol=0)
    strict = GaussianMixture(2, missing="error")
    with pytest.raises(ValueError, match="does not support missing values"):
        strict.fit(gaussmix.open(tmp_path / "rows.npy", missing=True))


ROWS = np.arange(60.0).reshape(20, 3) ** 1.5 % 7
ASYMMETRIC = np.tile(np.eye(3), (20, 1, 1))
ASYMMETRIC[4, 0, 1] = 0.5
INDEFINITE = np.tile(np.eye(3), (20, 1, 1))
INDEFINITE[3, 2, 2] = -1.0
UNBOUNDED = np.tile(np.eye(3), (20, 1, 1))
UNBOUNDED[5, 0, 1] = UNBOUNDED[5, 1, 0] = np.inf
MINUS_INFINITE = np.tile(np.eye(3), (20, 1, 1))
MINUS_INFINITE[6, 2, 2] = -np.inf
DISJOINT = np.where(np.arange(20)[:, None] % 2 == [0, 1, 0], np.nan, ROWS)
INFINITE = np.array(ROWS)
INFINITE[1] = [np.nan, np.inf, 1.0]
INVALID = {
    "infinite next to missing": (INFINITE, None, "infinity: row 1, column 1"),
    "an empty column": (np.where([0, 1, 0], np.nan, ROWS), None, "no value at all in column 1"),
    "columns never observed together": (DISJOINT, None, "both in column 0 .* and column 1"),
    "a wrong shape": (ROWS, np.ones((4, 5)), r"X_error has shape \(4, 5\). Pass standard deviations of shape \(3,"),
    "negative": (ROWS, np.where(ROWS[2, 2] == ROWS, -1.0, 1.0), "X_error of row 2 is negative"),
    "NaN": (ROWS, np.where(ROWS[2, 2] == ROWS, np.nan, 1.0), "X_error of row 2 contains NaN where X is observed"),
    "no symmetry": (ROWS, ASYMMETRIC, "X_error of row 4 is not symmetric"),
    "indefinite": (ROWS, INDEFINITE, "X_error of row 3 is not positive semidefinite"),
    "a variance of -inf": (ROWS, MINUS_INFINITE, "X_error of row 6 is not positive semidefinite"),
    "an infinite covariance": (ROWS, UNBOUNDED, "X_error of row 5 is infinite between two finite variances"),
    "text": (ROWS, "wide", "X_error must be an array of numbers"),
    "masked": (ROWS, np.ma.masked_array(np.ones((20, 3)), ROWS[2, 2] == ROWS), "row 2 contains NaN where X is"),
    "a square that overflows": (ROWS, 1e155, r"X has no value at all in column 0 .* above 1.3e154 counts as infinite"),
}


@pytest.mark.parametrize("library", [pa.table, pa.record_batch, pd.DataFrame])
def test_X_error_may_be_a_data_frame_with_the_columns_of_X(library):
    rows, errors = (library({name: each[:, index] for index, name in enumerate("abc")}) for each in (ROWS, ROWS**2))
    assert_same(fitted(rows, 1, X_error=errors), fitted(ROWS, 1, X_error=ROWS**2), rtol=0)
    with pytest.raises(ValueError, match=r"columns of X_error are 'a', 'b', 'c', but X has 'a', 'b', 'd'\."):
        fitted(library(dict.fromkeys("abd", ROWS[:, 0])), 1, X_error=errors)


@pytest.mark.parametrize("case", INVALID)
def test_fit_rejects_invalid_rows_and_X_error(case):
    X, X_error, sentence = INVALID[case]
    mixture = GaussianMixture(2, random_state=0).fit(ROWS)
    with raises_and_keeps(mixture, ValueError, sentence):
        mixture.fit(X, X_error=X_error)


def test_diagonal_structures_fit_columns_that_are_never_observed_together():
    found = fitted(DISJOINT, 2, covariance_type="diag")
    assert np.isfinite(found.means_).all()


def test_fit_rejects_an_unknown_value_of_missing_and_X_error_of_a_file(tmp_path):
    with pytest.raises(ValueError, match="missing='drop'"):
        GaussianMixture(2, missing="drop").fit(ROWS)
    np.save(tmp_path / "rows.npy", ROWS)
    with pytest.raises(ValueError, match="With X_error, X must be an array or a data frame"):
        GaussianMixture(2).fit(gaussmix.open(tmp_path / "rows.npy"), X_error=1.0)


def test_an_X_error_whose_square_overflows_counts_as_infinite(rows):
    error = np.ones(rows.shape)
    error[3, 1] = 1e200
    infinite = np.where(error > 1, np.inf, 1.0)
    assert fitted(rows, X_error=error).lower_bound_ == fitted(rows, X_error=infinite).lower_bound_


@pytest.mark.parametrize("X_error", [None, 1e-9])
def test_criteria_hardly_change_with_one_empty_row_or_a_tiny_X_error(X_error, rows):
    """Check criteria including ICL, whose likelihood assigns each row to one component."""
    options = {"covariance_type": "full", "random_state": 0}
    whole = GaussianMixtureIC([1, 2, 3], **options).fit(rows).results_
    X = np.array(rows) if X_error else np.r_[rows, np.full((1, 3), np.nan)]
    found = GaussianMixtureIC([1, 2, 3], **options).fit(X, X_error=X_error).results_
    for name in ("bic", "icl", "log_likelihood"):
        np.testing.assert_allclose(found[name][:2], whole[name][:2], rtol=0.01)


def test_bic_does_not_count_rows_without_any_value(rows):
    found = fitted(rows)
    assert found.bic(np.r_[rows, np.full((50, 3), np.nan)]) == pytest.approx(found.bic(rows), rel=1e-12)


def test_bic_takes_X_error_into_account(rows):
    search = GaussianMixtureIC([1, 2], covariance_type="full", random_state=0).fit(rows, X_error=0.5)
    best = search.results_["bic"][search.best_index_]
    assert search.bic(rows, X_error=0.5) == pytest.approx(best, rel=1e-9)
    assert search.bic(rows) > best + 1


def test_X_error_and_initial_parameters_need_the_column_names_of_X(rows):
    frame, errors = (pd.DataFrame(values, columns=["a", "b", "c"]) for values in (rows, np.full(rows.shape, 0.1)))
    with pytest.raises(ValueError, match="The columns of X_error are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, X_error=errors[["c", "b", "a"]])
    deviations = pd.Series(0.1, frame.columns)
    fitted(frame, X_error=deviations)
    with pytest.raises(ValueError, match="The columns of X_error are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, X_error=deviations[::-1])
    means = frame.iloc[[0, 1]]
    fitted(frame, means_init=means)
    fitted(frame, means_init=pd.DataFrame(means.to_numpy()))  # values without column names
    with pytest.raises(ValueError, match="means_init are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, means_init=means[["c", "b", "a"]])
    covariance = frame.cov()
    fitted(frame, covariance_type="tied", covariances_init=covariance)
    with pytest.raises(ValueError, match="covariances_init are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, covariance_type="tied", covariances_init=covariance.iloc[::-1, ::-1])
    with pytest.raises(ValueError, match="precisions_init are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        fitted(frame, covariance_type="EEI", precisions_init=1 / frame.var()[::-1])
    fitted(frame, covariance_type="spherical", covariances_init=pd.Series([1.0, 2.0], ["first", "second"]))
    weights = pd.Series([0.7, 0.3], [1, 0])  # as from `value_counts` of labels
    fitted(frame, weights_init=weights.set_axis(["first", "second"]))
    fitted(frame, weights_init=weights[::-1])
    with pytest.raises(ValueError, match="labels of weights_init are 1, 0, but components are in the order 0, 1"):
        fitted(frame, weights_init=weights)


def test_a_checkpoint_identifies_a_fit_by_its_X_error(rows):
    identities = []
    for deviation in (0.1, 0.9):
        source = ArraySource(rows, error=np.broadcast_to(np.full(3, deviation**2), rows.shape))
        identities.append(fit_identity(GaussianMixture(), source))
    assert {key for key in identities[0] if identities[0][key] != identities[1][key]} == {"the content of X_error"}


@pytest.mark.parametrize("step", [1, 3, 10, 40])  # only every `step`-th row has a value
def test_a_constant_column_with_missing_values_is_named(step, incomplete):
    X = np.array(incomplete)
    X[:, 1] = np.where(np.isnan(X[:, 1]) | (np.arange(len(X)) % step > 0), np.nan, 7.0)
    with pytest.warns(RuntimeWarning, match=r"Column 1 .* is constant"):
        GaussianMixture(2, random_state=0, max_iter=500).fit(X)


def test_denoise_rejects_a_mixture_with_noise(rows):
    with pytest.raises(ValueError, match="denoise does not support noise"):
        fitted(rows, noise=True).denoise(rows, 0.1)


EMPTY = np.r_[ROWS, np.full((50, ROWS.shape[1]), np.nan)]


@pytest.mark.parametrize("weight", [None, 3.0])
def test_rows_without_any_value_do_not_count_in_criteria(weight):
    gm = GaussianMixture(2, random_state=0).fit(ROWS)
    row_weights, all_weights = (None if weight is None else np.full(len(rows), weight) for rows in (ROWS, EMPTY))
    assert gm.bic(EMPTY, all_weights) == pytest.approx(gm.bic(ROWS, row_weights), rel=1e-12)
    assert gm.aic(EMPTY, all_weights) == pytest.approx(gm.aic(ROWS, row_weights), rel=1e-12)
    found, expected = (gm.summary(*each).statistics for each in ((EMPTY, all_weights), (ROWS, row_weights)))
    assert found["bic"] == pytest.approx(gm.bic(EMPTY, all_weights), rel=1e-12)
    assert found["icl"] == pytest.approx(expected["icl"], rel=1e-12)


def test_rows_without_any_value_do_not_count_as_overlap_of_clusters():
    gm = GaussianMixture(3, random_state=0).fit(ROWS)
    found, expected = gm.merge(EMPTY), gm.merge(ROWS)
    np.testing.assert_array_equal(
        found.cluster_labels[found.n_clusters - 1], expected.cluster_labels[found.n_clusters - 1]
    )
    np.testing.assert_allclose(found.overlap, expected.overlap, rtol=1e-12)
    np.testing.assert_allclose(found.entropy, expected.entropy, rtol=1e-12)
    assert gm.merge(EMPTY[-5:]).n_clusters == 1


def test_icl_of_labelled_rows_without_any_value_differs_from_bic_by_the_entropy_of_the_others(rng):
    rows = np.r_[rng.normal(size=(60, 2)), 4 + rng.normal(size=(60, 2)), np.full((30, 2), np.nan)]
    labels = np.r_[np.full(120, -1), np.zeros(30, dtype=int)]
    gm = GaussianMixtureIC([2], covariance_type="full", criterion="icl", random_state=0).fit(rows, labels=labels)
    certainty = gm.predict_proba(rows[:120]).max(axis=1)
    assert gm.results_["icl"][0] - gm.results_["bic"][0] == pytest.approx(-2 * np.log(certainty).sum(), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-3], ids=["cutoff below 0", "cutoff above 0"])
def test_trim_neither_leaves_out_nor_counts_rows_without_any_value(scale, rng):
    rows = scale * np.r_[rng.normal(size=(90, 2)), 30 + rng.normal(size=(10, 2))]
    empty = np.r_[rows, np.full((50, 2), np.nan)]
    found, expected = GaussianMixture(trim=0.1, tol=1e-10), GaussianMixture(trim=0.1, tol=1e-10)
    labels = found.fit_predict(empty)
    np.testing.assert_array_equal(labels[:100], expected.fit_predict(rows))
    assert (labels[100:] == 0).all()
    np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-4)
    assert found.cutoff_ == pytest.approx(expected.cutoff_, abs=1e-3)


def test_rows_without_any_value_do_not_count_if_weights_are_fractions_or_precisions():
    fractions = np.full(len(EMPTY), 1e-3 / len(EMPTY))
    gm = GaussianMixture(2, random_state=0).fit(ROWS)
    with pytest.warns(RuntimeWarning, match=f"scaled to sum to {len(ROWS)}"):
        found = gm.bic(EMPTY, fractions)
    assert found == pytest.approx(gm.bic(ROWS), rel=1e-9)
    gm.weight_type = "precision"
    assert gm.bic(EMPTY, 7e3 * fractions) == pytest.approx(gm.bic(ROWS), rel=1e-9)


def test_criteria_of_gaussian_mixture_ic_count_only_rows_that_have_a_value():
    gm = GaussianMixtureIC([1, 2], covariance_type="full", random_state=0).fit(EMPTY)
    n_rows = len(ROWS)
    for index in range(2):
        size, log_likelihood = (gm.results_[name][index] for name in ("n_parameters", "log_likelihood"))
        assert gm.results_["bic"][index] == pytest.approx(-2 * log_likelihood + size * np.log(n_rows), rel=1e-12)
    summary = GaussianMixture(1, tol=1e-10, max_iter=1000).fit(EMPTY).summary().statistics
    full = GaussianMixture(1, tol=1e-10, max_iter=1000).fit(ROWS).summary().statistics
    assert summary["log_likelihood"] == pytest.approx(full["log_likelihood"], rel=1e-6)
    assert summary["bic"] == pytest.approx(full["bic"], rel=1e-6)


def masked(incomplete):
    return np.ma.masked_array(np.nan_to_num(incomplete, nan=1e6), np.isnan(incomplete))


def test_masked_values_are_missing_values(incomplete, rng):
    assert_same(fitted(masked(incomplete)), fitted(incomplete), rtol=0)
    integers = np.ma.masked_array(rng.integers(9, size=(60, 3)), rng.random((60, 3)) < 0.1)
    found = fitted(integers)
    assert_same(found, fitted(integers.astype(float).filled(np.nan)), rtol=0)
    np.testing.assert_array_equal(found.predict(integers), found.predict(integers.astype(float).filled(np.nan)))
    large = np.ma.masked_array(2**60 + np.arange(60).reshape(20, 3), np.eye(20, 3, dtype=bool))
    with pytest.raises(ValueError, match="a double can't distinguish such integers"):
        fitted(large)


def test_fit_many_treats_masked_values_as_missing(incomplete):
    offsets = [0, len(incomplete) // 2, len(incomplete)]
    options = {"missing": "allow", "random_state": 0}
    found = gaussmix.fit_many(masked(incomplete), 1, offsets=offsets, **options)
    expected = gaussmix.fit_many(incomplete, 1, offsets=offsets, **options)
    np.testing.assert_array_equal(found.means, expected.means)
    weights = [np.ma.masked_array(np.ones(30), np.arange(30) == 3), np.ones(30)]
    with pytest.warns(RuntimeWarning, match="Group 0: .* A weight can't be missing"):
        gaussmix.fit_many([incomplete[:30], incomplete[30:60]], 1, sample_weight=weights, **options)


@pytest.mark.parametrize("convert", [np.ma.masked_invalid, lambda error: pd.DataFrame(error).convert_dtypes()])
def test_X_error_may_be_masked_or_null_if_the_value_is_missing(convert, incomplete):
    error = np.where(np.isnan(incomplete), np.nan, 0.5)
    assert_same(fitted(incomplete, X_error=convert(error)), fitted(incomplete, X_error=error), rtol=0)


def test_the_error_for_an_empty_column_counts_the_rows_of_positive_weight(incomplete):
    weight = (np.arange(len(incomplete)) == np.flatnonzero(np.isnan(incomplete[:, 1]))[0]).astype(float)
    with pytest.raises(ValueError, match=r"no value in column . .* among the 1 row with a positive sample_weight"):
        fitted(incomplete, sample_weight=weight)


def test_summary_augment_and_merge_take_X_error_into_account(rows, rng):
    error = rng.uniform(0.5, 2.0, size=rows.shape)
    noisy = pd.DataFrame(rows + error * rng.normal(size=rows.shape), columns=["a", "b", "c"])
    found = fitted(noisy, X_error=error)
    statistics = found.summary(noisy, X_error=error).statistics
    assert statistics["log_likelihood"] == pytest.approx(found.score_samples(noisy, X_error=error).sum(), rel=1e-12)
    assert statistics["bic"] == pytest.approx(found.bic(noisy, X_error=error), rel=1e-12)
    assert found.glance(noisy, X_error=error)["bic"][0] == statistics["bic"]
    assert found.summary(noisy, X_error=error).warnings == []
    assert "treat X as exact. Pass X_error, too" in str(found.summary(noisy))
    with pytest.warns(RuntimeWarning, match=r"treat X as exact\. Pass X_error, too"):
        found.glance(noisy)
    proba = found.predict_proba(noisy, X_error=error)
    np.testing.assert_allclose(found.summary(noisy, X_error=error).components["size"], proba.sum(axis=0), rtol=1e-12)
    table = found.augment(noisy, X_error=error)
    np.testing.assert_array_equal(table["component"], found.predict(noisy, X_error=error))
    np.testing.assert_array_equal(table["log_density"], found.score_samples(noisy, X_error=error))
    merged = found.merge(noisy, X_error=error)
    entropy = -(proba * np.log(proba)).sum()
    assert merged.entropy[-1] == pytest.approx(entropy, rel=1e-9)


@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("kind", ["variances", "covariances"])
def test_the_terms_of_explain_with_X_error_add_up_to_the_log_ratio(structure, kind, incomplete, rng):
    error = rng.uniform(0.2, 2.0, size=incomplete.shape)
    if kind == "covariances":
        roots = rng.normal(size=(len(incomplete), 3, 3))
        error = roots @ roots.swapaxes(1, 2)
    found = fitted(incomplete, X_error=error, covariance_type=structure)
    terms = found.explain(incomplete, X_error=error)
    proba = found.predict_proba(incomplete, X_error=error)
    np.testing.assert_array_equal(terms.component, found.predict(incomplete, X_error=error))
    expected = np.log(proba.max(axis=1)) - np.log(proba.min(axis=1))
    np.testing.assert_allclose(terms.log_ratio, expected, rtol=1e-9, atol=1e-9)
    parts = terms.log_weight_ratio + terms.log_density_ratio + np.nansum(terms.feature_log_ratio, axis=1)
    np.testing.assert_allclose(parts, terms.log_ratio, rtol=1e-9, atol=1e-9)
    added = error**2 if kind == "variances" else np.einsum("nii->ni", error)
    variances = found.mixture_._model.covariances.variances()[terms.component] + added
    np.testing.assert_allclose(terms.standard_deviations, np.sqrt(variances), rtol=1e-12)
    without = found.explain(incomplete)
    no_error = found.explain(incomplete, X_error=np.zeros(3))
    np.testing.assert_allclose(no_error.contributions, without.contributions, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(no_error.standard_deviations, without.standard_deviations, rtol=1e-12)


def test_a_row_without_any_value_is_predicted_from_the_weights(rng):
    found = GaussianMixture(3, random_state=0).fit(rng.normal(size=(90, 2)) ** 2)
    empty = np.full((2, 2), np.nan)
    np.testing.assert_allclose(found.predict_proba(empty), [found.weights_] * 2, rtol=1e-12)
    assert found.predict(empty).tolist() == [found.weights_.argmax()] * 2
