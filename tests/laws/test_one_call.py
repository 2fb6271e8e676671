"""Tests that fits in a single call of the engine are bit-identical to fits with separate calls."""

import warnings

import numpy as np
import pytest
from common import assert_same_fit

from gaussmix import FAMILIES, GaussianMixture
from gaussmix._src.em.step.one_call import MAX_ROWS_OF_ONE_CALL
from gaussmix._src.engines.calls import KMeansSettings
from gaussmix._src.engines.complete.engine import CompleteEngine

BY_CORE = [name for name, family in FAMILIES.items() if family.algebra and name not in ("EVE", "VVE")]
ALL_STEPS = {"tol": 0.0, "max_iter": 40}


@pytest.fixture
def calls(monkeypatch):
    """Return a list that records whether the engine completed each call for a fit."""
    answers, fit_many = [], CompleteEngine.fit_many

    def noted(self, groups, recipe):
        found = fit_many(self, groups, recipe)
        if is_from_the_start(recipe):
            answers.append(found is not None and found.run_history() is not None)
        return found

    monkeypatch.setattr(CompleteEngine, "fit_many", noted)
    return answers


def is_from_the_start(recipe):
    return isinstance(recipe.start, KMeansSettings) and recipe.em_settings.max_steps > 0


def without_starts(monkeypatch):
    """Make Python compute the initial centres of each fit."""
    fit_many = CompleteEngine.fit_many

    def from_centres(self, groups, recipe):
        return None if isinstance(recipe.start, KMeansSettings) else fit_many(self, groups, recipe)

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


def assert_law(rows, weight=None, **parameters):
    found, said = outcome(rows, weight, **parameters)
    with pytest.MonkeyPatch.context() as patch:
        without_starts(patch)
        expected, also_said = outcome(rows, weight, **parameters)
    assert said == also_said
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
def test_every_structure(name, init, table, calls):
    assert_law(table, covariance_type=name, init_params=init)
    assert calls == [True]


@pytest.mark.parametrize("seed", [8, 20, 41, 79])
@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_a_search_keeps_the_same_end(name, seed):
    """With few rows, the split-and-merge search and EM from its start end at nearly the same height."""
    rng, n_rows = np.random.default_rng(seed), (60, 300, 900)[seed % 3]
    rows = rng.normal(size=(n_rows, 3)) + 3 * rng.normal(size=(4, 3))[rng.integers(4, size=n_rows)]
    assert_law(rows * [1.0, 50.0, 0.01], n_components=4, covariance_type=name, init_params="search", random_state=3)


@pytest.mark.parametrize(
    "parameters",
    [{"reg_covar": 0.0}, {"reg_covar": 0.1}, {"max_iter": 1}, {"n_init": 3}, {"tol": 1e-9, "max_iter": 500}, ALL_STEPS,
     {"degenerate": "repair"}, {"n_components": 1}, {"verbose": 1}, {"n_jobs": 2}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fits_with_other_settings_have_the_bits_of_single_steps(parameters, dtype, table, calls):
    assert_law(table.astype(dtype), **parameters)
    assert calls == [True] * parameters.get("n_init", 1)


@pytest.mark.parametrize("scale", [1e-200, 0.01, 1e6])
def test_weights(scale, table, rng, calls):
    assert_law(table.round(), scale * rng.integers(0, 4, size=len(table)))
    assert calls == [True]


@pytest.mark.parametrize("name", BY_CORE)
def test_a_component_that_collapses_on_the_way_is_left_to_python(name, rng, calls):
    """Equal rows cause a collapse: the engine stops before this step, and Python continues from there."""
    rows = np.concatenate([rng.normal(size=(60, 2)), np.full((8, 2), 2.5), rng.normal(9, 1, size=(60, 2))])
    for degenerate in "freeze", "repair", "drop", "error":
        assert_law(
            rows, n_components=5, covariance_type=name, init_params="kmeans", reg_covar=0.0, degenerate=degenerate,
            **ALL_STEPS,
        )  # fmt: skip
    assert True in calls


def test_unusual_tables_are_left_to_python(table, rng, calls):
    constant, few = table.copy(), np.repeat(table[:2], 30, axis=0)
    constant[:, 1] = 4.0
    for rows in constant, few:
        assert_law(rows)
        assert_law(rows, n_init=2)
    missing = table.copy()
    missing[3, 1] = np.nan
    assert_law(missing)
    assert_law(np.tile(table, (MAX_ROWS_OF_ONE_CALL // len(table) + 1, 1)), max_iter=2)
    assert calls == [False] * 2 * 3
