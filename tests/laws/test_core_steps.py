"""Tests that EM steps of the C++ core equal steps of the loop in Python."""

from dataclasses import replace

import numpy as np
import pytest
from common import (
    ArraySource,
    FreezeReason,
    Model,
    Objective,
    StopReason,
    StopRule,
    assert_same_fit,
    checked,
    final_state,
)
from every_engine import ENGINES, Stepwise
from random_parameters import normal_and_equal_rows, unit_mixture
from sklearn.base import clone

from gaussmix import (
    FAMILIES,
    BayesianGaussianMixture,
    Full,
    GaussianMixture,
    Mixture,
    NormalInverseWishart,
    Restrictions,
)
from gaussmix._src.em.step import one_call
from gaussmix._src.em.step.core_steps import CoreSteps
from gaussmix._src.em.step.loop import em_step, run_em
from gaussmix._src.engines.complete import core_runs
from gaussmix._src.fit.fit import fit as fit_of
from gaussmix._src.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix.testing import PROBLEMS

SUPPORTED = {name: family for name, family in FAMILIES.items() if family.algebra is not None}
families = pytest.mark.parametrize("family", SUPPORTED.values(), ids=SUPPORTED)
problems = pytest.mark.parametrize("problem", PROBLEMS)
UNTIL_CONVERGED = StopRule(1e-6, 500)


N_STEPS = 10


def check_steps(source, engine, mixture, objective, problem):
    """Check that an engine and the loop in Python run the same steps up to rounding, each from the loop's state."""
    fast = CoreSteps(source, engine, mixture.family, mixture.n_components, objective, StopRule(0.0, 1))
    rounding = _rounding(source.n_rows)
    for number in range(N_STEPS):
        moments, following, _ = em_step(source, engine, mixture, objective, {})
        found, log_likelihoods, objectives = fast.run_steps(mixture, 0, -np.inf)
        what = f"{problem}, step {number + 1}"
        if len(log_likelihoods) != 1:
            raise AssertionError(f"{what}: the engine made {len(log_likelihoods)} steps, not 1")
        expected = moments.log_likelihood / moments.row_weight
        assert_close(log_likelihoods[0], expected, rounding, 10 + abs(expected), f"{what}: log-likelihood")
        expected += objective.log_prior(mixture) / moments.row_weight
        assert_close(objectives[0], expected, rounding, 10 + abs(expected), f"{what}: objective")
        _assert_same_mixture(found, following, rounding, what)
        expected_factors = replace(found.covariances).whitening
        assert_same_bits(found.whitening.factors, expected_factors.factors, f"{what}: factors")
        assert_same_bits(found.whitening.log_abs_det, expected_factors.log_abs_det, f"{what}: log |det| of factors")
        mixture = following


def _assert_same_mixture(found, expected, rounding, what):
    deviations = np.sqrt(expected.covariances.variances())
    assert_close(found.weights, expected.weights, rounding, 1.0, f"{what}: weights")
    assert_close(found.means, expected.means, rounding, np.abs(expected.means) + deviations, f"{what}: means")
    dense, other = (mixture.covariances.dense() for mixture in (found, expected))
    scale = deviations[:, :, None] * deviations[:, None, :]
    assert_close(dense, other, max(rounding, expected.family.accuracy), scale, f"{what}: covariances")


def _rounding(n_rows):
    """Return the allowed rounding: √n ε for sums of n numbers, times a factor for further operations."""
    return 8 * float(np.sqrt(n_rows)) * EPS


@pytest.fixture
def complete():
    return ENGINES["complete"](1)


class Counting(StopRule):
    """Subclass of the default stopping rule, which the C++ core must not replace."""


@pytest.mark.heavy(n_default=71)
@pytest.mark.pairwise
@pytest.mark.one_block
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@problems
@families
def test_core_steps_equal_the_python_loop(family, problem, ridge, complete):
    given = PROBLEMS[problem]
    check_steps(given.source, complete, given.start(family), Objective(ridge * given.rows.var(axis=0)), problem)


def with_missing_values(rows, rng):
    found = np.array(rows)
    found[rng.random(rows.shape) < 0.1] = np.nan
    return found


FIXED_WEIGHTS = {"prior": "default", "restrictions": Restrictions(fixed_weights=[1]), "weights_init": [0.3, 0.7]}
# Arguments of the estimator and of `fit` for a prior, noise, labels, or incomplete rows.
OPTIONS = {
    "prior": ({"prior": "default"}, {}),
    "prior of weights": ({"prior": NormalInverseWishart(weights=3.0, shrinkage=2.0)}, {}),
    "fixed weights": (FIXED_WEIGHTS, {}),
    "equal weights": (
        {"prior": NormalInverseWishart(shrinkage=2.0), "restrictions": Restrictions(equal_weights=True)},
        {},
    ),
    "noise": ({"noise": 0.3}, {}),
    "labels": ({}, {"labels": np.tile([-1, -1, 0, 1, -1], 30)}),
    "table of labels": ({"noise": 0.3}, {"labels": np.tile([[1.0, 0.2], [0.5, 1.0], [1.0, 1.0]], (50, 1))}),
    "labels and missing": ({"prior": "default"}, {"is_missing": True, "labels": np.tile([-1, -1, 0, 1, -1], 30)}),
    "missing": ({}, {"is_missing": True}),
    "errors": ({}, {"error": np.full((150, 3), 0.2)}),
    "matrices": ({}, {"error": np.broadcast_to(np.diag([0.3, 0.2, 0.1]) + 0.05, (150, 3, 3))}),
    "all": ({"prior": "default"}, {"is_missing": True, "error": np.full((150, 3), 0.2)}),
}


