"""Tests of `noise`: a uniform background in addition to the Gaussian components."""

import numpy as np
import pytest
from common import Block, raises_and_keeps

from gaussmix import FAMILIES, DegenerateError, GaussianMixture, GaussianMixtureIC, Mixture, Noise, Restrictions
from gaussmix._src.mixture.missing_values import Filling

BOX = np.array([[-10.0, -8.0], [12.0, 9.0]])


@pytest.fixture
def rows(rng):
    """Return two groups, and a third of the rows spread over a box."""
    groups = np.concatenate([rng.normal(size=(150, 2)), rng.normal([5, 3], 0.5, size=(150, 2))])
    background = rng.uniform(*BOX, size=(150, 2))
    return rng.permutation(np.concatenate([groups, background]))


def fitted(rows, **arguments):
    return GaussianMixture(2, random_state=0, tol=1e-10, max_iter=2000, **{"noise": True, **arguments}).fit(rows)


@pytest.mark.parametrize("structure", sorted(FAMILIES))
def test_a_fit_with_noise_is_a_fixed_point_of_em(structure, rows):
    """Check that weights, means, log density, responsibilities and labels satisfy their formulas."""
    gm = fitted(rows, covariance_type=structure, noise=Noise(volume=BOX))
    joint = gm.mixture_.component_log_density(rows) + np.log(gm.weights_)
    noise = np.log(gm.noise_weight_) - np.log(np.prod(BOX[1] - BOX[0]))
    log_joint = np.column_stack((joint, np.full(len(rows), noise)))
    density = np.logaddexp.reduce(log_joint, axis=1)
    responsibilities = np.exp(log_joint - density[:, None])
    np.testing.assert_allclose(gm.score_samples(rows), density, rtol=1e-12)
    np.testing.assert_allclose(gm.predict_proba(rows), responsibilities[:, :2], atol=1e-12)
    labels = log_joint.argmax(axis=1)
    np.testing.assert_array_equal(gm.predict(rows), np.where(labels < 2, labels, -1))
    assert gm.weights_.sum() + gm.noise_weight_ == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose([*gm.weights_, gm.noise_weight_], responsibilities.mean(axis=0), atol=1e-4)
    own = responsibilities[:, :2]
    np.testing.assert_allclose(gm.means_, own.T @ rows / own.sum(axis=0)[:, None], atol=1e-3)
    assert (np.diff(gm.lower_bounds_) > -1e-9).all()


def test_background_rows_become_noise_and_the_groups_are_recovered(rows):
    plain, gm = fitted(rows, noise=False), fitted(rows)
    assert gm.noise_weight_ == pytest.approx(1 / 3, abs=0.08)
    assert np.linalg.norm(gm.means_[gm.means_[:, 0].argsort()] - [[0, 0], [5, 3]]) < 0.3
    assert gm.covariances_[0].max() < plain.covariances_.max()
    assert (gm.predict([[-9.0, 8.0], [100.0, 100.0]]) == -1).all()


def test_fits_from_different_initial_noise_weights_reach_the_same_maximum(rows):
    ends = [fitted(rows, noise=weight).lower_bound_ for weight in (0.02, 0.1, 0.6)]
    np.testing.assert_allclose(ends, ends[0], atol=1e-6)


def test_accelerated_em_with_noise_reaches_the_maximum_of_plain_em(rows):
    assert fitted(rows, acceleration="auto").lower_bound_ == pytest.approx(fitted(rows).lower_bound_, abs=1e-8)


