"""Tests of the initialisation of EM: by labels, responsibilities, functions or initial parameters, and the ridge."""

import numpy as np
import pytest
from common import LEAF_ROWS, assert_same_fit

from gaussmix import GaussianMixture, open

# An M-step sums a hundred rows of unit scale: rounding stays below a hundred ulps, to which divisions add a few.
ROUNDING = 200 * np.finfo(np.float64).eps


def initialised(X, n_components=3, **parameters):
    """Return an estimator with the mixture from which EM starts."""
    return GaussianMixture(n_components, max_iter=0, **parameters).fit(X)


def m_step(X, responsibilities, covariance_type, ridge=0.0):
    """Compute weights, means and covariances from responsibilities by formulas; Bishop (2006) eq. 9.17, 9.19, 9.22."""
    mass = responsibilities.sum(axis=0)
    means = responsibilities.T @ X / mass[:, None]
    full = np.array([np.cov(X.T, aweights=each, ddof=0) for each in responsibilities.T]) + ridge * np.eye(X.shape[1])
    variances = np.diagonal(full, axis1=1, axis2=2)
    covariances = {
        "full": full,
        "tied": np.tensordot(mass / mass.sum(), full, 1),
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    return mass / mass.sum(), means, covariances[covariance_type]


def assert_parameters(mixture, expected):
    tolerances = {"rtol": ROUNDING, "atol": 10 * ROUNDING}
    np.testing.assert_allclose(mixture.weights_, expected[0], **tolerances)
    np.testing.assert_allclose(mixture.means_, expected[1], **tolerances)
    np.testing.assert_allclose(mixture.covariances_, expected[2], **tolerances)


@pytest.fixture
def labels(X, rng):
    return rng.integers(3, size=len(X))


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, list])
def test_labels_as_init_params_are_followed_by_an_m_step(X, labels, covariance_type, kind):
    initial = labels.tolist() if kind is list else labels.astype(kind)
    mixture = initialised(X, init_params=initial, reg_covar=0, covariance_type=covariance_type)
    assert_parameters(mixture, m_step(X, np.eye(3)[labels], covariance_type))
    assert mixture.n_iter_ == 0
    assert not mixture.converged_


def test_responsibilities_as_init_params_are_followed_by_an_m_step(X, rng, covariance_type):
    responsibilities = rng.dirichlet([1.0, 2.0, 3.0], size=len(X))
    mixture = initialised(X, init_params=responsibilities, reg_covar=0, covariance_type=covariance_type)
    assert_parameters(mixture, m_step(X, responsibilities, covariance_type))
    from_lists = initialised(X, init_params=responsibilities.tolist(), reg_covar=0, covariance_type=covariance_type)
    assert (from_lists.means_ == mixture.means_).all()


def test_a_callable_init_params_is_called_once_per_run(X, labels):
    calls = []

    def draw_labels(rows, n_components, rng):
        calls.append((rows.shape, n_components))
        responsibilities = rng.random((len(rows), n_components))
        return labels if len(calls) == 1 else responsibilities / responsibilities.sum(axis=1, keepdims=True)

    from_labels = initialised(X, init_params=draw_labels, random_state=0)
    assert (from_labels.means_ == initialised(X, init_params=labels).means_).all()
    means = [initialised(X, init_params=draw_labels, random_state=seed).means_ for seed in (0, 0, 1)]
    assert (means[0] == means[1]).all()
    assert (means[0] != means[2]).any()
    GaussianMixture(3, init_params=draw_labels, n_init=3, tol=0.1).fit(X)
    assert calls == [(X.shape, 3)] * 7