@pytest.mark.parametrize("case", OPTIONS)
@families
@pytest.mark.filterwarnings("ignore")
def test_core_steps_with_priors_noise_labels_or_incomplete_rows_equal_the_python_loop(family, case, rng):
    parameters, given = OPTIONS[case]
    rows = rng.normal(size=(150, 3)) + 2.5 * rng.integers(2, size=150)[:, None]
    rows = with_missing_values(rows, rng) if "is_missing" in given else rows
    estimator = GaussianMixture(2, covariance_type=family, max_iter=1, random_state=0, reg_covar=1e-3, **parameters)
    problem, plan = checked(estimator, rows, 30 * rng.random(150), given.get("labels"), given.get("error"))
    start = fit_of(problem, plan).final_state.model
    assert problem.source.is_incomplete is bool(given.keys() & {"is_missing", "error"})
    check_steps(problem.source, problem.engine, start, problem.objective, case)


@problems
@families
def test_a_run_of_the_core_ends_where_the_python_loop_ends(family, problem, complete):
    given = PROBLEMS[problem]
    ways = [
        final_state(run_em(given.source, engine, given.start(family), given.objective, UNTIL_CONVERGED))
        for engine in (complete, Stepwise(complete))
    ]
    (mixture, trace, stop_reason), (expected, other, expected_stop_reason) = ways
    assert trace.n_steps == other.n_steps
    assert stop_reason is expected_stop_reason
    # Rounding errors grow no faster than EM converges, so the ends differ by a small part of the tolerance.
    assert trace.log_likelihood == pytest.approx(other.log_likelihood, abs=UNTIL_CONVERGED.tolerance / 100)
    np.testing.assert_allclose(mixture.weights, expected.weights, atol=1e-6)


@pytest.mark.heavy(n_default=3)
@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["complete", "incomplete"])
@pytest.mark.parametrize(
    "estimator",
    [
        *(BayesianGaussianMixture(6, covariance_type=each) for each in ("full", "tied", "diag", "spherical")),
        *(GaussianMixture(4, covariance_type=each, max_iter=20) for each in ("full", "tied", "VVE")),
        GaussianMixture(4, init_params="kmeans", n_init=3, max_iter=20),
        GaussianMixture(5, init_params="kmeans", acceleration="auto", tol=1e-9, max_iter=60),
    ],
)
def test_the_time_limit_of_a_core_call_changes_no_bit_of_a_fit(estimator, missing, rng, monkeypatch):
    """The core returns earlier, after fewer steps, if other programs use the processor, too."""
    rows = np.concatenate([rng.normal(location, 1.0, size=(200, 3)) for location in (0.0, 3.0, 9.0)])
    rows[rng.random(rows.shape) < missing] = np.nan
    found = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(core_runs, "MAX_CALL_SECONDS", seconds)
        found.append(clone(estimator).set_params(random_state=0).fit(rows))
    assert_same_fit(*found)


@families
@pytest.mark.parametrize(("mean", "n_equal"), [(6.0, 12), (1e3, 0)], ids=["collapsing", "empty"])
def test_the_core_leaves_collapsed_and_empty_components_to_the_python_loop(family, mean, n_equal, complete, rng):
    """A component on equal rows and a component without rows must be frozen at the same step as in the loop."""
    rows, ridge = normal_and_equal_rows(rng, n_equal), np.zeros(2)
    start = unit_mixture(family, [[0.0, 0.0], [mean, mean]])
    ways = [
        final_state(run_em(ArraySource(rows), engine, start, Objective(ridge), StopRule(1e-9, 200)))
        for engine in (complete, Stepwise(complete))
    ]
    (mixture, trace, stop_reason), (expected, other, expected_stop_reason) = ways
    assert trace.frozen_components == other.frozen_components
    assert n_equal or trace.frozen_components == {1: FreezeReason.EMPTY}
    assert stop_reason is expected_stop_reason
    assert trace.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
    assert np.isfinite(mixture.covariances.each).all()
    assert np.isfinite(expected.covariances.each).all()


