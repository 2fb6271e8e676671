"""When EM ends."""

from __future__ import annotations

from gaussmix import GaussianMixture
from gaussmix.em.stopping import Stopping
from gaussmix.errors import Outcome


def test_a_tolerance_of_0_is_never_met() -> None:
    assert Stopping(0.0, 9).outcome(3, -1.5, -1.5) is None
    assert Stopping(0.0, 9).outcome(9, -1.5, -1.5) is Outcome.STEP_LIMIT
    assert Stopping(1e-9, 9).outcome(3, -1.5, -1.5) is Outcome.CONVERGED


def test_the_defaults_are_those_of_the_estimator() -> None:
    assert (Stopping().tolerance, Stopping().max_steps) == (GaussianMixture().tol, GaussianMixture().max_iter)
