"""The laws of an engine's fast path: each of its steps is the step of the loop in Python, to rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaussmix.covariances import Covariances
from gaussmix.em.fast_path import FastPath
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import em_step
from gaussmix.em.maximise import initial_models
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Runner
from gaussmix.errors import SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.starts.base import centre_parameters, nearest_centre
from gaussmix.starts.kmeans import spread_centres
from gaussmix.starts.sample import distinct_rows
from gaussmix.testing.check_family import SHAPES, as_needed, random_scatters
from gaussmix.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix.testing.problems import PROBLEMS
from gaussmix.waist.need import Second

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


def check_spread(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Let the core and Python choose the same rows far from each other, by the same random numbers."""
    for n_rows, n_features, n_components in [(1, 1, 1), (7, 1, 3), (100, 3, 4), (700, 2, 9), (40, 20, 30), (30, 1, 20)]:
        rows = rng.normal(size=(n_rows, n_features)).round(1)  # of one feature, too few are distinct
        for weight in None, 1.0 + rng.integers(4, size=n_rows).astype(np.float64):
            sample, engines = distinct_rows(ArraySource(rows, weight)), (engine, Stepwise(engine))
            chosen = [spread_centres(sample, by, n_components, np.random.default_rng(n_rows)) for by in engines]
            what = f"{n_components} of {len(sample.rows)} distinct rows, {'no ' if weight is None else ''}weights"
            assert_same_bits(chosen[0], chosen[1], what)


def check_first_step(engine: Engine[Any], family: Family, problem: str, ridge: float) -> None:
    """Let an engine and Python make the first M-step, of rows that go to the nearest of some centres.

    The engine makes it again, to the bit, where it is told which component is nearest.

    Parameters and errors are those of `check_runner`.
    """
    given = PROBLEMS[problem]
    source, objective = given.source, Objective(ridge * given.rows.var(axis=0))
    centres, slow = np.array(given.start(family).means), Stepwise(engine)
    moments, means = InitialMoments(source, slow, len(centres), nearest_centre(centres)).about_means(family.need(None))
    expected = initial_models(moments, family, slow, objective, means)[0]
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


def check_update(engine: Runner, family: Family, rng: np.random.Generator) -> None:
    """Let an engine and a family with an algebra make covariances of the same scatters, at first and from the last."""
    assert family.algebra is not None, "a family without an algebra is never passed to an engine"
    for n_components, n_features in [*SHAPES, MANY]:
        what = f"covariances of {n_components} × {n_features}"
        current: Covariances | None = None
        for number in range(3):
            mass, full = random_scatters(rng, n_components, n_features)
            scatter = as_needed(family, mass, full)
            expected = family.update(scatter, current)
            found = engine.update(family.algebra, scatter, None if current is None else current.array)
            # Each element is a sum of K d² products at most, whose factors are of the size of the variances.
            tolerance = max(8 * n_components * n_features**2 * EPS, family.accuracy)
            assert_close(found, expected.array, tolerance, np.abs(expected.each).max(), f"{what}, update {number}")
            current = expected


def check_singular_update(engine: Runner, family: Family, rng: np.random.Generator) -> None:
    """Scatters without a Cholesky factor make covariances without one, in the engine and in the family."""
    assert family.algebra is not None, "a family without an algebra is never passed to an engine"
    for n_components, n_features in SHAPES:
        mass, full = random_scatters(rng, n_components, n_features)
        full[:, 0, :] = full[:, :, 0] = 0.0
        if family.need(None).second is Second.TRACE:
            full[:] = 0.0
        scatter = as_needed(family, mass, full)
        by_engine = family.covariances(engine.update(family.algebra, scatter, None), *scatter.shape)
        for made in by_engine, family.update(scatter, None):
            try:
                _ = made.whitening
            except SingularCovariance:
                continue
            raise AssertionError(f"{n_components} × {n_features}: singular scatters, but factors of the covariances")


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
