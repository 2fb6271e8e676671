"""Initialisation of EM: names, labels, responsibilities, callables, given parameters, and the ridge."""

import numpy as np
import pytest
from common import LEAF_ROWS, assert_same_fit

from gaussmix import GaussianMixture, open

# An M-step sums a hundred rows of unit scale: rounding stays below a hundred ulps, and divisions add few more.
ROUNDING = 200 * np.finfo(np.float64).eps


def start(X, n_components=3, **parameters):
    """Return the mixture from which EM would start."""
    return GaussianMixture(n_components, max_iter=0, **parameters).fit(X)


def m_step(X, shares, covariance_type, ridge=0.0):
    """Compute weights, means and covariances from responsibilities by formulas; Bishop (2006) eq. 9.17, 9.19, 9.22."""
    mass = shares.sum(axis=0)
    means = shares.T @ X / mass[:, None]
    full = np.array([np.cov(X.T, aweights=share, ddof=0) for share in shares.T]) + ridge * np.eye(X.shape[1])
    variances = np.diagonal(full, axis1=1, axis2=2)
    covariances = {
        "full": full,
        "tied": np.tensordot(mass / mass.sum(), full, 1),
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    return mass / mass.sum(), means, covariances[covariance_type]


def assert_parameters(mixture, expected, tolerance=ROUNDING):
    near = {"rtol": tolerance, "atol": 10 * tolerance}
    np.testing.assert_allclose(mixture.weights_, expected[0], **near)
    np.testing.assert_allclose(mixture.means_, expected[1], **near)
    np.testing.assert_allclose(mixture.covariances_, expected[2], **near)


@pytest.fixture
def labels(X, rng):
    return rng.integers(3, size=len(X))


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, list])
def test_labels_start_with_an_m_step(X, labels, covariance_type, kind):
    given = labels.tolist() if kind is list else labels.astype(kind)
    mixture = start(X, init_params=given, reg_covar=0, covariance_type=covariance_type)
    assert_parameters(mixture, m_step(X, np.eye(3)[labels], covariance_type))
    assert mixture.n_iter_ == 0
    assert not mixture.converged_


def test_responsibilities_start_with_an_m_step(X, rng, covariance_type):
    shares = rng.dirichlet([1.0, 2.0, 3.0], size=len(X))
    mixture = start(X, init_params=shares, reg_covar=0, covariance_type=covariance_type)
    assert_parameters(mixture, m_step(X, shares, covariance_type))
    of_lists = start(X, init_params=shares.tolist(), reg_covar=0, covariance_type=covariance_type)
    assert (of_lists.means_ == mixture.means_).all()


def test_a_callable_is_asked_once_a_start_and_may_give_either_kind(X, labels):
    asked = []

    def begin(rows, n_components, rng):
        asked.append((rows.shape, n_components))
        shares = rng.random((len(rows), n_components))
        return labels if len(asked) == 1 else shares / shares.sum(axis=1, keepdims=True)

    of_labels = start(X, init_params=begin, random_state=0)
    assert (of_labels.means_ == start(X, init_params=labels).means_).all()
    of_shares = [start(X, init_params=begin, random_state=seed).means_ for seed in (0, 0, 1)]
    assert (of_shares[0] == of_shares[1]).all()
    assert (of_shares[0] != of_shares[2]).any()
    GaussianMixture(3, init_params=begin, n_init=3, tol=0.1).fit(X)
    assert asked == [(X.shape, 3)] * 7


def test_given_parameters_are_the_start(X, rng, covariance_type):
    weights, means = np.array([0.2, 0.3, 0.5]), X[:3].copy()
    factors = rng.normal(size=(3, 3, 3))
    full = factors @ factors.transpose(0, 2, 1) + np.eye(3)
    covariances = {"full": full, "tied": full[0], "diag": means**2 + 1, "spherical": means[:, 0] ** 2 + 1}
    given = {"weights_init": weights, "means_init": means, "covariances_init": covariances[covariance_type]}
    mixture = start(X, covariance_type=covariance_type, **given)
    assert (mixture.weights_ == weights).all()
    assert (mixture.means_ == means).all()
    assert (mixture.covariances_ == covariances[covariance_type]).all()
    before = mixture.score_samples(X)
    for array in given.values():
        array *= 3  # the estimator keeps its own copy of the array
    assert (mixture.score_samples(X) == before).all()
    for array in given.values():
        array /= 3
    given["precisions_init"] = mixture.precisions_
    del given["covariances_init"]
    inverted = start(X, covariance_type=covariance_type, **given)
    tolerance = ROUNDING * max(np.linalg.cond(matrix) for matrix in full)
    np.testing.assert_allclose(inverted.covariances_, mixture.covariances_, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("missing", "n_asked"), [(None, 0), ("weights_init", 3), ("means_init", 3)])
def test_starts_without_random_draws_run_once(missing, n_asked, X):
    asked, given = [], {"weights_init": [0.5, 0.5], "means_init": X[:2], "covariances_init": [np.eye(3)] * 2}
    given |= {} if missing is None else {missing: None}

    def labels(X, n_components, rng):
        asked.append(rng)
        return np.arange(len(X)) % 2

    fitted = GaussianMixture(2, **given, init_params=labels, n_init=3, max_iter=50).fit(X)
    assert (len(asked), fitted.outcome_.n_starts) == (n_asked, max(1, n_asked))


