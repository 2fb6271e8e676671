"""A run that goes on from the model and the trace of a state of another run ends as that one, to the bit."""

from functools import partial

import numpy as np
import pytest
from every_engine import ENGINES

import gaussmix.engines.native.run
from gaussmix.em.acceleration import FIRST, Acceleration, has_path
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import Frozen, Trace
from gaussmix.families import FAMILIES
from gaussmix.mixture.mixture import Mixture
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.testing.problems import groups


def through_numbers(state):
    """Model and trace of nothing but numbers, as a file has them."""
    model, trace = state.model, state.trace
    arrays = [np.array(each) for each in (model.weights, model.means, model.covariances.array)]
    covariances = model.family.covariances(arrays[2], *model.means.shape)
    memory = {name: np.array(array, dtype=np.float64) for name, array in trace.memory.items()}
    again = Trace(list(trace.log_likelihood), list(trace.objective), dict(trace.frozen), memory)
    return Model(arrays[0], arrays[1], covariances, model.family), again


def assert_same_end(found, expected):
    assert found.outcome is expected.outcome
    assert list(found.trace.log_likelihood) == list(expected.trace.log_likelihood)
    assert list(found.trace.objective) == list(expected.trace.objective)
    assert found.trace.frozen == expected.trace.frozen
    for name in ("weights", "means"):
        np.testing.assert_array_equal(getattr(found.model, name), getattr(expected.model, name))
    np.testing.assert_array_equal(found.model.covariances.array, expected.model.covariances.array)


def assert_resumes(rows, engine, model, objective, stopping, most=8, *, is_accelerated=False):
    """A run ends the same from its states; returns these."""
    run = partial(run_em, ArraySource(rows), engine, is_accelerated=is_accelerated)
    states = list(run(model, objective, stopping))
    for state in states[: most + 1]:
        if state.outcome is None:
            begun, trace = through_numbers(state)
            *_, end = run(begun, objective, stopping, trace=trace)
            assert_same_end(end, states[-1])
    return states


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_structure_goes_on_between_any_two_steps(name, engine, monkeypatch):
    monkeypatch.setattr(gaussmix.engines.native.run, "SECONDS", 0.0)  # one step in each call of the core
    given = groups("resuming", 200, 3, 3, apart=1.5)
    states = assert_resumes(
        given.rows, engine(1), given.start(FAMILIES[name]), given.objective, Stopping(1e-7, 10), most=6
    )
    assert len(states) > 6


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EVE", "factor_analyzer"])
def test_an_accelerated_run_goes_on_between_any_two_passes(name, engine, monkeypatch):
    monkeypatch.setattr(Acceleration, "_is_slow", lambda _, state: state.trace.n_steps >= FIRST)
    given = groups("accelerated", 200, 3, 3, apart=1.0, strangers=0.4)
    states = assert_resumes(
        given.rows, engine(1), given.start(FAMILIES[name]), given.objective, Stopping(0.0, 36), 36, is_accelerated=True
    )
    assert sum(has_path(state.trace) for state in states) > 10


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_frozen_components_stay_frozen(engine, rng):
    rows = np.concatenate([np.full((5, 2), 7.0), rng.normal(size=(300, 2))])
    covariances = np.array([1e-6 * np.eye(2), np.eye(2), np.eye(2)])
    means = np.array([[7.0, 7.0], [-1.0, 0.0], [1.0, 0.0]])
    model = Mixture(np.array([0.02, 0.49, 0.49]), means, covariances, FAMILIES["full"]).model
    states = assert_resumes(rows, engine(1), model, Objective(np.zeros(2)), Stopping(1e-9, 12), most=6)
    assert states[-1].trace.frozen == {0: Frozen.COLLAPSED}
    assert any(state.trace.frozen and state.outcome is None for state in states[:6])


def test_a_run_that_was_long_enough_makes_no_step():
    given = groups("resuming", 200, 3, 3, apart=1.5)
    engine, start = ENGINES["numpy"](1), given.start(FAMILIES["full"])
    *_, end = run_em(given.source, engine, start, given.objective, Stopping(0.0, 3))
    (again,) = run_em(given.source, engine, end.model, given.objective, Stopping(0.0, 3), trace=end.trace)
    assert_same_end(again, end)
