"""Tests of accelerated runs: they end as high as EM, with far fewer passes if EM is slow, and equal EM otherwise."""

from dataclasses import replace

import numpy as np
import pytest
from common import EMState, FreezeReason, StopReason, StopRule, Trace, em_step, families, family_named, groups, run_em
from every_engine import ENGINES
from sklearn.datasets import load_wine

from gaussmix import FAMILIES
from gaussmix._src.em.step.acceleration import (
    MIN_STEPS,
    Acceleration,
    EMPath,
    _model_coordinates,
    _scale_by_information,
    is_accelerated,
)
from gaussmix._src.em.step.core_steps import CoreSteps
from gaussmix.testing import PROBLEMS, Problem

# Structures for which every change of the coordinates gives valid covariances of the structure.
free = pytest.mark.parametrize("name", ["full", "tied", "diag", "EEI", "spherical", "EII", "factor_analyzer"])


def states(case, family, engine, stopping, *, is_accelerated=True, **more):
    start = case.start(family)
    return list(run_em(case.source, engine, start, case.objective, stopping, is_accelerated=is_accelerated, **more))


def slow_mixture_with_two_features():
    """Return a problem with three overlapping components of different spread in two features."""
    rng = np.random.default_rng(2)
    labels = rng.integers(3, size=450)
    means = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    return Problem(means[labels] + rng.normal(size=(450, 2)) * [1.0, 3.0], None, labels.astype(np.int32))


def slow_factors():
    """Return the wine data, whose variance four factors explain almost completely."""
    rows = load_wine().data
    return Problem(rows, None, (rows[:, 12] > 700).astype(np.int32))


SLOW = {
    "a mixture": (groups("slow", 2000, 1, 3, distance=1.0, mislabelled=0.5), FAMILIES["full"], 3),
    "factors": (slow_factors(), family_named("factor_analyzer", n_factors=2), 8),
}


@families
def test_an_accelerated_run_never_lowers_the_objective(family, engine):
    run = states(PROBLEMS["overlapping"], family, engine, StopRule(0.0, 60))
    assert any(is_accelerated(state.trace) for state in run)
    objective = np.array(run[-1].trace.objective)
    assert len(objective) == 60
    assert (np.diff(objective) >= -1e-12 * np.abs(objective[:-1])).all()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if "max_condition" in family.get_params()])
def test_an_accelerated_run_keeps_max_condition(name, engine):
    bound = 1.7
    run = states(slow_mixture_with_two_features(), family_named(name, max_condition=bound), engine, StopRule(0.0, 60))
    assert any(is_accelerated(state.trace) for state in run)
    values = [np.linalg.eigvalsh(state.model.covariances.dense()) for state in run]
    assert max(each.max() / each.min() for each in values) <= bound * (1 + 1e-9)
    objective = np.array(run[-1].trace.objective)
    assert (np.diff(objective) >= -1e-12 * np.abs(objective[:-1])).all()


@pytest.mark.heavy
@pytest.mark.parametrize("case", SLOW)
def test_acceleration_of_slow_em_ends_as_high_in_far_fewer_passes(case):
    problem, family, ratio = SLOW[case]
    stopping = StopRule(1e-8, 5000)
    name = "complete" if case == "factors" else "reference"  # the core runs short steps faster than proposals
    engine = ENGINES[name](1)
    plain, fast = (states(problem, family, engine, stopping, is_accelerated=is_on)[-1] for is_on in (False, True))
    assert plain.stop_reason is fast.stop_reason is StopReason.CONVERGED
    assert fast.trace.last_objective >= plain.trace.last_objective
    assert plain.trace.n_steps > ratio * fast.trace.n_steps


@families
def test_acceleration_changes_no_bit_of_a_run_that_converges_fast(family, engine):
    problem, stopping = PROBLEMS["separate"], StopRule(1e-6, 200)
    plain, fast = (states(problem, family, engine, stopping, is_accelerated=is_on)[-1] for is_on in (False, True))
    assert fast.trace == plain.trace
    assert fast.stop_reason is plain.stop_reason
    assert fast.model.means.tobytes() == plain.model.means.tobytes()
    assert fast.model.covariances.array.tobytes() == plain.model.covariances.array.tobytes()


@pytest.mark.parametrize("name", ["full", "diag", "VEE", "factor_analyzer"])
def test_acceleration_does_not_depend_on_the_units_of_features(name):
    problem = groups("units", 600, 4, 3, distance=1.2, mislabelled=0.4)
    other = replace(problem, rows=problem.rows * 2.0 ** np.array([-9, 4, 0, 13]))
    engine = ENGINES["complete"](1)
    run, others = (states(each, FAMILIES[name], engine, StopRule(0.0, 40)) for each in (problem, other))
    assert [is_accelerated(state.trace) for state in others] == [is_accelerated(state.trace) for state in run]
    assert is_accelerated(run[-2].trace)
    shift = 8 * np.log(2.0)
    np.testing.assert_allclose(np.array(others[-1].trace.objective) + shift, run[-1].trace.objective, rtol=1e-8)


