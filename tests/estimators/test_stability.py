"""Tests of `criterion="stability"`: the agreement of repeated fits with K and with K − 1 or K + 1 components."""

import re
from copy import deepcopy

import numpy as np
import pytest
from scipy.signal import find_peaks
from sklearn.metrics import fowlkes_mallows_score

from gaussmix import GaussianMixture, GaussianMixtureIC, Noise
from gaussmix._src.validation.parameters import check_seed
from gaussmix.plot import CriterionDisplay

CENTRES = np.array([[0.0, 0], [5, 0], [0, 6], [9, 9], [16, 12]])
DEFAULTS = {"reg_covar": 0, "tol": 1e-6, "max_iter": 1000, "init_params": "kmeans"}
SELECTION = {"covariance_type": ["full"], "criterion": "stability", "random_state": 0}


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(centre, 1.2, size=(60, 2)) for centre in CENTRES])


def cellcharter(labels):
    """Compute stability as CellCharter's `ClusterAutoK` does (its code, shortened), from labels[run][K]."""
    counts, stability = list(labels[0]), []
    for i in range(1, len(labels)):
        stability.extend(fowlkes_mallows_score(labels[i][k], labels[j][k + 1]) for j in range(i) for k in counts[:-1])
    by_pair = [stability[i : i + len(counts) - 1] for i in range(0, len(stability), len(counts) - 1)]
    by_step = list(map(list, zip(*by_pair, strict=True)))
    return np.array([by_step[i] + by_step[i - 1] for i in range(1, len(by_step))])


def test_stability_equals_that_of_cellcharter(X, monkeypatch):
    selection = GaussianMixtureIC(range(2, 7), init_params="kmeans", **SELECTION).fit(X)
    generator, labels = check_seed(0), []
    for _ in range(5):
        rng = np.random.default_rng(int(generator.integers(2**63)))
        monkeypatch.setattr(GaussianMixture, "_rng", lambda self, rng=rng: deepcopy(rng))
        labels.append({k: GaussianMixture(k, **DEFAULTS).fit_predict(X) for k in range(1, 8)})
    expected = cellcharter(labels)
    np.testing.assert_allclose(selection.results_["stability"], expected.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(selection.results_["stability_sd"], expected.std(axis=1), rtol=1e-9)
    assert selection.best_index_ == expected.mean(axis=1).argmax()
    assert np.flatnonzero(selection.results_["is_peak"]).tolist() == find_peaks(expected.mean(axis=1))[0].tolist()
    assert expected.std() > 0.01, "repeats differ"


def test_selection_by_stability_reports_the_other_criteria_as_by_bic(X):
    selection = GaussianMixtureIC(range(1, 4), **SELECTION, n_folds=2).fit(X).results_
    by_bic = GaussianMixtureIC(range(1, 4), **SELECTION | {"criterion": "bic"}).fit(X).results_
    assert {name: selection[name] for name in by_bic if name != "seconds"} == {
        name: column for name, column in by_bic.items() if name != "seconds"
    }
    assert np.isnan(selection["stability"][0])
    assert np.isfinite(selection["stability"][1:]).all()


def test_stability_with_weights_equals_that_of_repeated_rows(X):
    weight = np.arange(len(X)) % 3
    options = {**SELECTION, "n_folds": 3}
    weighted = GaussianMixtureIC([2, 3], **options).fit(X, sample_weight=weight).results_
    repeated = GaussianMixtureIC([2, 3], **options).fit(X.repeat(weight, axis=0)).results_
    np.testing.assert_allclose(weighted["stability"], repeated["stability"], rtol=1e-9)


def test_summary_warns_that_stability_often_chooses_one_component_too_many():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(corner, size=(100, 2)) for corner in [(0, 0), (8, 0), (0, 8)]])
    selection = GaussianMixtureIC(range(2, 6), **SELECTION, reg_covar=1e-6).fit(rows)
    assert selection.n_components_ == 4
    assert "this is often one too many" in selection.summary().warnings[-1]
    assert selection.summary().warnings[-1].endswith("BIC is lowest for full, K = 3.")


def test_stability_is_nan_if_one_component_less_cannot_be_fitted(X):
    labels = np.where(np.arange(len(X)) % 3, -1, np.arange(len(X)) % 2)
    selection = GaussianMixtureIC([2, 3], **SELECTION, n_folds=2).fit(X, labels=labels)
    # Rows with two labels cannot be fitted by one component, so the stability of two components is unknown.
    np.testing.assert_array_equal(np.isnan(selection.results_["stability"]), [True, False])
    too_few = "Too few repeats with K − 1, K and K + 1 components could be fitted to judge"
    assert selection.summary().warnings[-1].endswith(f"{too_few} full 2.")
    with pytest.raises(ValueError, match=f"{re.escape(too_few)} any candidate by stability. Choose another"):
        GaussianMixtureIC(2, **SELECTION, n_folds=2).fit(X, labels=labels)


def test_stability_counts_noise_as_a_label(X):
    rows = np.vstack([X, np.random.default_rng(1).uniform(-20, 30, size=(60, 2))])
    selection = GaussianMixtureIC([2, 3], **SELECTION, n_folds=2, noise=Noise()).fit(rows)
    assert all(0 < value < 1 for value in selection.results_["stability"])


def test_summary_compares_the_choice_by_stability_with_bic(X):
    selection = GaussianMixtureIC(range(2, 7), **SELECTION).fit(X)
    sentence = selection.summary().warnings[-1]
    assert sentence.startswith(f"Stability chose K = {selection.n_components_}. ")
    assert "one too many. Peaks of full: K = " in sentence
    assert sentence.endswith(f"BIC is lowest for full, K = {2 + int(np.argmin(selection.results_['bic']))}.")


def test_criterion_display_marks_the_peaks_of_stability(X):
    selection = GaussianMixtureIC(range(2, 7), **SELECTION).fit(X)
    display = CriterionDisplay.from_estimator(selection)
    peaks = np.flatnonzero(selection.results_["is_peak"])
    assert len(peaks)
    np.testing.assert_array_equal(display.peaks_.get_xdata(), 2 + peaks)
    np.testing.assert_array_equal(display.peaks_.get_ydata(), np.array(selection.results_["stability"])[peaks])
    assert display.ax_.get_ylabel() == "stability (higher is better)"
    assert CriterionDisplay.from_estimator(selection, criterion="bic").peaks_ is None
    from_one_component = GaussianMixtureIC([1, 2], **SELECTION, n_folds=2).fit(X)
    assert not CriterionDisplay.from_estimator(from_one_component).failures_, "a fit of one component has not failed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 1}, "can't judge n_components=1. Include larger numbers"),
        ({"init_params": "hierarchical"}, "needs a random initialisation, but with init_params='hierarchical' all"),
        ({"max_time": 9}, r"='stability' does not support max_time\. Choose another criterion, or leave out max_time"),
        ({"trim": 0.1}, "criterion='stability' does not support trim"),
        ({"n_folds": 1}, "n_folds=1 must be an integer ≥ 2"),
    ],
)
def test_options_that_stability_does_not_support_are_rejected(options, message, X):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureIC(**{"n_components": [2, 3], **SELECTION, **options}).fit(X)
