"""Tests of `best_run`, which selects one of several runs of EM."""

import numpy as np
import pytest
from common import EMState, FreezeReason, StopReason, Trace

from gaussmix import FAMILIES, Mixture, SingularCovarianceError
from gaussmix._src.em.step.best_of import best_run
from gaussmix._src.errors import NonFiniteLikelihood

MODEL = Mixture(np.ones(1), np.zeros((1, 1)), np.ones(1), FAMILIES["spherical"])._model


def ends(*objective, stop_reason=StopReason.CONVERGED, frozen=None):
    """Return the states of a run that ends with these values."""
    trace = Trace(objective, objective, frozen or {})
    return [EMState(MODEL, Trace()), EMState(MODEL, trace, stop_reason)]


class FailingRun:
    """Run that fails because a covariance is singular."""

    def __iter__(self):
        raise SingularCovarianceError([1])


NOT_FINITE = ends(float("nan"), stop_reason=StopReason.NON_FINITE)


def test_best_run_has_the_largest_objective_and_is_the_first_of_equal_runs():
    runs = [ends(-3.0), ends(-9.0, -1.0), ends(-1.0), ends(-2.0)]
    assert best_run(runs).trace.objective == (-9.0, -1.0)


def test_best_run_ignores_differences_within_rounding():
    assert best_run([ends(-3.0), ends(-3.0 + 1e-14)]).trace.last_objective == -3.0
    assert best_run([ends(-3e9), ends(-3e9 + 1e-6)]).trace.last_objective == -3e9
    assert best_run([ends(-3e9), ends(-3e9 + 0.5)]).trace.last_objective > -3e9


@pytest.mark.parametrize("shift", [0.0, -3.0, 90.0])
def test_best_run_compares_runs_alike_in_other_units(shift):
    """Other units shift all objectives by the same number."""
    assert best_run([ends(shift), ends(shift + 0.9e-8)]).trace.last_objective == shift
    assert best_run([ends(shift), ends(shift + 1.1e-8)]).trace.last_objective > shift


@pytest.mark.parametrize("bad", [FailingRun(), NOT_FINITE])
@pytest.mark.parametrize("order", [1, -1])
def test_best_run_is_never_a_failed_run(bad, order):
    assert best_run([bad, ends(-5.0)][::order]).trace.last_objective == -5.0


@pytest.mark.parametrize(("bad", "error"), [(FailingRun(), SingularCovarianceError), (NOT_FINITE, NonFiniteLikelihood)])
def test_best_run_raises_the_last_error_if_all_runs_fail(bad, error):
    with pytest.raises(error):
        best_run([ends(float("nan"), stop_reason=StopReason.NON_FINITE), bad])


def test_best_run_without_steps_is_the_first_run():
    first, second = ends(stop_reason=StopReason.STEP_LIMIT), ends(stop_reason=StopReason.STEP_LIMIT)
    assert best_run([first, second]) is first[-1]


def test_best_run_has_a_collapsed_component_only_if_all_runs_have_one():
    converged, empty = ends(-9.0), ends(-8.0, frozen={0: FreezeReason.EMPTY})
    collapsed = ends(-1.0, frozen={0: FreezeReason.COLLAPSED})
    assert best_run([collapsed, converged, empty]).trace.last_objective == -8.0
    assert best_run([collapsed]).trace.last_objective == -1.0


def test_best_run_compares_the_objective_and_not_the_likelihood():
    likely, high = (EMState(MODEL, Trace((one,), (other,))) for one, other in ((-1.0, -9.0), (-2.0, -8.0)))
    assert best_run([[likely], [high]]) is high
