"""Trimmed fits through the estimators: robustness, labels, cutoff, model selection, files, and errors."""

import numpy as np
import pytest

from gaussmix import Full, GaussianMixture, GaussianMixtureIC

MEANS = np.array([[0.0, 0.0], [6.0, 6.0], [6.0, -6.0]])


@pytest.fixture
def rows(rng):
    """Return three groups, followed by a tenth of outliers, some of which are remote."""
    groups = np.concatenate([mean + rng.normal(size=(200, 2)) for mean in MEANS])
    return np.concatenate([groups, rng.uniform(-60, 60, size=(60, 2)), [[1e4, 1e4], [1e9, -1e7], [1e9, -1.1e7]]])


def in_order(means):
    return means[np.lexsort((means[:, 1], means[:, 0].round()))]


@pytest.mark.heavy(but=2)
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "VVE", "EEV", "factor_analyzer"])
def test_outliers_have_no_say(name, rows):
    gm = GaussianMixture(3, covariance_type=name, trim=0.12, random_state=0)
    labels = gm.fit_predict(rows)
    expected = MEANS[[0, 2, 1]]
    assert np.abs(in_order(gm.means_) - expected).max() < 0.35
    assert (labels[:600] >= 0).mean() > 0.96
    assert (labels[600:] == -1).mean() > 0.9
    left_out = 0.12 * len(rows)
    assert abs((labels == -1).sum() - left_out) <= 1
    np.testing.assert_array_equal(labels == -1, gm.score_samples(rows) < gm.cutoff_)
    np.testing.assert_array_equal(labels[labels >= 0], gm.predict(rows)[labels >= 0])
    lower = np.array(gm.lower_bounds_)
    assert (np.diff(lower) >= -1e-12 * np.abs(lower[1:])).all()


@pytest.mark.parametrize("more", [{}, {"noise": True}])
def test_labels_go_with_fit_predict(more, rows):
    known = np.full(len(rows), -1)
    known[:600:4] = np.repeat([0, 1, 2], 200)[::4]
    gm = GaussianMixture(3, trim=0.12, random_state=0, **more)
    found = gm.fit_predict(rows, labels=known)
    assert (found[:600] == np.repeat([0, 1, 2], 200)).mean() > 0.96
    assert found.tobytes() == np.where(found >= 0, gm.predict(rows), -1).tobytes()
    if not more:
        assert (found == -1).sum() == pytest.approx(0.12 * len(rows), abs=1)
    plain = GaussianMixture(3, random_state=0)
    np.testing.assert_array_equal(plain.fit_predict(rows[:600], labels=known[:600]), plain.predict(rows[:600]))


@pytest.mark.heavy
def test_distant_outliers_spoil_no_start(rng):
    """Check one distant group of outliers with a sixth of the rows, for any seed."""
    groups = np.concatenate([mean + rng.normal(size=(100, 2)) for mean in MEANS])
    heap = np.concatenate([groups, [30.0, 25.0] + 6 * rng.normal(size=(50, 2))])
    for seed in range(5):
        gm = GaussianMixture(3, trim=0.15, covariance_type=Full(20), random_state=seed).fit(heap)
        assert np.abs(in_order(gm.means_) - MEANS[[0, 2, 1]]).max() < 0.5


def test_without_trim_nothing_changes(rows):
    clean = rows[:600]
    plain, zero = (GaussianMixture(3, random_state=0, **more).fit(clean) for more in ({}, {"trim": 0.0}))
    assert plain.means_.tobytes() == zero.means_.tobytes()
    assert not hasattr(plain, "cutoff_")
    assert (zero.fit_predict(clean) >= 0).all()
    trimmed = GaussianMixture(3, trim=0.1, random_state=0).fit(clean)
    assert trimmed.cutoff_ > trimmed.score_samples(clean).min()
    assert not hasattr(trimmed.set_params(trim=0).fit(clean), "cutoff_")


