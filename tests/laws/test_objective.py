"""What EM raises beside the likelihood: the ridge, and a prior as somebody may add one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gaussmix.em.best_of import best_run
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace, final
from gaussmix.errors import Outcome
from gaussmix.families import FAMILIES
from gaussmix.testing import PROBLEMS
from gaussmix.waist.need import Second


@dataclass(frozen=True)
class InverseWishart(Objective):
    """A prior p(Σ) ∝ |Σ|^(−ν/2) exp(−λ/2 tr Σ⁻¹) for each free covariance; Fraley & Raftery (2007).

    Parameters
    ----------
    spread : λ, data units².
    degrees : ν.
    """

    spread: float
    degrees: float

    def constrain(self, weights, means, scatter):
        times = 1 / len(weights) if scatter.need.pooled else 1.0  # once, or for each component
        added = {
            Second.FULL: self.spread * np.eye(len(self.ridge)),
            Second.DIAGONAL: np.full(len(self.ridge), self.spread),
            Second.TRACE: self.spread * len(self.ridge),
        }[scatter.need.second]
        return (
            weights,
            means,
            replace(scatter, degrees=scatter.degrees + times * self.degrees, second=scatter.second + added),
        )

    def log_prior(self, model):
        free = model.covariances.dense()[: 1 if model.covariances.is_shared else None]
        traces = np.trace(np.linalg.inv(free), axis1=1, axis2=2)
        return -0.5 * float((self.degrees * np.linalg.slogdet(free)[1] + self.spread * traces).sum())


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "factor_analyzer"])
def test_a_prior_is_an_objective_and_no_family_knows_of_it(name, engine):
    """No step lowers log-likelihood + log prior; the end is less likely than that of EM without the prior."""
    given, family = PROBLEMS["overlapping"], FAMILIES[name]
    prior, n_rows, objectives = InverseWishart(np.zeros(given.rows.shape[1]), 30.0, 40.0), len(given.rows), []
    for raised in prior, given.objective:
        *_, before, end = run_em(given.source, engine, given.start(family), raised, Stopping(0.0, 100))
        assert np.diff(end.trace.objective).min() > -1e-10
        added = end.trace.last - end.trace.log_likelihood[-1]
        assert added == pytest.approx(raised.log_prior(before.model) / n_rows, rel=1e-9)
        objectives.append((end.trace.log_likelihood[-1], prior.log_prior(end.model) / n_rows))
    (likelihood, of_prior), (greatest, other) = objectives
    assert likelihood < greatest
    assert likelihood + of_prior > greatest + other


def test_the_objective_decides_when_to_stop_and_which_run_is_kept(engine):
    given, family = PROBLEMS["overlapping"], FAMILIES["full"]
    prior = InverseWishart(np.zeros(given.rows.shape[1]), 30.0, 40.0)
    end = final(run_em(given.source, engine, given.start(family), prior, Stopping(1e-6, 500)))
    assert end.outcome is Outcome.CONVERGED
    assert abs(np.diff(end.trace.objective)[-1]) < 1e-6 <= abs(np.diff(end.trace.objective)[:-1]).min()
    likely, high = (State(end.model, Trace((one,), (other,))) for one, other in ((-1.0, -9.0), (-2.0, -8.0)))
    assert best_run([[likely], [high]]) is high


def test_who_stops_iterating_stops_em(engine):
    given, family = PROBLEMS["overlapping"], FAMILIES["full"]
    states = run_em(
        given.source, engine, given.start(family), InverseWishart(np.zeros(3), 1.0, 1.0), Stopping(0.0, 10**9)
    )
    seen = [state for state, _ in zip(states, range(4), strict=False)]
    assert [state.trace.n_steps for state in seen] == [0, 1, 2, 3]  # earlier states stay as they were
    assert {state.outcome for state in seen} == {None}
