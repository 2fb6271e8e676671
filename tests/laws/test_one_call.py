"""Tests that fits in a single call of the engine are bit-identical to fits with separate calls."""

import warnings

import numpy as np
import pytest
from common import CompleteEngine, assert_same_fit

from gaussmix import FAMILIES, GaussianMixture
from gaussmix._src.em.step.one_call import MAX_ROWS_OF_ONE_CALL
from gaussmix._src.engines.calls import KMeansSettings

BY_CORE = [name for name, family in FAMILIES.items() if family.algebra and name not in ("EVE", "VVE")]
ALL_STEPS = {"tol": 0.0, "max_iter": 40}


@pytest.fixture
def calls(monkeypatch):
    """Return a list that records whether the engine completed each call for a fit."""
    completed, fit_many = [], CompleteEngine.fit_many

    def recorded(self, groups, settings):
        found = fit_many(self, groups, settings)
        if isinstance(settings.start, KMeansSettings) and settings.em_settings.max_steps > 0:
            completed.append(found is not None and found.run_history() is not None)
        return found

    monkeypatch.setattr(CompleteEngine, "fit_many", recorded)
    return completed


def without_initialisation(monkeypatch):
    """Make Python compute the initial centres of each fit."""
    fit_many = CompleteEngine.fit_many

    def from_centres(self, groups, settings):
        return None if isinstance(settings.start, KMeansSettings) else fit_many(self, groups, settings)

    monkeypatch.setattr(CompleteEngine, "fit_many", from_centres)


@pytest.fixture
def table(rng):
    return rng.normal(size=(380, 3)) + 3 * rng.normal(size=(3, 3))[rng.integers(3, size=380)]


def outcome(rows, weight=None, **parameters):
    """Return the fitted estimator or the error message, and all warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = GaussianMixture(**{"n_components": 3, "random_state": 5, "init_params": "kmeans"} | parameters).fit(
                rows, sample_weight=weight
            )
        except ValueError as error:
            found = str(error)
    return found, [str(each.message) for each in caught]


def assert_same(rows, weight=None, **parameters):
    """Check that a fit equals the same fit in separate calls of the engine, and has the same warnings or errors."""
    found, messages = outcome(rows, weight, **parameters)
    with pytest.MonkeyPatch.context() as patch:
        without_initialisation(patch)
        expected, expected_messages = outcome(rows, weight, **parameters)
    assert messages == expected_messages
    if isinstance(expected, str):
        assert found == expected
        return
    assert_same_fit(found, expected)
    for name in "outcome_", "converged_":
        assert repr(getattr(found, name)) == repr(getattr(expected, name)), name
    assert found.outcome_.traces == expected.outcome_.traces
    assert found.score(rows) == expected.score(rows)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "search"])
@pytest.mark.parametrize("name", BY_CORE)
def test_every_structure_has_the_same_bits_in_one_engine_call(name, init, table, calls):
    assert_same(table, covariance_type=name, init_params=init)
    assert calls == [True]


@pytest.mark.parametrize("seed", [8, 20, 41, 79])
@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_a_search_in_one_engine_call_ends_with_the_same_bits(name, seed):
    """Check few rows, for which EM with and without a split-and-merge search ends at nearly the same height."""
    rng, n_rows = np.random.default_rng(seed), (60, 300, 900)[seed % 3]
    rows = rng.normal(size=(n_rows, 3)) + 3 * rng.normal(size=(4, 3))[rng.integers(4, size=n_rows)]
    assert_same(rows * [1.0, 50.0, 0.01], n_components=4, covariance_type=name, init_params="search", random_state=3)


@pytest.mark.parametrize(
    "parameters",
    [{"reg_covar": 0.0}, {"reg_covar": 0.1}, {"max_iter": 1}, {"n_init": 3}, {"tol": 1e-9, "max_iter": 500}, ALL_STEPS,
     {"degenerate": "repair"}, {"n_components": 1}, {"verbose": 1}, {"n_jobs": 2}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fits_with_other_settings_have_the_same_bits_in_one_engine_call(parameters, dtype, table, calls):
    assert_same(table.astype(dtype), **parameters)
    assert calls == [True] * parameters.get("n_init", 1)


@pytest.mark.parametrize("scale", [1e-200, 0.01, 1e6])
def test_weighted_fits_have_the_same_bits_in_one_engine_call(scale, table, rng, calls):
    assert_same(table.round(), scale * rng.integers(0, 4, size=len(table)))
    assert calls == [True]


@pytest.mark.parametrize("name", BY_CORE)
def test_the_engine_leaves_components_that_collapse_to_python(name, rng, calls):
    """Equal rows cause a collapse: the engine stops before this step, and Python continues from there."""
    rows = np.concatenate([rng.normal(size=(60, 2)), np.full((8, 2), 2.5), rng.normal(9, 1, size=(60, 2))])
    for degenerate in "freeze", "repair", "drop", "error":
        assert_same(
            rows, n_components=5, covariance_type=name, init_params="kmeans", reg_covar=0.0, degenerate=degenerate,
            **ALL_STEPS,
        )  # fmt: skip
    assert True in calls


def test_the_engine_leaves_unusual_tables_to_python(table, calls):
    constant, few = table.copy(), np.repeat(table[:2], 30, axis=0)
    constant[:, 1] = 4.0
    for rows in constant, few:
        assert_same(rows)
        assert_same(rows, n_init=2)
    missing = table.copy()
    missing[3, 1] = np.nan
    assert_same(missing)
    assert_same(np.tile(table, (MAX_ROWS_OF_ONE_CALL // len(table) + 1, 1)), max_iter=2)
    assert calls == [False] * 2 * 3