@families
def test_run_em_yields_a_state_after_each_core_call(family, complete, monkeypatch):
    given = PROBLEMS["separate"]
    monkeypatch.setattr(core_runs, "MAX_CALL_SECONDS", 0.0)
    states = list(run_em(given.source, complete, given.start(family), given.objective, UNTIL_CONVERGED))
    assert [state.trace.n_steps for state in states] == list(range(len(states)))
    assert [state.stop_reason for state in states] == [None] * (len(states) - 1) + [StopReason.CONVERGED]


def test_the_core_accepts_any_limit_on_the_number_of_steps(complete):
    given, full = PROBLEMS["separate"], FAMILIES["full"]
    stopping = StopRule(1e-6, 10**30)
    _, _, stop_reason = final_state(run_em(given.source, complete, given.start(full), given.objective, stopping))
    assert stop_reason is StopReason.CONVERGED


def test_the_core_accepts_initial_arrays_of_any_memory_layout(complete):
    given, full = PROBLEMS["overlapping"], FAMILIES["full"]
    start = given.start(full)
    each = replace(start.covariances, each=np.asfortranarray(start.covariances.each))
    turned = Model(start.weights, np.asfortranarray(start.means), each, full)
    ends = [
        final_state(run_em(given.source, complete, first, given.objective, StopRule(0.0, 5)))[0]
        for first in (start, turned)
    ]
    np.testing.assert_array_equal(ends[0].means, ends[1].means)
    np.testing.assert_array_equal(ends[0].covariances.each, ends[1].covariances.each)


class ShrunkFull(Full):
    """User-defined structure that inherits everything except its update."""

    algebra = None

    def update(self, scatter, current):
        best = super().update(scatter, current)
        return replace(best, each=0.9 * best.each)


def steps_of_engine(complete, rows, family, stopping):
    start = unit_mixture(family, [[0.0, 0.0], [1.0, 1.0]])
    return CoreSteps(ArraySource(rows), complete, family, 2, Objective(np.zeros(2)), stopping).run_steps(
        start, 0, -np.inf
    )[1]


@pytest.mark.one_block
def test_the_core_runs_only_supported_structures_and_stopping_rules(complete, rng):
    rows, full, stopping = rng.normal(size=(60, 2)), FAMILIES["full"], StopRule(0.0, 3)
    assert len(steps_of_engine(complete, rows, full, stopping)) == 3
    assert steps_of_engine(complete, rows, ShrunkFull(), stopping) == []
    assert steps_of_engine(complete, rows, full, Counting(0.0, 3)) == []
    assert steps_of_engine(Stepwise(complete), rows, full, stopping) == []


@pytest.mark.one_block
@pytest.mark.parametrize(
    ("n_features", "n_components", "dtype", "is_run_by_core"),
    [(8, 10, "f8", True), (8, 10, "f4", True), (16, 60, "f8", False), (513, 1, "f8", False)],
    ids=["sorting does not pay", "float32", "sorting may pay", "large covariances"],
)
def test_the_core_leaves_steps_that_may_sort_rows_to_the_python_loop(
    n_features, n_components, dtype, is_run_by_core, complete, rng, monkeypatch
):
    """The choice between core and loop must depend neither on the number of threads nor on the machine's speed."""
    monkeypatch.setattr(core_runs, "MAX_CALL_SECONDS", 1e9)
    rows = rng.normal(size=(9_000, n_features)).astype(dtype)
    family = FAMILIES["full"]
    unit = np.repeat(np.eye(n_features)[None], n_components, axis=0)
    start = Mixture(np.full(n_components, 1 / n_components), rows[:n_components].astype("f8"), unit, family)._model
    for engine in (complete, ENGINES["complete"](8)):
        objective, stopping = Objective(np.zeros(n_features)), StopRule(0.0, 2)
        fast = CoreSteps(ArraySource(rows), engine, family, n_components, objective, stopping)
        assert len(fast.run_steps(start, 0, -np.inf)[1]) == (2 if is_run_by_core else 0)


def test_vve_runs_in_one_core_call_consider_measurement_errors(monkeypatch, rng):
    """Runs of VVE from several initial axes in one core call must give the same lower bounds as the loop in Python."""
    n, axes = 200, np.linalg.qr(rng.normal(size=(3, 3)))[0]
    labels, sizes = rng.integers(3, size=n), np.array([[2, 1, 0.3], [0.3, 1, 1.5], [1, 0.4, 2]])
    X = 3.0 * np.eye(3)[labels] + (rng.normal(size=(n, 3)) * sizes[labels]) @ axes.T
    errors = np.exp(0.8 * rng.normal(size=(n, 3)))
    X += errors * rng.normal(size=(n, 3))
    gm = GaussianMixture(3, covariance_type="VVE", init_params="kmeans", random_state=0, max_iter=30)
    by_core = clone(gm).fit(X, X_error=errors)
    monkeypatch.setattr(one_call, "_run_in_core", lambda *arguments: {})
    np.testing.assert_allclose(by_core.lower_bounds_, clone(gm).fit(X, X_error=errors).lower_bounds_, rtol=1e-9)
