"""Tests of the automatic ridge: fits drop it at the end, unless components need it, which a warning reports."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from many_blocks import ManyBlocks
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import scale

from gaussmix import FactorAnalyzer, GaussianMixture, fit_many, load
from gaussmix._src.report.messages import CollapseWarning

STRUCTURES = "full", "tied", "diag", "spherical", "VVI", "EEV", "EVE"
IRIS = load_iris().data


def thin_groups(seed: int = 0, n_features: int = 2) -> np.ndarray:
    """Draw two groups that are very narrow in the last column compared with their distance."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, n_features)) @ np.diag([1.0] * (n_features - 1) + [3e-4])
    return np.concatenate([rows[:200], rows[200:] + 30])


def fitted(rows: Any, structure: str = "full", **parameters: Any) -> GaussianMixture:
    return GaussianMixture(2, covariance_type=structure, random_state=0, **parameters).fit(rows)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_automatic_ridge_costs_no_likelihood(structure: str) -> None:
    rows = thin_groups(n_features=3)
    automatic, without = fitted(rows, structure), fitted(rows, structure, reg_covar=0)
    assert automatic.score(rows) > without.score(rows) - 1e-4
    assert automatic.outcome_.on_ridge == []


def test_dropping_the_ridge_does_not_depend_on_units_order_weights_or_blocks() -> None:
    rows = thin_groups()
    first = fitted(rows)
    assert first.outcome_.is_ridge_dropped
    assert first.converged_
    order = np.random.default_rng(1).permutation(len(rows))
    scaled = fitted(rows * [1024.0, 0.25])
    others = [
        (fitted(rows[order]), 0.0),
        (fitted(np.concatenate([rows, rows])), 0.0),
        (GaussianMixture(2, random_state=0).fit(rows, sample_weight=np.full(len(rows), 2.0)), 0.0),
        (scaled, np.log(256)),
    ]
    for other, change in others:
        assert other.outcome_.is_ridge_dropped
        assert np.isclose(other.lower_bound_ + change, first.lower_bound_, atol=1e-9)
    assert np.array_equal(fitted(ManyBlocks(rows)).means_, first.means_)
    groups = fit_many({"a": rows, "b": rows[order]}, 2, random_state=0)
    assert np.array_equal(groups["a"].covariances, first.covariances_)


def test_a_component_with_few_distinct_rows_keeps_the_ridge_and_warns() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(200, 2)), np.repeat(rng.normal(size=(2, 2)) + 30, 50, axis=0)])
    with pytest.warns(CollapseWarning, match="rests on reg_covar, because it has 2 distinct rows for 2 columns"):
        gm = fitted(rows)
    assert not gm.outcome_.is_ridge_dropped
    assert gm.outcome_.on_ridge == [int(gm.predict(rows[-1:])[0])]


def test_inference_and_saved_files_account_for_a_dropped_ridge(tmp_path: Any) -> None:
    rows = thin_groups()
    automatic, without = fitted(rows), fitted(rows, reg_covar=0, tol=1e-8)
    assert np.allclose(automatic.inference(rows).covariance, without.inference(rows).covariance, rtol=1e-4)
    automatic.save(tmp_path / "model.gmm")
    again = load(tmp_path / "model.gmm")
    assert again.outcome_ == automatic.outcome_


WITH_COPY = np.column_stack([IRIS, IRIS[:, 0]])
WITH_TWO_VALUES = np.column_stack([IRIS, IRIS[:, 0] > 5.5])
CAUSES = [
    (scale(load_wine().data), 3, "full", "distinct rows for 13 columns"),
    (scale(load_wine().data)[:10], 2, "tied", "10 distinct rows for 13 columns"),
    (WITH_COPY, 3, "full", "columns 0, 4 (counted from 0) are linearly dependent"),
    (WITH_COPY, 2, "tied", "columns 0, 4 (counted from 0) are linearly dependent"),
    (WITH_COPY, 3, FactorAnalyzer(1), "columns 0, 4 (counted from 0) are linearly dependent"),
    (WITH_TWO_VALUES, 4, "full", "one value, or nearly so, in column 4"),
    (WITH_TWO_VALUES, 4, "diag", "one value, or nearly so, in column 4"),
    (WITH_TWO_VALUES, 2, "EEI", "one value, or nearly so, in column 4"),
    (1e4 * (IRIS[:, :1] > 5.5), 2, "EII", "one value, or nearly so, in column 0"),
]


