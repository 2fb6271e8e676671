"""Explanations of rows: their terms sum to the explained quantities, and agree with formulas from the literature."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import NoiseComponent
from scipy import stats
from scipy.linalg import sqrtm

import gaussmix
from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, Mixture, Noise
from gaussmix._src.mixture.directions import directions


def fitted(mixture):
    estimator = GaussianMixture(mixture.n_components)
    estimator.mixture_ = mixture
    estimator.n_features_in_ = mixture.n_features
    return estimator


@pytest.fixture
def mixture(rng):
    roots = rng.normal(size=(3, 4, 4))
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(4)
    return Mixture([0.2, 0.3, 0.5], rng.normal(0, 3, size=(3, 4)), covariances, FAMILIES["full"])


@pytest.fixture
def rows(mixture, rng):
    return mixture.sample(50, rng, return_labels=False)


def test_contributions_are_squares_of_whitened_features_and_sum_to_the_distance(mixture, rows):
    why = fitted(mixture).explain(rows)
    np.testing.assert_array_equal(why.component, mixture.predict(rows))
    np.testing.assert_allclose(why.contributions.sum(axis=1), why.squared_distance, rtol=1e-14)
    for row, k in enumerate(why.component):
        offset, covariance = rows[row] - mixture.means[k], mixture.covariances[k]
        standard_deviations = np.sqrt(np.diagonal(covariance))
        correlation = covariance / np.outer(standard_deviations, standard_deviations)
        expected = np.linalg.solve(sqrtm(correlation), offset / standard_deviations) ** 2
        np.testing.assert_allclose(why.contributions[row], expected, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(why.squared_distance[row], offset @ np.linalg.solve(covariance, offset), rtol=1e-10)
        np.testing.assert_allclose(why.chi2_p_value[row], stats.chi2(4).sf(why.squared_distance[row]), rtol=1e-10)


def test_log_ratio_compares_the_two_most_probable_components_and_has_three_terms(mixture, rows):
    why, each = fitted(mixture).explain(rows), np.arange(len(rows))
    log_joint = np.log(mixture.weights) + mixture.component_log_density(rows)
    order = np.argsort(-log_joint, axis=1)
    np.testing.assert_array_equal(why.second_component, order[:, 1])
    np.testing.assert_allclose(
        why.log_ratio, log_joint[each, order[:, 0]] - log_joint[each, order[:, 1]], rtol=1e-9, atol=1e-9
    )
    parts = why.log_weight_ratio + why.log_density_ratio + why.feature_log_ratio.sum(axis=1)
    np.testing.assert_allclose(parts, why.log_ratio, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(why.responsibilities, mixture.responsibilities(rows))


@pytest.mark.parametrize("name", ["diag", "spherical", "tied", "factor_analyzer", "VVI"])
def test_contributions_sum_to_the_squared_distance_for_other_structures(name, rng):
    X = np.concatenate([rng.normal(0, 1, size=(60, 3)), rng.normal(4, 2, size=(60, 3))])
    gm = GaussianMixture(2, covariance_type=name, random_state=0).fit(X)
    why = gm.explain(X)
    covariances = gm.mixture_._model.covariances.dense()
    offsets = X - gm.means_[why.component]
    squared = np.einsum("nd,nd->n", offsets, np.linalg.solve(covariances[why.component], offsets[..., None])[..., 0])
    np.testing.assert_allclose(why.contributions.sum(axis=1), squared, rtol=1e-9)
    if name in ("diag", "spherical", "VVI"):
        expected = offsets**2 / np.diagonal(covariances, axis1=1, axis2=2)[why.component]
        np.testing.assert_allclose(why.contributions, expected, rtol=1e-10)


def test_explanations_do_not_depend_on_units(mixture, rows):
    scale = np.array([1e-3, 1.0, 1e3, 7.0])
    other = mixture.transform(np.diag(scale))
    one, two = fitted(mixture).explain(rows), fitted(other).explain(rows * scale)
    np.testing.assert_allclose(two.contributions, one.contributions, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(two.feature_log_ratio, one.feature_log_ratio, rtol=1e-9, atol=1e-9)


def test_missing_values_do_not_contribute_to_explanations(mixture, rows):
    incomplete = rows.copy()
    incomplete[::2, 1] = np.nan
    incomplete[3] = np.nan
    why = fitted(mixture).explain(incomplete)
    of_some = fitted(mixture.marginal([0, 2, 3])).explain(np.delete(rows[::2], 1, axis=1))
    assert np.isnan(why.contributions[::2, 1]).all()
    np.testing.assert_allclose(why.contributions[::2][:, [0, 2, 3]], of_some.contributions, rtol=1e-12)
    np.testing.assert_allclose(why.log_ratio[::2], of_some.log_ratio, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(why.chi2_p_value[::2], of_some.chi2_p_value, rtol=1e-12)
    assert (why.squared_distance[3], why.chi2_p_value[3]) == (0.0, 1.0)
    np.testing.assert_allclose(why.log_ratio[3], np.log(0.5 / 0.3))
    assert "every cell of the row is missing" in str(fitted(mixture).explain(incomplete[3:4]))


def test_explain_treats_noise_as_a_component(rng):
    X = np.concatenate([rng.normal(0, 1, size=(200, 2)), rng.uniform(-9, 9, size=(20, 2))])
    box = [[-9.0, -9.0], [9.0, 9.0]]
    gm = GaussianMixture(1, noise=Noise(volume=box), random_state=0).fit(X)
    why = gm.explain(X)
    assert set(why.component) == {-1, 0}
    np.testing.assert_array_equal(why.component, gm.predict(X))
    np.testing.assert_array_equal(why.second_component, -1 - why.component)
    proba = gm.predict_proba(X)[:, 0]
    near = (proba > 1e-6) & (proba < 1 - 1e-6)
    expected = np.where(why.component == 0, 1, -1) * np.log(proba / (1 - proba), where=near, out=np.zeros(len(X)))
    np.testing.assert_allclose(why.log_ratio[near], expected[near], rtol=1e-7, atol=1e-9)
    parts = why.log_weight_ratio + why.log_density_ratio + why.feature_log_ratio.sum(axis=1)
    np.testing.assert_allclose(parts, why.log_ratio, rtol=1e-11, atol=1e-11)
    assert "noise, probability" in str(gm.explain(X[why.component == -1][:1]))


def test_contributions_of_a_noise_row_belong_to_the_most_probable_component():
    noise = NoiseComponent(0.1, np.log(400.0), np.array([[-10.0, -10.0], [10.0, 10.0]]))
    mixture = Mixture([0.45, 0.45], [[-5.0, 0.0], [5.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"], noise=noise)
    why = fitted(mixture).explain([[9.0, 7.0]])
    assert why.component.tolist() == [-1]
    np.testing.assert_array_equal(why.means, [[5.0, 0.0]])
    np.testing.assert_allclose(why.contributions, [[16.0, 49.0]])


def test_a_single_component_has_an_infinite_log_ratio():
    why = fitted(Mixture([1.0], [[0.0]], [4.0], FAMILIES["spherical"])).explain([[4.0]])
    assert (*why.second_component, *why.log_ratio, *why.squared_distance) == (0, np.inf, 4.0)
    assert str(why) == (
        "row 0: component 0, probability 1; there is no other\n"
        "  squared distance 4 (1 in the mean, p = 0.046):\n"
        "    x0 = 4 (0 ± 2): 4"
    )


def test_explanation_text_sorts_features_by_size_and_counts_omitted_rows(rng):
    frame = pd.DataFrame(rng.normal(size=(60, 7)), columns=[f"f{j}" for j in range(7)])
    gm = GaussianMixture(1, covariance_type="diag").fit(frame)
    distant = pd.DataFrame([[0.0, 9.0, 0, 0, -30.0, 0, 0]] * 12, columns=frame.columns)
    text = str(gm.explain(distant)).splitlines()
    assert [line.strip()[:2] for line in text[2:4]] == ["f4", "f1"]
    assert text[7] == "    …"
    assert text[-1] == "… and 2 more rows"


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_to_frame_returns_a_data_frame_of_the_same_library_as_the_rows(library, rng):
    frame = library.DataFrame({"a": rng.normal(size=30), "b": rng.normal(size=30)})
    why = GaussianMixture(2, random_state=0).fit(frame).explain(frame)
    table = why.to_frame()
    assert type(table) is library.DataFrame
    np.testing.assert_array_equal(table["contribution_b"], why.contributions[:, 1])
    np.testing.assert_array_equal(table["feature_log_ratio_a"], why.feature_log_ratio[:, 0])
    np.testing.assert_allclose(table["probability"], why.responsibilities.max(axis=1))


def test_to_frame_keeps_the_index_of_the_rows(rng):
    frame = pd.DataFrame({"a": rng.normal(size=30), "b": rng.normal(size=30)}, index=range(100, 130))
    gm = GaussianMixture(2, random_state=0).fit(frame)
    table = gm.explain(frame[::2]).to_frame()
    assert table.index.equals(gm.augment(frame[::2]).index)


def test_explain_rejects_files_and_unfitted_estimators(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((200_000, 1)))
    gm = fitted(Mixture([1.0], [[0.0]], [4.0], FAMILIES["spherical"]))
    with pytest.raises(TypeError, match="explain needs an array or a data frame in memory"):
        gm.explain(gaussmix.open(tmp_path / "rows.npy", memory="1 MB"))
    with pytest.raises(ValueError, match="not fitted"):
        GaussianMixture().explain([[0.0]])


@pytest.mark.parametrize("size", [1e10, 1e100, 1e160, 1e300])
def test_explain_accepts_rows_whose_squared_distance_overflows(size):
    """Check that there is no warning. Far out, the predictive t density is a power of the distance."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 6])
    why = GaussianMixture(2, random_state=0).fit(X).explain([[size, 0.0]])
    assert why.chi2_p_value == 0
    assert why.log_ratio > 0
    assert np.isfinite(why.squared_distance) == (size < 1e154)
    assert not np.isnan(why.feature_log_ratio).any()
    assert "p = 0" in str(why)
    for structure, power in (("full", 3.0), ("diag", None)):
        fitted_mixture = BayesianGaussianMixture(2, covariance_type=structure, random_state=0).fit(X)
        log_density, farther = fitted_mixture.score_samples([[size, 0.0], [size * 1e5, 0.0]])
        slope = (log_density - farther) / (5 * np.log(10))
        assert slope == pytest.approx(power, rel=1e-6) if power else np.isfinite(slope) and slope > 1


def test_mixtures_of_extreme_scale_are_displayed_and_their_overflow_is_reported():
    distant = Mixture([0.5, 0.5], [[0.0, 0.0], [1e200, 1e200]], [np.eye(2) * 1e-300] * 2, FAMILIES["full"])
    assert "1e+200" in repr(distant) + distant._repr_html_() + str(distant)
    with pytest.raises(ValueError, match="at row 0 are beyond the range of float64"):
        distant.gradient([[1e160, 0.0]])
    with pytest.raises(ValueError, match=r"^n_rows=9223372036854775808 must be at most 576460752303423487"):
        distant.sample(2**63)
    with pytest.raises(ValueError, match="rounding hides the covariances"):
        directions(Mixture([0.5, 0.5], [[0.0, 0.0], [1e10, 1e10]], [np.eye(2)] * 2, FAMILIES["full"])._model, 1.0)