def test_em_starts_from_the_initial_parameters(X, rng, covariance_type):
    weights, means = np.array([0.2, 0.3, 0.5]), X[:3].copy()
    factors = rng.normal(size=(3, 3, 3))
    full = factors @ factors.transpose(0, 2, 1) + np.eye(3)
    covariances = {"full": full, "tied": full[0], "diag": means**2 + 1, "spherical": means[:, 0] ** 2 + 1}
    initial = {"weights_init": weights, "means_init": means, "covariances_init": covariances[covariance_type]}
    mixture = initialised(X, covariance_type=covariance_type, **initial)
    assert (mixture.weights_ == weights).all()
    assert (mixture.means_ == means).all()
    assert (mixture.covariances_ == covariances[covariance_type]).all()
    before = mixture.score_samples(X)
    for array in initial.values():
        array *= 3  # the estimator keeps its own copy of the array
    assert (mixture.score_samples(X) == before).all()
    for array in initial.values():
        array /= 3
    initial["precisions_init"] = mixture.precisions_
    del initial["covariances_init"]
    from_precisions = initialised(X, covariance_type=covariance_type, **initial)
    tolerance = ROUNDING * max(np.linalg.cond(matrix) for matrix in full)
    np.testing.assert_allclose(from_precisions.covariances_, mixture.covariances_, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("missing", "n_calls"), [(None, 0), ("weights_init", 3), ("means_init", 3)])
def test_n_init_has_no_effect_if_all_initial_parameters_are_specified(missing, n_calls, X):
    calls, initial = [], {"weights_init": [0.5, 0.5], "means_init": X[:2], "covariances_init": [np.eye(3)] * 2}
    initial |= {} if missing is None else {missing: None}

    def labels(X, n_components, rng):
        calls.append(rng)
        return np.arange(len(X)) % 2

    fitted = GaussianMixture(2, **initial, init_params=labels, n_init=3, max_iter=50).fit(X)
    assert (len(calls), fitted.outcome_.n_starts) == (n_calls, max(1, n_calls))


def test_rounded_weights_init_is_normalised(X):
    thirds = np.array([0.3333333, 0.3333333, 0.3333333])
    assert initialised(X, weights_init=thirds, random_state=0).weights_.sum() == pytest.approx(1, rel=ROUNDING)


def test_omitted_initial_parameters_are_estimated_from_the_rows(X):
    nearest = np.linalg.norm(X[:, None] - X[:3], axis=2).argmin(axis=1)
    weights, _, covariances = m_step(X, np.eye(3)[nearest], "full")
    mixture = initialised(X, means_init=X[:3], reg_covar=0, init_params="kmeans")
    assert_parameters(mixture, (weights, X[:3], covariances))
    with_weights = initialised(X, weights_init=[0.2, 0.3, 0.5], random_state=0)
    assert (with_weights.weights_ == [0.2, 0.3, 0.5]).all()
    assert (with_weights.means_ == initialised(X, random_state=0).means_).all()
    with_covariances = initialised(X, covariances_init=np.stack([2 * np.eye(3)] * 3), random_state=0)
    assert (with_covariances.covariances_ == 2 * np.eye(3)).all()
    assert (with_covariances.means_ == with_weights.means_).all()


def test_omitted_initial_parameters_are_estimated_from_labels(X, labels):
    weights, _, covariances = m_step(X, np.eye(3)[labels], "full")
    for init_params in labels, np.eye(3)[labels], lambda X, n_components, rng: labels:
        mixture = initialised(X, init_params=init_params, means_init=X[:3], reg_covar=0)
        assert_parameters(mixture, (weights, X[:3], covariances))


def test_reg_covar_is_added_to_every_variance(X, labels, covariance_type):
    mixture = initialised(X, init_params=labels, reg_covar=0.25, covariance_type=covariance_type)
    assert_parameters(mixture, m_step(X, np.eye(3)[labels], covariance_type, ridge=0.25))