def test_rows_with_missing_values_require_noise_with_a_box(rows, rng):
    with_missing = np.where(rng.random(rows.shape) < 0.1, np.nan, rows)
    with pytest.raises(ValueError, match="noise with only a volume has no density for a subset of the features"):
        fitted(with_missing, noise=Noise(volume=100.0))
    with pytest.raises(ValueError, match="noise with only a volume has no density for a subset of the features"):
        fitted(rows, noise=Noise(volume=100.0)).predict(with_missing)
    box = np.array([[-20.0, -30.0], [20.0, 10.0]])
    gm = fitted(rows, noise=Noise(volume=box))
    without_values, without_second = gm.score_samples([[np.nan, np.nan], [3.0, np.nan]])
    assert without_values == pytest.approx(0.0, abs=1e-12)
    assert without_second == pytest.approx(gm.mixture_.marginal([0]).log_density([[3.0]])[0], rel=1e-12)


def test_model_selection_by_bic_includes_the_noise(rows):
    selection = GaussianMixtureIC(range(1, 5), covariance_type=["VII", "VVV"], noise=True, random_state=0).fit(rows)
    assert selection.n_components_ == 2
    assert selection.results_["bic"][selection.best_index_] == pytest.approx(selection.bic(rows), rel=1e-9)
    assert selection.noise_weight_ == pytest.approx(1 / 3, abs=0.08)


