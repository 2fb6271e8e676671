"""The laws of EM as a whole, for any family and engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix._src.covariances import LowRank
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, final_state
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.engines.base import Engine
from gaussmix._src.families.base import Equivariance, Family
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.testing.closeness import EPS, assert_close
from gaussmix._src.testing.problems import PROBLEMS, Problem

N_STEPS = 20


def fit(
    problem: Problem, family: Family, engine: Engine[Any], n_steps: int = N_STEPS, start: Model | None = None
) -> EMState:
    """So many steps of EM from the problem's labels, or from a mixture, without a ridge."""
    stopping = StopRule(0.0, n_steps)
    start = problem.start(family) if start is None else start
    return final_state(run_em(problem.source, engine, start, problem.objective, stopping))


def check_monotone(family: Family, engine: Engine[Any], problem: str) -> None:
    """No step lowers the likelihood, up to rounding, and no number is NaN.

    Parameters
    ----------
    family, engine : any.
    problem : a name in `PROBLEMS`.

    Raises
    ------
    AssertionError : a step lowered the mean log-likelihood; the message says which.
    """
    rows = PROBLEMS[problem].rows
    mixture, trace, _ = fit(PROBLEMS[problem], family, engine)
    history = np.array(trace.log_likelihood)
    # Rows are off by ε of their size, which shifts log densities by at most as much in standard deviations.
    deviations = np.sqrt(mixture.covariances.variances()).min(axis=0)
    rounding = (8 * np.abs(history).max() + 8 * (np.abs(rows).max(axis=0) / deviations).max()) * EPS
    # Elements of Σ are off by ε of their size, and that is not a motion within the structure, where likelihoods are
    # level. Of Σ_jj (Σ⁻¹)_jj a log density has as many times the relative error of Σ.
    inflation = mixture.covariances.variances() * mixture.whitening.precision_diagonals()
    rounding += EPS * rows.shape[1] * float(inflation.max())
    drops = np.flatnonzero(np.diff(history) < -rounding)
    if drops.size:
        step = int(drops[0])
        raise AssertionError(
            f"{problem}: step {step + 1} lowers the mean log-likelihood by {-np.diff(history)[step]:.3g}"
        )
    numbers = {"weights": mixture.weights, "means": mixture.means, "covariances": mixture.covariances.each}
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise AssertionError(f"{problem}: {name} are not finite")


def check_relabelling(family: Family, engine: Engine[Any], problem: str) -> None:
    """Components in another order at the start come in that order at the end.

    Parameters and errors are those of `check_monotone`.
    """
    problem_data = PROBLEMS[problem]
    order = np.roll(np.arange(problem_data.n_components), 1)
    turned = replace(problem_data, labels=order.astype(np.int32)[problem_data.labels])
    expected, trace, outcome = fit(problem_data, family, engine)
    actual = fit(turned, family, engine)
    permuted = expected.take(np.argsort(order))  # component k becomes component order[k]
    _assert_same_fit(actual, EMState(permuted, trace, outcome), problem_data.rows, problem)


def check_equivariance(family: Family, engine: Engine[Any], rng: np.random.Generator) -> None:
    """Rows moved by a map that the family declares: the fit from the same labels moves along.

    From the same mixture, moved, where labels alone make none: factors start in directions that are fixed.

    Parameters
    ----------
    family, engine : any.
    rng : draws the map.

    Raises
    ------
    AssertionError : weights, means, covariances or likelihoods do not follow the map.
    """
    problem_data = PROBLEMS["overlapping"]
    n_features = problem_data.rows.shape[1]
    matrix, shift = random_map(family.equivariance, n_features, rng), np.asarray(rng.normal(size=n_features))
    mapped = replace(problem_data, rows=problem_data.rows @ matrix.T + shift)
    before, trace, _ = fit(problem_data, family, engine)
    after, mapped_trace, _ = fit(mapped, family, engine, start=_mapped_start(problem_data.start(family), matrix, shift))
    condition = float(np.linalg.cond(matrix)) ** 2
    tolerance = max(_rounding(problem_data.rows) * condition, family.accuracy)
    what = family.equivariance.value
    assert_close(after.weights, before.weights, tolerance, 1.0, f"weights under {what}")
    size = np.abs(after.means).max() + np.abs(mapped.rows).max()
    assert_close(after.means, before.means @ matrix.T + shift, tolerance, size, f"means under {what}")
    dense, expected = (m.covariances.dense() for m in (after, before))
    expected = matrix @ expected @ matrix.T
    assert_close(dense, expected, tolerance, np.abs(expected).max(), f"covariances under {what}")
    lower = np.array(trace.log_likelihood) - np.linalg.slogdet(matrix)[1]
    assert_close(mapped_trace.log_likelihood, lower, tolerance, 1 + np.abs(lower), f"log-likelihoods under {what}")


def _mapped_start(start: Model, matrix: Array, shift: Array) -> Model | None:
    """Factor analysers under a map of their own; None for what labels make, which then moves by itself."""
    if not isinstance(start.covariances, LowRank):
        return None
    last = start.covariances
    mapped = LowRank.from_loadings(
        matrix @ last.loadings, last.noise @ (matrix**2).T, last.n_components, last.is_shared
    )
    return Model(start.weights, start.means @ matrix.T + shift, mapped, start.family)


def random_map(equivariance: Equivariance, n_features: int, rng: np.random.Generator) -> Array:
    """An invertible matrix (n_features, n_features) of the kind."""
    if equivariance is Equivariance.SCALING:
        return np.diag(rng.choice([-1.0, 1.0], n_features) * rng.uniform(0.2, 5.0, n_features))
    if equivariance is Equivariance.ONE_FACTOR:
        return np.asarray(-3.0 * np.eye(n_features))
    matrix = rng.normal(size=(n_features, n_features))
    if equivariance is Equivariance.SIMILARITY:
        return 3.0 * np.linalg.qr(matrix)[0]
    return matrix + 2 * np.eye(n_features)


def _assert_same_fit(actual: EMState, expected: EMState, rows: Array, what: str) -> None:
    (mixture, trace, _), (expected_mixture, expected_trace, _) = actual, expected
    tolerance = max(_rounding(rows), expected_mixture.family.accuracy)
    assert_close(
        trace.log_likelihood, expected_trace.log_likelihood, tolerance, 1 + abs(trace.last_objective), f"{what}: course"
    )
    assert_close(mixture.weights, expected_mixture.weights, tolerance, 1.0, f"{what}: weights")
    size = np.abs(rows).max(axis=0)
    assert_close(mixture.means, expected_mixture.means, tolerance, size, f"{what}: means")
    expected_covariances = expected_mixture.covariances.each
    size = np.abs(expected_covariances).max()
    assert_close(mixture.covariances.each, expected_covariances, tolerance, size, f"{what}: covariances")


def _rounding(rows: Array) -> float:
    """What N_STEPS steps may add up to: √n ε each of rows in deviations, a sum's errors being of both signs.

    Multiplied by N_STEPS again, since a step may carry on all of the error of the steps before it.
    """
    farthest = float((np.abs(rows).max(axis=0) / rows.std(axis=0)).max())
    return N_STEPS**2 * float(np.sqrt(len(rows))) * farthest * EPS
