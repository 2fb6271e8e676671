"""`GaussianMixtureDetector`: the number of outliers, which rows they are, and their uncertainty."""

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureDetector


@pytest.fixture
def X(rng):
    """Return 400 rows in two groups of two columns."""
    return np.where(np.arange(400)[:, None] % 3, 0.0, 8.0) + rng.normal(size=(400, 2)) @ [[1.0, 0.6], [0.0, 0.5]]


def test_detector_of_one_component_compares_squared_distances_with_chi_squared(X):
    """Compare squared distances with chi² of d degrees of freedom, for one component."""
    detector = GaussianMixtureDetector(coverage=0.9, reg_covar=0).fit(X)
    offsets = X - X.mean(axis=0)
    squared = np.einsum("ij,ij->i", offsets @ np.linalg.inv(np.cov(X.T, bias=True)), offsets)
    np.testing.assert_allclose(detector.p_values(X), chi2.sf(squared, 2), rtol=1e-9)
    np.testing.assert_array_equal(detector.predict(X) == -1, squared > chi2.ppf(0.9, 2))


@pytest.mark.heavy
@pytest.mark.parametrize("structure", sorted(FAMILIES))
@pytest.mark.parametrize("coverage", [0.8, 0.99])
def test_detector_reports_the_fraction_1_minus_coverage_of_new_rows(structure, coverage, X):
    """Check that the fraction is within 5 standard errors of 20,000 draws and of the level's estimate."""
    detector = GaussianMixtureDetector(2, coverage=coverage, covariance_type=structure, random_state=0).fit(X)
    rows, _ = detector.mixture_.sample(20_000, np.random.default_rng(1))
    fraction = (detector.predict(rows) == -1).mean()
    assert fraction == pytest.approx(1 - coverage, abs=5 * np.sqrt(coverage * (1 - coverage) / 20_000))
    assert kstest(detector.p_values(rows), "uniform").pvalue > 1e-4
    agree = (detector.p_values(rows) < 1 - coverage) == (detector.predict(rows) == -1)
    assert agree.mean() > 0.999  # both estimate the same density level by two methods


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5])
def test_contamination_is_the_fraction_of_outliers_in_the_training_rows(fraction, X):
    detector = GaussianMixtureDetector(2, contamination=fraction, random_state=0).fit(X)
    assert (detector.predict(X) == -1).sum() == round(fraction * len(X))
    assert detector.fit_predict(X).tolist() == detector.predict(X).tolist()


@pytest.mark.parametrize(("fraction", "n_rows", "n_outliers"), [(0.29, 100, 29), (0.145, 200, 29), (0.1, 30, 3)])
def test_contamination_gives_the_nearest_number_of_outliers_despite_rounding(fraction, n_rows, n_outliers, X):
    detector = GaussianMixtureDetector(contamination=fraction)
    assert (detector.fit(X[:n_rows]).predict(X[:n_rows]) == -1).sum() == n_outliers
    tenths = np.full(n_rows, 0.1)
    assert (detector.fit(X[:n_rows], sample_weight=tenths).predict(X[:n_rows]) == -1).sum() == n_outliers


def test_contamination_respects_sample_weight(X):
    weight = np.arange(400) % 4
    weighted = GaussianMixtureDetector(contamination=0.1).fit(X, sample_weight=weight)
    repeated = GaussianMixtureDetector(contamination=0.1).fit(np.repeat(X, weight, axis=0))
    assert weighted.offset_ == pytest.approx(repeated.offset_, rel=1e-9)
    outside = weight[weighted.predict(X) == -1].sum()
    assert 0.1 * weight.sum() - 3 <= outside <= 0.1 * weight.sum()


def test_score_samples_returns_log_densities(X):
    detector = GaussianMixtureDetector(2, random_state=0).fit(X)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_array_equal(detector.score_samples(X), mixture.score_samples(X))
    np.testing.assert_array_equal(detector.decision_function(X), detector.score_samples(X) - detector.offset_)
    assert detector.offset_ == pytest.approx(mixture.mixture_.highest_density_level(0.95), rel=1e-12)


def test_offset_that_was_set_determines_predictions_and_is_saved(X, tmp_path):
    detector = GaussianMixtureDetector(2, random_state=0).fit(X[::2])
    validation_scores = detector.score_samples(X[1::2])
    detector.offset_ = np.quantile(validation_scores, 0.1)
    assert (detector.predict(X[1::2]) == -1).sum() == 20
    np.testing.assert_array_equal(detector.decision_function(X[1::2]), validation_scores - detector.offset_)
    detector.save(tmp_path / "limit.gmm")
    assert GaussianMixtureDetector.load(tmp_path / "limit.gmm").offset_ == detector.offset_


def test_a_row_between_two_groups_is_an_outlier(X):
    detector = GaussianMixtureDetector(2, random_state=0).fit(X)
    assert detector.predict([[4.0, 4.0], [0.0, 0.0], [8.0, 8.0], [1e9, 0.0]]).tolist() == [-1, 1, 1, -1]


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"contamination": 0}, ValueError, 'contamination=0 must be a number above 0 and at most 0.5, or "auto".'),
        ({"contamination": 0.6}, ValueError, 'contamination=0.6 must be a number above 0 and at most 0.5, or "auto".'),
        ({"contamination": -0.1}, ValueError, "contamination=-0.1 must be a number above 0 and at most 0.5"),
        ({"contamination": "half"}, TypeError, "contamination must be a number above 0 and at most 0.5, or"),
        ({"contamination": np.nan}, ValueError, "contamination=nan must be a number above 0"),
        ({"coverage": 1.0}, ValueError, "coverage=1.0 must be a number above 0 and below 1."),
        ({"coverage": 99}, ValueError, "coverage=99 must be a number above 0 and below 1."),
        ({"coverage": None}, TypeError, "coverage must be a number"),
        ({"coverage": 0.9, "contamination": 0.1}, ValueError, "contamination and coverage both define how many rows"),
    ],
)
def test_invalid_contamination_and_coverage_are_rejected(parameters, error, message, X):
    with pytest.raises(error) as caught:
        GaussianMixtureDetector(**parameters).fit(X)
    assert message in str(caught.value)


def test_fit_warns_if_rows_are_few_compared_with_parameters(rng):
    X = rng.normal(size=(100, 20))
    # The warning counts the rows with a positive weight.
    with pytest.warns(RuntimeWarning, match="has 230 parameters, but X has 100 rows, so .* new rows than 0.05"):
        detector = GaussianMixtureDetector().fit(np.r_[X, X], sample_weight=np.repeat([1.0, 0.0], 100))
    assert (detector.predict(rng.normal(size=(1000, 20))) == -1).mean() > 0.15
    with pytest.warns(RuntimeWarning, match="a much larger fraction of new rows than 0.1"):
        GaussianMixtureDetector(contamination=0.1).fit(X)
    assert GaussianMixtureDetector(covariance_type="diag").fit(X).n_parameters_ == 40


@pytest.mark.parametrize("value", ["x", None, [1.0, 2.0], True, np.nan, -np.inf])
def test_offset_must_be_a_finite_number(value, rng):
    detector = GaussianMixtureDetector().fit(rng.normal(size=(50, 2)))
    before = detector.offset_
    with pytest.raises(ValueError if isinstance(value, float) else TypeError, match=r"offset_.* must be a finite"):
        detector.offset_ = value
    assert detector.offset_ == before
    with pytest.raises(AttributeError, match="not fitted yet and has no offset_"):
        _ = GaussianMixtureDetector().offset_