def test_labelled_rows_are_not_assigned_to_noise(rows):
    """Check that a label keeps a distant row in its component, and that a further column of labels stands for noise."""
    with_outliers = np.concatenate([rows, [[11.0, -7.0]] * 3])
    labels = np.r_[np.full(len(rows), -1), 0, 0, 0]
    unlabelled = fitted(with_outliers, means_init=[[0.0, 0.0], [5.0, 3.0]])
    assert (unlabelled.predict(with_outliers[-3:]) == -1).all()
    labelled = GaussianMixture(2, noise=True, tol=1e-10, max_iter=2000, means_init=[[0.0, 0.0], [5.0, 3.0]])
    labelled.fit(with_outliers, labels=labels)
    joint = labelled.mixture_.component_log_density(with_outliers) + np.log(labelled.weights_)
    joint = np.column_stack((joint, np.full(len(with_outliers), labelled.mixture_.noise.log_density)))
    joint[-3:, 1:] = -np.inf
    assert labelled.lower_bound_ == pytest.approx(np.logaddexp.reduce(joint, axis=1).mean(), abs=1e-6)
    table = np.where(labels[:, None] < 0, 1.0, [1.0, 0.0])
    by_table = GaussianMixture(2, noise=True, tol=1e-10, max_iter=2000, means_init=[[0.0, 0.0], [5.0, 3.0]])
    assert by_table.fit(with_outliers, labels=table).mixture_ == labelled.mixture_
    table = np.ones((len(with_outliers), 3))
    table[: len(rows) // 2, :2] = 0
    gm = GaussianMixture(2, noise=True, random_state=0, max_iter=2000).fit(with_outliers, labels=table)
    assert gm.noise_weight_ > 0.5


def test_noise_in_a_box_supports_marginal_condition_cdf_and_sample(rows):
    mixture = fitted(rows, noise=Noise(volume=BOX)).mixture_
    first = mixture.marginal([0])
    grid = np.linspace(*BOX[:, 1], 4001)
    values = np.exp(mixture.log_density(np.column_stack((np.full(len(grid), 1.3), grid))))
    assert np.exp(first.log_density([[1.3]]))[0] == pytest.approx(np.trapezoid(values, grid), rel=1e-4)
    rest = mixture.condition({0: 1.3})
    np.testing.assert_allclose(np.exp(rest.log_density(grid[:, None])), values / np.trapezoid(values, grid), rtol=1e-4)
    assert mixture.cdf([[np.inf, np.inf]])[0] == pytest.approx(1.0)
    drawn, labels = mixture.sample(40_000, rng=0)
    assert (labels == -1).mean() == pytest.approx(mixture.noise.weight, abs=0.01)
    is_noise = labels == -1
    assert ((drawn[is_noise] >= BOX[0]) & (drawn[is_noise] <= BOX[1])).all()
    np.testing.assert_allclose(drawn[is_noise].mean(axis=0), BOX.mean(axis=0), atol=0.25)
    for corner in ([0.5, 0.5], [6.0, -2.0]):
        assert mixture.cdf([corner])[0] == pytest.approx((drawn <= corner).all(axis=1).mean(), abs=0.01)
    assert first.cdf([[1.3]])[0] == pytest.approx((drawn[:, 0] <= 1.3).mean(), abs=0.01)
    assert np.exp(first.log_cdf([[1.3]]))[0] == pytest.approx(first.cdf([[1.3]])[0], rel=1e-12)
    fewer, labels_of_fewer = mixture.sample(100, rng=0)
    np.testing.assert_array_equal(fewer, drawn[:100])
    np.testing.assert_array_equal(labels_of_fewer, labels[:100])
    assert (mixture.sample(50, rng=0, component=1)[1] == 1).all()


def test_noise_with_only_a_volume_rejects_methods_that_need_a_box(rows):
    mixture = fitted(rows, noise=Noise(volume=300.0)).mixture_
    for call in (
        lambda: mixture.marginal([0]),
        lambda: mixture.condition({0: 1.0}),
        lambda: mixture.cdf([[0.0, 0.0]]),
        lambda: mixture.probability([0.0, 0.0], [1.0, 1.0]),
        lambda: mixture.sample(3),
    ):
        with pytest.raises(ValueError, match="needs the box of the noise"):
            call()


def test_mixture_methods_without_a_formula_for_noise_reject_noise(rows):
    mixture = fitted(rows, noise=Noise(volume=BOX)).mixture_
    plain = mixture.without_noise
    assert plain.weights.sum() == pytest.approx(1.0)
    for call in (
        lambda: mixture.mean,
        lambda: mixture.covariance,
        lambda: mixture.modes(),
        lambda: mixture.quantile(0.5),
        lambda: plain.kl_divergence(mixture),
        lambda: mixture.entropy(),
        lambda: mixture.reduce(1),
        lambda: mixture.to_sklearn(),
        lambda: Mixture.concatenate([plain, mixture], [0.5, 0.5]),
        lambda: Mixture.concatenate(iter([plain, mixture]), [0.5, 0.5]),
        lambda: mixture.conditional_mean([[0.0]], known=[0]),
        lambda: Filling(mixture, n_jobs=1, seed=None)(Block(0, np.array([[0.0, np.nan]]))),
        lambda: mixture.gradient([[0.0, 0.0]]),
        lambda: mixture.highest_density_level(0.5),
    ):
        with pytest.raises(ValueError, match="does not support noise, but this mixture has noise"):
            call()


INVALID_FITS = {
    "weight": ({"noise": 1.5}, ValueError, "noise must be True, False, a weight between 0 and 1, or a Noise object"),
    "list": ({"noise": [0.1]}, TypeError, "noise must be True, False, a weight"),
    "other box": ({"noise": Noise(volume=[[0.0], [1.0]])}, ValueError, "component has 1 features, but X has 2"),
    "small box": ({"noise": Noise(volume=[[-1, -99], [1, 99]])}, ValueError, r"in column 0 \(counted from 0\), but X"),
    "fixed weights": (
        {"restrictions": Restrictions(fixed_weights=[0]), "weights_init": [0.5, 0.5]},
        ValueError,
        "fixed_weights can't be combined with noise",
    ),
    "least weight": ({"restrictions": Restrictions(min_weight=0.1)}, ValueError, "min_weight can't be combined with"),
}
INVALID_ARGUMENTS = {
    "no weight": ({"weight": None}, TypeError, "weight must be a number between 0 and 1, not None"),
    "all": ({"weight": 1}, ValueError, "weight=1 must be a number between 0 and 1"),
    "zero volume": ({"volume": 0}, ValueError, "volume=0 must be a number above 0"),
    "infinite volume": ({"volume": np.inf}, ValueError, "volume contains NaN or infinity"),
    "text": ({"volume": "large"}, TypeError, "volume must be real numbers"),
    "box without features": ({"volume": [[], []]}, ValueError, "volume must be a number, or a box"),
    "box": ({"volume": [[0, 0], [0, 1]]}, ValueError, "volume must be a number, or a box"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), INVALID_ARGUMENTS.values(), ids=INVALID_ARGUMENTS)
def test_invalid_arguments_of_noise_are_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        Noise(**arguments)


@pytest.mark.parametrize("name", sorted(INVALID_FITS))
def test_noise_that_contradicts_the_rows_or_other_parameters_is_rejected(name, rows):
    parameters, error, message = INVALID_FITS[name]
    estimator = GaussianMixture(2, **{"noise": True, **parameters})
    with raises_and_keeps(estimator, error, message):
        estimator.fit(rows)


def test_noise_is_rejected_if_the_rows_lie_in_a_plane(rows):
    for flat in (np.column_stack((rows, rows[:, 0])), np.column_stack((rows, np.ones(len(rows))))):
        with pytest.raises(ValueError, match="lie in a plane"):
            GaussianMixture(2, noise=True).fit(flat)


def test_features_of_very_different_scale_do_not_count_as_a_plane(rows):
    """Check that rows do not count as flat because one feature is so small that rounding of the other exceeds it."""
    units = [1e-9, 1e9]
    noise = GaussianMixture(2, noise=True, random_state=0).fit(rows * units).mixture_._model.noise
    assert noise.log_volume == pytest.approx(np.log(np.ptp(rows * units, axis=0)).sum(), rel=1e-12)
    flat = np.column_stack((rows * units, rows.sum(axis=1)))
    with pytest.raises(ValueError, match="lie in a plane"):
        GaussianMixture(2, noise=True).fit(flat)


def test_a_warm_start_computes_the_noise_volume_from_its_own_rows(rows):
    warm = GaussianMixture(2, noise=True, warm_start=True, random_state=0).fit(rows)
    moved = warm.fit(10 * rows).mixture_._model.noise
    fresh = GaussianMixture(2, noise=True, random_state=0).fit(10 * rows).mixture_._model.noise
    assert moved.log_volume == fresh.log_volume


def test_rows_of_weight_0_do_not_affect_the_noise_volume(rows):
    with_missing = np.r_[rows, [[np.nan, 1.0]]]
    weight, gm = np.r_[np.ones(len(rows)), 0.0], GaussianMixture(2, noise=True, random_state=0)
    expected = gm.fit(rows).mixture_._model.noise.log_volume
    weighted = gm.fit(with_missing, sample_weight=weight)
    assert weighted.mixture_._model.noise.log_volume == pytest.approx(expected, rel=1e-9)


def test_noise_without_a_box_predicts_files_without_missing_values(rows, tmp_path):
    """Check files, in which a missing value is noticed only when its row is read."""
    rotated = rows @ [[1.0, 1.0], [-1.0, 1.0]]
    np.save(tmp_path / "rows.npy", rotated)
    np.save(tmp_path / "missing.npy", np.r_[rotated, [[np.nan, 1.0]]])
    gm = GaussianMixture(2, noise=True, random_state=0).fit(rotated)
    assert gm.mixture_.noise.bounds is None
    np.testing.assert_array_equal(gm.predict(tmp_path / "rows.npy"), gm.predict(rotated))
    np.testing.assert_array_equal(gm.score_samples(tmp_path / "rows.npy"), gm.score_samples(rotated))
    with pytest.raises(ValueError, match="X has missing values"):
        gm.predict(tmp_path / "missing.npy")


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_all_rows_may_be_noise(rows):
    estimator = GaussianMixture(2, noise=Noise(volume=1e-300), random_state=0)
    with pytest.warns(RuntimeWarning, match="components 0, 1 became empty"):
        estimator.fit(rows)
    assert estimator.augment(rows)["component"].tolist() == [-1] * len(rows)
    with pytest.raises(DegenerateError, match="component 0 became empty, and so did all others"):
        estimator.set_params(degenerate="drop").fit(rows)
