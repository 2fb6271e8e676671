"""The laws of an engine's fast path: each of its steps is the step of the loop in Python, to rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaussmix.em.fast_path import FastPath
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import em_step
from gaussmix.em.maximise import initial_models
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.sources.base import Source
from gaussmix.starts.base import centre_parameters, nearest_centre
from gaussmix.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix.testing.problems import PROBLEMS

N_STEPS = 10
MANY = 12, 3  # components and features: more than a search tries axes of


@dataclass(frozen=True)
class Stepwise:
    """An engine that makes single steps only, as `engine` makes them."""

    engine: Engine[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def check_runner(engine: Engine[Any], family: Family, problem: str, ridge: float) -> None:
    """Let an engine and the loop in Python make the same steps, each from where the loop is.

    The factors that the engine returns have the bits of the family's own.

    Parameters
    ----------
    engine : one with a fast path.
    family : one with an algebra.
    problem : a name in `PROBLEMS`.
    ridge : as a part of the variances of the rows.

    Raises
    ------
    AssertionError : the engine leaves a step to Python, or makes another one; the message says which.
    """
    given = PROBLEMS[problem]
    check_steps(given.source, engine, given.start(family), Objective(ridge * given.rows.var(axis=0)), problem)


def check_steps(source: Source, engine: Engine[Any], mixture: Model, objective: Objective, problem: str) -> None:
    """Let an engine and the loop in Python make the same steps of any objective, each from where the loop is.

    Parameters
    ----------
    source : few rows.
    engine : one that makes steps.
    mixture : where to begin, of a family with an algebra.
    objective : what EM raises.
    problem : how to name the rows.

    Raises
    ------
    AssertionError : as `check_runner`.
    """
    fast = FastPath(source, engine, mixture.family, mixture.n_components, objective, Stopping(0.0, 1))
    rounding = _rounding(source.n_rows)
    for number in range(N_STEPS):
        moments, following, _ = em_step(source, engine, mixture, objective, {})
        found, course, objectives = fast.run(mixture, 0, -np.inf)
        what = f"{problem}, step {number + 1}"
        if len(course) != 1:
            raise AssertionError(f"{what}: the engine made {len(course)} steps, not 1")
        expected = moments.log_likelihood / moments.row_weight
        assert_close(course[0], expected, rounding, 10 + abs(expected), f"{what}: log-likelihood")
        expected += objective.log_prior(mixture) / moments.row_weight
        assert_close(objectives[0], expected, rounding, 10 + abs(expected), f"{what}: objective")
        _assert_same_mixture(found, following, rounding, what)
        expected_factors = replace(found.covariances).whitening
        assert_same_bits(found.whitening.factors, expected_factors.factors, f"{what}: factors")
        assert_same_bits(found.whitening.log_abs_det, expected_factors.log_abs_det, f"{what}: log |det| of factors")
        mixture = following


def check_first_step(engine: Engine[Any], family: Family, problem: str, ridge: float) -> None:
    """Let an engine and Python make the first M-step, of rows that go to the nearest of some centres.

    The engine makes it again, to the bit, where it is told which component is nearest.

    Parameters and errors are those of `check_runner`.
    """
    given = PROBLEMS[problem]
    source, objective = given.source, Objective(ridge * given.rows.var(axis=0))
    centres, slow = np.array(given.start(family).means), Stepwise(engine)
    moments, means = InitialMoments(source, slow, len(centres), nearest_centre(centres)).about_means(family.need(None))
    expected = initial_models(moments, family, objective, means)[0]
    fast = FastPath(source, engine, family, len(centres), objective, Stopping())
    block = source.whole
    assert block is not None, "few rows"
    nearest = engine.labels(block, centre_parameters(centres)).astype(np.int32)
    found, again = fast.begin(centres), fast.begin(nearest)
    if found is None or again is None:
        raise AssertionError(f"{problem}: the engine left the first step to Python")
    for each in "weights", "means":
        assert_same_bits(getattr(again, each), getattr(found, each), f"{problem}: {each}")
    assert_same_bits(again.covariances.array, found.covariances.array, f"{problem}: covariances")
    _assert_same_mixture(found, expected, _rounding(len(given.rows)), f"{problem}, first step")
    assert_same_bits(found.whitening.factors, replace(found.covariances).whitening.factors, f"{problem}: factors")


def _assert_same_mixture(found: Model, expected: Model, rounding: float, what: str) -> None:
    deviations = np.sqrt(expected.covariances.variances())
    assert_close(found.weights, expected.weights, rounding, 1.0, f"{what}: weights")
    assert_close(found.means, expected.means, rounding, np.abs(expected.means) + deviations, f"{what}: means")
    dense, other = (mixture.covariances.dense() for mixture in (found, expected))
    scale = deviations[:, :, None] * deviations[:, None, :]
    assert_close(dense, other, max(rounding, expected.family.accuracy), scale, f"{what}: covariances")


def _rounding(n_rows: int) -> float:
    """Sums of n numbers differ by √n ε, and some operations more are made with them."""
    return 8 * float(np.sqrt(n_rows)) * EPS