@pytest.mark.parametrize("kind", ["labels", "responsibilities", "weights"])
def test_init_params_without_rows_for_some_components_is_rejected(X, kind):
    """Check the error for two empty components, which EM could never separate. The usual cause is a skipped label."""
    labels, weight = np.repeat([0, 3], [len(X) // 2, len(X) - len(X) // 2]), None
    if kind == "weights":
        labels, weight = np.arange(len(X)) % 4, (np.arange(len(X)) % 4 % 3 == 0).astype(float)
    init_params = np.eye(4)[labels] if kind == "responsibilities" else labels
    message = r"init_params assigns no row of positive weight to components 1, 2 of 0 … 3"
    with pytest.raises(ValueError, match=message):
        GaussianMixture(4, init_params=init_params).fit(X, sample_weight=weight)


def test_an_initial_mean_without_rows_has_a_small_weight_and_the_pooled_covariance(X):
    mixture = initialised(X, means_init=np.vstack([X[:2], X[:1] + 1e3]), reg_covar=0)
    assert mixture.weights_[2] == pytest.approx(0.01 / 3 / (1 + 0.01 / 3))
    pooled = np.average(mixture.covariances_[:2], axis=0, weights=mixture.weights_[:2])
    np.testing.assert_allclose(mixture.covariances_[2], pooled, rtol=ROUNDING, atol=ROUNDING)
    assert np.isfinite(mixture.score(X))


def test_a_callable_init_params_may_spawn_generators(X):
    def draw_labels(rows, n_components, rng):
        return rng.spawn(1)[0].integers(n_components, size=len(rows))

    first, again = (initialised(X, init_params=draw_labels, random_state=0).means_ for _ in range(2))
    assert (first == again).all()


def test_a_callable_init_params_cannot_change_the_rows(X):
    def overwrite(rows, n_components, rng):
        rows[:] = 0

    original = X.copy()
    with pytest.raises(ValueError, match="read-only"):
        GaussianMixture(2, init_params=overwrite).fit(X)
    np.testing.assert_array_equal(X, original)


N_ROWS = 2 * LEAF_ROWS


@pytest.fixture(scope="module")
def rows():
    """Return rows of overlapping components, for which EM needs many steps."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_ROWS, 2)) + 2.0 * rng.normal(size=(5, 2))[rng.integers(5, size=N_ROWS)]


def estimator(**parameters):
    return GaussianMixture(5, **{"tol": 1e-4, "init_params": "kmeans", "random_state": 0} | parameters)


def fit_with_prefit(rows, **parameters):
    """Fit with so low a threshold that EM first runs on the sample used for initialisation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gaussmix._src.fit.first_state.MIN_PREFIT_ROWS", LEAF_ROWS)
        return estimator(**parameters).fit(rows)


@pytest.mark.parametrize("family", ["full", "tied", "VVI"])
def test_a_prefit_on_a_sample_saves_passes_over_all_rows(rows, family):
    with_prefit, plain = fit_with_prefit(rows, covariance_type=family), estimator(covariance_type=family).fit(rows)
    assert with_prefit.converged_
    assert with_prefit.n_iter_ < plain.n_iter_ / 3
    assert with_prefit.lower_bound_ > plain.lower_bound_ - 10 * plain.tol  # EM may gain this much below the tolerance


def test_a_prefit_of_a_file_equals_that_of_its_rows_in_memory(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    assert_same_fit(fit_with_prefit(open(tmp_path / "rows.npy", memory="3 MB")), fit_with_prefit(rows))


@pytest.mark.parametrize("parameters", [{"means_init": np.zeros((5, 2)) + np.arange(5)[:, None]}, {"max_iter": 0}])
def test_means_init_and_max_iter_0_skip_the_prefit(rows, parameters):
    assert_same_fit(fit_with_prefit(rows, **parameters), estimator(**parameters).fit(rows))


def test_a_prefit_without_a_ridge_rejects_equal_rows(rows):
    rows = rows.copy()
    rows[:1_000] = 50.0
    with pytest.raises(ValueError, match="increase reg_covar"):
        fit_with_prefit(rows, reg_covar=0)
