"""Tests of `trim`: robustness to outliers, labels, weights, `cutoff_`, model selection, and errors."""

import numpy as np
import pytest
from common import checked

from gaussmix import Full, GaussianMixture, GaussianMixtureIC
from gaussmix._src.fit.first_state import FirstState

MEANS = np.array([[0.0, 0.0], [6.0, 6.0], [6.0, -6.0]])


@pytest.fixture
def rows(rng):
    """Return three groups, followed by outliers, a tenth of all rows, some of which are very distant."""
    groups = np.concatenate([mean + rng.normal(size=(200, 2)) for mean in MEANS])
    return np.concatenate([groups, rng.uniform(-60, 60, size=(60, 2)), [[1e4, 1e4], [1e9, -1e7], [1e9, -1.1e7]]])


def sorted_means(means):
    return means[np.lexsort((means[:, 1], means[:, 0].round()))]


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "VVE", "EEV", "factor_analyzer"])
def test_a_trimmed_fit_recovers_the_groups_and_labels_outliers(name, rows):
    gm = GaussianMixture(3, covariance_type=name, trim=0.12, random_state=0)
    labels = gm.fit_predict(rows)
    expected = MEANS[[0, 2, 1]]
    assert np.abs(sorted_means(gm.means_) - expected).max() < 0.35
    assert (labels[:600] >= 0).mean() > 0.96
    assert (labels[600:] == -1).mean() > 0.9
    n_trimmed = 0.12 * len(rows)
    assert abs((labels == -1).sum() - n_trimmed) <= 1
    np.testing.assert_array_equal(labels == -1, gm.score_samples(rows) < gm.cutoff_)
    np.testing.assert_array_equal(labels[labels >= 0], gm.predict(rows)[labels >= 0])
    lower = np.array(gm.lower_bounds_)
    assert (np.diff(lower) >= -1e-12 * np.abs(lower[1:])).all()


@pytest.mark.parametrize("more", [{}, {"noise": True}])
def test_fit_predict_of_a_trimmed_fit_respects_labels(more, rows):
    labels = np.full(len(rows), -1)
    labels[:600:4] = np.repeat([0, 1, 2], 200)[::4]
    gm = GaussianMixture(3, trim=0.12, random_state=0, **more)
    predicted = gm.fit_predict(rows, labels=labels)
    assert (predicted[:600] == np.repeat([0, 1, 2], 200)).mean() > 0.96
    assert predicted.tobytes() == np.where(predicted >= 0, gm.predict(rows), -1).tobytes()
    if not more:
        assert (predicted == -1).sum() == pytest.approx(0.12 * len(rows), abs=1)
    plain = GaussianMixture(3, random_state=0)
    np.testing.assert_array_equal(plain.fit_predict(rows[:600], labels=labels[:600]), plain.predict(rows[:600]))


@pytest.mark.heavy
def test_a_trimmed_fit_recovers_the_groups_despite_a_cluster_of_outliers(rng):
    """Check five seeds with a distant cluster of outliers, which has a seventh of the rows."""
    groups = np.concatenate([mean + rng.normal(size=(100, 2)) for mean in MEANS])
    rows = np.concatenate([groups, [30.0, 25.0] + 6 * rng.normal(size=(50, 2))])
    for seed in range(5):
        gm = GaussianMixture(3, trim=0.15, covariance_type=Full(20), random_state=seed).fit(rows)
        assert np.abs(sorted_means(gm.means_) - MEANS[[0, 2, 1]]).max() < 0.5


def test_trim_0_gives_the_same_bits_as_a_plain_fit(rows):
    clean = rows[:600]
    plain, trim_0 = (GaussianMixture(3, random_state=0, **more).fit(clean) for more in ({}, {"trim": 0.0}))
    assert plain.means_.tobytes() == trim_0.means_.tobytes()
    assert not hasattr(plain, "cutoff_")
    assert (trim_0.fit_predict(clean) >= 0).all()
    trimmed = GaussianMixture(3, trim=0.1, random_state=0).fit(clean)
    assert trimmed.cutoff_ > trimmed.score_samples(clean).min()
    assert not hasattr(trimmed.set_params(trim=0).fit(clean), "cutoff_")


def test_a_trimmed_fit_with_integer_weights_equals_that_of_repeated_rows(rows, rng):
    counts = rng.integers(0, 3, size=len(rows))
    options = {"means_init": MEANS, "trim": 0.1, "tol": 1e-9, "max_iter": 1000}
    weighted = GaussianMixture(3, **options).fit(rows, sample_weight=counts)
    repeated = GaussianMixture(3, **options).fit(np.repeat(rows, counts, axis=0))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-6, atol=1e-6)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-8)
    assert weighted.cutoff_ == pytest.approx(repeated.cutoff_, rel=1e-6)