@pytest.mark.parametrize(
    "limit", [0, 1, MIN_STEPS, MIN_STEPS + 1, MIN_STEPS + 2, MIN_STEPS + 3, MIN_STEPS + 9, MIN_STEPS + 17]
)
def test_the_step_limit_of_an_accelerated_run_counts_passes(limit, engine):
    problem, family = SLOW["a mixture"][:2]
    *_, end = states(problem, family, engine, StopRule(0.0, limit))
    assert end.trace.n_steps == limit
    assert end.stop_reason is StopReason.STEP_LIMIT
    assert not end.trace.path_arrays
    moments, _, _ = em_step(problem.source, engine, end.model, problem.objective, {})
    assert limit == 0 or moments.log_likelihood / moments.row_weight >= end.trace.last_objective


def test_runs_with_frozen_components_are_not_accelerated(engine):
    problem, family = SLOW["a mixture"][:2]
    arguments = problem, family, engine, StopRule(0.0, 40)
    trace = Trace(frozen_components={1: FreezeReason.COLLAPSED})
    ends = [states(*arguments, is_accelerated=is_on, trace=trace) for is_on in (False, True)]
    assert not any(is_accelerated(state.trace) for state in ends[1])
    assert ends[0][-1].trace == ends[1][-1].trace


def acceleration_of(problem, family, engine, stopping):
    n_components = problem.start(family).n_components
    return Acceleration(CoreSteps(problem.source, engine, family, n_components, problem.objective, stopping))


def state_before_proposal(engine):
    """Return a state after which the next pass is at a proposal, and the acceleration of its run."""
    problem, family = SLOW["a mixture"][:2]
    stopping = StopRule(0.0, 60)
    run = states(problem, family, engine, stopping)
    proposed = (
        state
        for state in run
        if is_accelerated(state.trace) and EMPath.from_arrays(state.trace.path_arrays, family).proposal_length
    )
    return next(proposed), acceleration_of(problem, family, engine, stopping)


@pytest.mark.parametrize("what", ["lower", "not a number", "infinite", "frozen"])
def test_a_proposal_that_does_not_raise_the_objective_is_rejected(what, engine):
    before, acceleration = state_before_proposal(engine)
    path = EMPath.from_arrays(before.trace.path_arrays, before.model.family)
    value = {"lower": path.penalised_objective - 1e-9, "not a number": np.nan, "infinite": np.inf}.get(
        what, path.penalised_objective + 1
    )
    frozen = {0: FreezeReason.COLLAPSED} if what == "frozen" else {}
    bad = Trace((*before.trace.log_likelihood, value), (*before.trace.objective, value), frozen)
    stop_reason = None if np.isfinite(value) else StopReason.NON_FINITE
    after = acceleration.choose_next_state(before, EMState(before.model, bad, stop_reason))
    assert after.stop_reason is None
    assert after.trace.n_steps == before.trace.n_steps + 1
    assert after.trace.last_objective == before.trace.last_objective
    assert not after.trace.frozen_components
    assert after.model.means.tobytes() == path.model_after.means.tobytes()
    assert after.model.covariances.array.tobytes() == path.model_after.covariances.array.tobytes()
    remaining = EMPath.from_arrays(after.trace.path_arrays, before.model.family)
    assert remaining.proposal_length == 0 < remaining.max_length < path.proposal_length


@free
def test_an_em_step_equals_the_scaled_gradient_to_first_order(name, rng):
    """Check that a step equals the scaled gradient to first order, because L-BFGS relies on this property."""
    problem, engine = groups("gradient", 1500, 4, 2, distance=1.0, mislabelled=0.4), ENGINES["reference"](1)
    objective = problem.objective
    acceleration, after = acceleration_of(problem, FAMILIES[name], engine, StopRule()), problem.start(FAMILIES[name])
    residual = np.ones(1)
    while residual @ residual > 1e-5:
        model = after
        _, after, _ = em_step(problem.source, engine, model, objective, {})
        point = _model_coordinates(model)
        residual = _scale_by_information((_model_coordinates(after) - point)[None], model)[0]
    for _ in range(5):
        change = rng.normal(size=len(point))
        change[: model.n_components] -= model.weights @ change[: model.n_components]  # because weights sum to 1
        length = _scale_by_information(change[None], model)[0]
        change *= 1e-4 / np.sqrt(length @ length)
        ends = [acceleration._model_from_coordinates(point + sign * change, model) for sign in (1, -1)]
        likelihoods = [em_step(problem.source, engine, end, objective, {})[0].log_likelihood for end in ends]
        slope = (likelihoods[0] - likelihoods[1]) / (2 * len(problem.rows))
        expected = residual @ length * (1e-4 / np.sqrt(length @ length))
        assert slope == pytest.approx(expected, abs=0.05 * 1e-4 * np.sqrt(residual @ residual))