def test_a_weight_is_a_number_of_rows(rows, rng):
    counts = rng.integers(0, 3, size=len(rows))
    start = {"means_init": MEANS, "trim": 0.1, "tol": 1e-9, "max_iter": 1000}
    weighted = GaussianMixture(3, **start).fit(rows, sample_weight=counts)
    repeated = GaussianMixture(3, **start).fit(np.repeat(rows, counts, axis=0))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-6, atol=1e-6)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-8)
    assert weighted.cutoff_ == pytest.approx(repeated.cutoff_, rel=1e-6)


def test_warm_starts_and_acceleration_of_trimmed_fits(rows):
    begun = GaussianMixture(3, trim=0.1, random_state=0, warm_start=True).fit(rows)
    reached = begun.lower_bound_
    assert begun.fit(rows).lower_bound_ >= reached - 1e-12
    assert begun.n_iter_ <= 2
    slow = {"trim": 0.1, "tol": 1e-8, "max_iter": 1000, "means_init": MEANS[:2] * 0.1}
    plain, faster = (GaussianMixture(2, acceleration=how, **slow).fit(rows) for how in (None, "auto"))
    assert faster.lower_bound_ >= plain.lower_bound_ - 1e-6


@pytest.mark.heavy
@pytest.mark.parametrize("name", [["full", "diag"], ["EII", "VVE"]])
def test_a_choice_is_not_led_by_outliers(name, rows):
    """Check that the chosen number of components is the number of groups; without trimming it is larger."""
    search = {"covariance_type": name, "random_state": 0}
    chosen = GaussianMixtureIC(range(1, 6), trim=0.12, **search)
    labels = chosen.fit_predict(rows)
    assert chosen.n_components_ == 3
    assert (labels == -1).sum() == pytest.approx(0.12 * len(rows), abs=1)
    row = chosen.results_["log_likelihood"][chosen.best_index_]
    assert row == pytest.approx(chosen.lower_bound_ * 0.88 * len(rows), rel=1e-4)
    single = GaussianMixture(
        3,
        covariance_type=chosen.covariance_type_,
        trim=0.12,
        **{"tol": 1e-6, "reg_covar": 0, "max_iter": 1000, "init_params": "hierarchical", "random_state": 0},
    ).fit(rows)
    assert single.lower_bound_ == pytest.approx(chosen.lower_bound_, rel=1e-12)
    assert single.cutoff_ == pytest.approx(chosen.cutoff_, rel=1e-9)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"trim": 0.5}, ValueError, r"trim=0.5 must be a fraction below 1/2"),
        ({"trim": -0.1}, ValueError, r"trim=-0.1 must be a finite number ≥ 0"),
        ({"trim": np.nan}, ValueError, r"trim=nan must be"),
        ({"trim": "some"}, TypeError, r"trim must be a number ≥ 0 and below 1/2, not 'some'"),
        ({"trim": True}, TypeError, r"trim must be a number"),
    ],
)
def test_options_that_contradict_trim_are_refused(parameters, error, words, rows):
    for kind in (GaussianMixture, GaussianMixtureIC):
        estimator = kind(2, covariance_type="full").fit(rows)
        before = estimator.mixture_
        with pytest.raises(error, match=words):
            estimator.set_params(**parameters).fit(rows)
        assert estimator.mixture_ is before


def test_folds_are_refused(rows):
    with pytest.raises(ValueError, match=r"criterion='cv' does not support trim"):
        GaussianMixtureIC(2, trim=0.1, criterion="cv").fit(rows)


def test_the_automatic_ridge_does_not_see_what_may_be_left_out(rng):
    """Check a trimmed part that is larger than the hundredth at each end that the ridge always leaves out."""
    groups = np.concatenate([mean + rng.normal(size=(200, 2)) for mean in MEANS])
    rows = np.concatenate([groups, 1e9 * rng.normal(size=(40, 2))])
    for estimator in GaussianMixture(3), GaussianMixtureIC(3, covariance_type="full", reg_covar="auto"):
        found = estimator.set_params(trim=0.08, random_state=0).fit(rows)
        assert np.abs(in_order(found.means_) - MEANS[[0, 2, 1]]).max() < 0.35
        assert found.covariances_.max() < 2