def test_trimmed_fits_support_warm_starts_and_acceleration(rows):
    warm = GaussianMixture(3, trim=0.1, random_state=0, warm_start=True).fit(rows)
    bound = warm.lower_bound_
    assert warm.fit(rows).lower_bound_ >= bound - 1e-12
    assert warm.n_iter_ <= 2
    options = {"trim": 0.1, "tol": 1e-8, "max_iter": 1000, "means_init": MEANS[:2] * 0.1}
    plain, accelerated = (GaussianMixture(2, acceleration=value, **options).fit(rows) for value in (None, "auto"))
    assert accelerated.lower_bound_ >= plain.lower_bound_ - 1e-6


@pytest.mark.heavy
@pytest.mark.parametrize("name", [["full", "diag"], ["EII", "VVE"]])
def test_model_selection_with_trim_finds_the_number_of_groups(name, rows):
    """Check that the chosen number of components is the number of groups; without trimming it is larger."""
    options = {"covariance_type": name, "random_state": 0}
    selection = GaussianMixtureIC(range(1, 6), trim=0.12, **options)
    labels = selection.fit_predict(rows)
    assert selection.n_components_ == 3
    assert (labels == -1).sum() == pytest.approx(0.12 * len(rows), abs=1)
    log_likelihood = selection.results_["log_likelihood"][selection.best_index_]
    assert log_likelihood == pytest.approx(selection.lower_bound_ * 0.88 * len(rows), rel=1e-4)
    options = {"tol": 1e-6, "reg_covar": 0, "max_iter": 1000, "init_params": "hierarchical", "random_state": 0}
    single = GaussianMixture(3, covariance_type=selection.covariance_type_, trim=0.12, **options).fit(rows)
    assert single.lower_bound_ == pytest.approx(selection.lower_bound_, rel=1e-12)
    assert single.cutoff_ == pytest.approx(selection.cutoff_, rel=1e-9)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"trim": 0.5}, ValueError, r"trim=0.5 must be a fraction below 1/2"),
        ({"trim": -0.1}, ValueError, r"trim=-0.1 must be a finite number ≥ 0"),
        ({"trim": np.nan}, ValueError, r"trim=nan must be"),
        ({"trim": "some"}, TypeError, r"trim must be a finite number ≥ 0 and below 1/2, not 'some'"),
        ({"trim": True}, TypeError, r"trim must be a finite number"),
    ],
)
def test_invalid_values_of_trim_are_rejected(parameters, error, message, rows):
    for cls in (GaussianMixture, GaussianMixtureIC):
        estimator = cls(2, covariance_type="full").fit(rows)
        before = estimator.mixture_
        with pytest.raises(error, match=message):
            estimator.set_params(**parameters).fit(rows)
        assert estimator.mixture_ is before


@pytest.mark.parametrize(("structure", "is_scaled"), [("full", True), ("diag", True), ("spherical", False)])
def test_a_search_with_trim_scales_columns_only_if_the_structure_allows_it(structure, is_scaled, rows):
    estimator = GaussianMixture(3, covariance_type=structure, trim=0.05, init_params="search", random_state=0)
    problem, plan = checked(estimator, rows * [1.0, 50.0])
    partition = FirstState(problem, plan, "search", 0)._make_partition("search")
    assert (partition.search_rows.unit is not None) is is_scaled


def test_cross_validation_rejects_trim(rows):
    with pytest.raises(ValueError, match=r"criterion='cv' does not support trim"):
        GaussianMixtureIC(2, trim=0.1, criterion="cv").fit(rows)


def test_the_automatic_ridge_ignores_rows_that_may_be_trimmed(rng):
    """Check more outliers than the hundredth at each end of a column that the automatic ridge always ignores."""
    groups = np.concatenate([mean + rng.normal(size=(200, 2)) for mean in MEANS])
    rows = np.concatenate([groups, 1e9 * rng.normal(size=(40, 2))])
    for estimator in GaussianMixture(3), GaussianMixtureIC(3, covariance_type="full", reg_covar="auto"):
        estimator.set_params(trim=0.08, random_state=0).fit(rows)
        assert np.abs(sorted_means(estimator.means_) - MEANS[[0, 2, 1]]).max() < 0.35
        assert estimator.covariances_.max() < 2