@pytest.mark.parametrize(("rows", "n_components", "structure", "cause"), CAUSES)
def test_one_warning_names_components_on_the_ridge(rows: Any, n_components: int, structure: Any, cause: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gm = GaussianMixture(
            n_components, covariance_type=structure, init_params="kmeans", random_state=0, check_maximum=True
        ).fit(rows)
    own = [each for each in caught if issubclass(each.category, CollapseWarning)]
    assert len(own) == 1
    assert cause in str(own[0].message)
    assert gm.outcome_.on_ridge == [each.component for each in gm.outcome_.diagnostics if cause in each.cause]
    assert "only because of reg_covar" in (gm.outcome_.certificate or "only because of reg_covar")


def test_well_conditioned_components_cause_no_collapse_warning() -> None:
    for structure in STRUCTURES:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CollapseWarning)
            assert GaussianMixture(3, covariance_type=structure, random_state=0).fit(IRIS).outcome_.on_ridge == []


def test_the_ridge_is_dropped_only_if_max_iter_leaves_enough_steps() -> None:
    rows, first = thin_groups(), fitted(thin_groups(), init_params="kmeans")
    n_ridged = sum(value < first.lower_bound_ - 1 for value in first.lower_bounds_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = [fitted(rows, init_params="kmeans", max_iter=n) for n in range(1, first.n_iter_ + 2)]
    assert [end.outcome_.is_ridge_dropped for end in ends] == sorted(end.outcome_.is_ridge_dropped for end in ends)
    assert all(end.n_iter_ <= n for n, end in enumerate(ends, 1))
    assert n_ridged < first.n_iter_
    assert ends[-1].outcome_ == first.outcome_


def test_the_ridge_is_dropped_with_warm_start_n_init_labels_and_other_options() -> None:
    rows = thin_groups()
    first = fitted(rows)
    again = GaussianMixture(2, random_state=0, warm_start=True).fit(rows).fit(rows)
    assert again.outcome_.is_ridge_dropped
    assert again.lower_bound_ == pytest.approx(first.lower_bound_, abs=1e-9)
    several = fitted(rows, n_init=5)
    assert several.outcome_.is_ridge_dropped
    assert several.outcome_.n_starts_at_best == 5
    certified = fitted(rows, tol="auto", max_iter=1000)
    assert certified.outcome_.is_maximum
    assert certified.outcome_.remaining_gain < 1e-4
    assert first.outcome_.n_moves_tried is not None
    labelled = GaussianMixture(2, random_state=0).fit(rows, labels=np.r_[np.zeros(5), np.full(390, -1), np.ones(5)])
    missing = rows.copy()
    missing[::50, 0] = np.nan
    for gm in labelled, fitted(missing), fitted(rows, noise=True):
        assert gm.outcome_.is_ridge_dropped


def test_partial_fit_keeps_the_automatic_ridge() -> None:
    gm = GaussianMixture(2, random_state=0).partial_fit(np.concatenate([thin_groups(seed) for seed in range(170)]))
    assert (gm._stream.state.ridge > 0).all()


def test_a_numeric_reg_covar_is_never_dropped() -> None:
    rows = thin_groups()
    assert not fitted(rows, reg_covar=1e-5).outcome_.is_ridge_dropped
    made = fit_many([rows, rows], 2, random_state=0, reg_covar=1e-5)
    assert np.array_equal(made[0].covariances, fitted(rows, reg_covar=1e-5).covariances_)
