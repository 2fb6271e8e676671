"""A run that goes on from the model and the trace of a state of another run ends as that one, to the bit."""

from functools import partial

import numpy as np
import pytest
from common import ArraySource, Model, Stopping, Trace, run_em
from every_engine import Stepwise

from gaussmix import FAMILIES
from gaussmix.em.step.acceleration import has_path
from gaussmix.engines.complete.engine import CompleteEngine
from gaussmix.testing.problems import groups

STEPWISE = Stepwise(CompleteEngine(1))


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


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_structure_goes_on_between_any_two_steps(name):
    given = groups("resuming", 200, 3, 3, apart=1.5)
    states = assert_resumes(
        given.rows, STEPWISE, given.start(FAMILIES[name]), given.objective, Stopping(1e-7, 10), most=6
    )
    assert len(states) > 6


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["full", "diag", "spherical", "EVE", "factor_analyzer"])
def test_an_accelerated_run_goes_on_between_any_two_passes(name):
    given = groups("accelerated", 200, 3, 3, apart=1.0, strangers=0.4)
    states = assert_resumes(
        given.rows, STEPWISE, given.start(FAMILIES[name]), given.objective, Stopping(0.0, 80), 80, is_accelerated=True
    )
    assert sum(has_path(state.trace) for state in states) > 10


def test_a_run_that_was_long_enough_makes_no_step():
    given = groups("resuming", 200, 3, 3, apart=1.5)
    engine, start = STEPWISE, given.start(FAMILIES["full"])
    *_, end = run_em(given.source, engine, start, given.objective, Stopping(0.0, 3))
    (again,) = run_em(given.source, engine, end.model, given.objective, Stopping(0.0, 3), trace=end.trace)
    assert_same_end(again, end)