def test_weights_that_are_only_rounded_are_brought_to_sum_to_1(X):
    thirds = np.array([0.3333333, 0.3333333, 0.3333333])
    assert start(X, weights_init=thirds, random_state=0).weights_.sum() == pytest.approx(1, rel=ROUNDING)


def test_initial_parameters_that_are_not_given_come_from_the_rows(X):
    nearest = np.linalg.norm(X[:, None] - X[:3], axis=2).argmin(axis=1)
    weights, _, covariances = m_step(X, np.eye(3)[nearest], "full")
    mixture = start(X, means_init=X[:3], reg_covar=0, init_params="kmeans")
    assert_parameters(mixture, (weights, X[:3], covariances))
    seeded = start(X, weights_init=[0.2, 0.3, 0.5], random_state=0)
    assert (seeded.weights_ == [0.2, 0.3, 0.5]).all()
    assert (seeded.means_ == start(X, random_state=0).means_).all()
    spheres = start(X, covariances_init=np.stack([2 * np.eye(3)] * 3), random_state=0)
    assert (spheres.covariances_ == 2 * np.eye(3)).all()
    assert (spheres.means_ == seeded.means_).all()


def test_labels_share_rows_for_what_is_not_given(X, labels):
    weights, _, covariances = m_step(X, np.eye(3)[labels], "full")
    for init in labels, np.eye(3)[labels], lambda X, n_components, rng: labels:
        mixture = start(X, init_params=init, means_init=X[:3], reg_covar=0)
        assert_parameters(mixture, (weights, X[:3], covariances))


def test_a_number_is_added_to_every_variance(X, labels, covariance_type):
    mixture = start(X, init_params=labels, reg_covar=0.25, covariance_type=covariance_type)
    assert_parameters(mixture, m_step(X, np.eye(3)[labels], covariance_type, ridge=0.25))


@pytest.mark.parametrize("kind", ["labels", "responsibilities", "weights"])
def test_a_start_that_leaves_components_without_rows_is_refused(X, kind):
    """Check the error for two empty components, which would stay equal forever; usually they are gaps in labels."""
    labels, weight = np.repeat([0, 3], [len(X) // 2, len(X) - len(X) // 2]), None
    if kind == "weights":
        labels, weight = np.arange(len(X)) % 4, (np.arange(len(X)) % 4 % 3 == 0).astype(float)
    init = np.eye(4)[labels] if kind == "responsibilities" else labels
    said = r"init_params assigns no row of positive weight to components 1, 2 of 0 … 3"
    with pytest.raises(ValueError, match=said):
        GaussianMixture(4, init_params=init).fit(X, sample_weight=weight)


def test_a_mean_without_rows_lets_its_component_find_some(X):
    mixture = GaussianMixture(3, means_init=np.vstack([X[:2], X[:1] + 1e3]), max_iter=0).fit(X)
    assert mixture.weights_[2] == pytest.approx(0.01 / 3 / (1 + 0.01 / 3))
    assert np.isfinite(mixture.score(X))


def test_a_callable_may_spawn_generators(X):
    def begin(rows, n_components, rng):
        return rng.spawn(1)[0].integers(n_components, size=len(rows))

    first, again = (start(X, init_params=begin, random_state=0).means_ for _ in range(2))
    assert (first == again).all()


def test_a_callable_cannot_change_the_data(X):
    def careless(rows, n_components, rng):
        rows[:] = 0

    kept = X.copy()
    with pytest.raises(ValueError, match="read-only"):
        GaussianMixture(2, init_params=careless).fit(X)
    np.testing.assert_array_equal(X, kept)


N_ROWS = 2 * LEAF_ROWS


@pytest.fixture(scope="module")
def rows():
    """Return rows of overlapping components, for which EM needs many steps."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_ROWS, 2)) + 2.0 * rng.normal(size=(5, 2))[rng.integers(5, size=N_ROWS)]


def plain(**parameters):
    return GaussianMixture(5, **{"tol": 1e-4, "init_params": "kmeans", "random_state": 0} | parameters)


def fitted_as_many(rows, **parameters):
    """Fit with a threshold so low that the rows count as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gaussmix._src.fit.first_state.MIN_PREFIT_ROWS", LEAF_ROWS)
        return plain(**parameters).fit(rows)


@pytest.mark.parametrize("family", ["full", "tied", "VVI"])
def test_few_passes_over_all_rows_are_left(rows, family):
    grown, slow = fitted_as_many(rows, covariance_type=family), plain(covariance_type=family).fit(rows)
    assert grown.converged_
    assert grown.n_iter_ < slow.n_iter_ / 3
    assert grown.lower_bound_ > slow.lower_bound_ - 10 * slow.tol  # gain that EM had left at this tolerance


def test_a_file_ends_where_its_rows_in_memory_do(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    assert_same_fit(fitted_as_many(open(tmp_path / "rows.npy", memory="3 MB")), fitted_as_many(rows))


@pytest.mark.parametrize("given", [{"means_init": np.zeros((5, 2)) + np.arange(5)[:, None]}, {"max_iter": 0}])
def test_a_given_start_and_no_steps_stay_what_they_are(rows, given):
    assert_same_fit(fitted_as_many(rows, **given), plain(**given).fit(rows))


def test_equal_rows_in_a_sample_are_refused_as_in_all_rows(rows):
    rows = rows.copy()
    rows[:1_000] = 50.0  # a thousand rows are equal
    with pytest.raises(ValueError, match="increase reg_covar"):
        fitted_as_many(rows, reg_covar=0)
