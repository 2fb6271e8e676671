"""Checks of whole EM runs, for any covariance structure and engine."""

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
    """Run `n_steps` EM steps without a ridge from the mixture `start`, by default from the problem's labels."""
    stopping = StopRule(0.0, n_steps)
    start = problem.start(family) if start is None else start
    return final_state(run_em(problem.source, engine, start, problem.objective, stopping))


def check_monotone(family: Family, engine: Engine[Any], problem: str) -> None:
    """Check that no EM step lowers the likelihood by more than rounding errors, and that all parameters are finite.

    Parameters
    ----------
    family, engine : any covariance structure and engine.
    problem : name of a test problem in `PROBLEMS`.

    Raises
    ------
    AssertionError : an EM step lowered the mean log-likelihood, or a parameter is not finite; the message names the
        step or the parameter.
    """
    rows = PROBLEMS[problem].rows
    mixture, trace, _ = fit(PROBLEMS[problem], family, engine)
    history = np.array(trace.log_likelihood)
    # Rounding changes each value of a row by at most ε times the value. This change, divided by the feature's standard
    # deviation, bounds the change of a log density.
    deviations = np.sqrt(mixture.covariances.variances()).min(axis=0)
    rounding = (8 * np.abs(history).max() + 8 * (np.abs(rows).max(axis=0) / deviations).max()) * EPS
    # Rounding changes each element of Σ by ε times the element. A rounded Σ may lie outside the covariance structure,
    # where the likelihood is not flat: a log density changes by Σ_jj (Σ⁻¹)_jj times the relative error of Σ.
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
    """Check that EM returns the mixture with permuted components if the initial components are permuted.

    Parameters
    ----------
    family, engine : any covariance structure and engine.
    problem : name of a test problem in `PROBLEMS`.

    Raises
    ------
    AssertionError : the fits from original and permuted components differ; the message names what differs.
    """
    problem_data = PROBLEMS[problem]
    order = np.roll(np.arange(problem_data.n_components), 1)
    relabelled = replace(problem_data, labels=order.astype(np.int32)[problem_data.labels])
    expected, trace, stop_reason = fit(problem_data, family, engine)
    actual = fit(relabelled, family, engine)
    permuted = expected.take(np.argsort(order))  # component k gets the index order[k]
    _assert_same_fit(actual, EMState(permuted, trace, stop_reason), problem_data.rows, problem)


def check_equivariance(family: Family, engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that a map of the rows maps the fit in the same way, if the structure's `equivariance` allows the map.

    The fits to the original and to the mapped rows start from the same labels. Factor analysers are an exception: the
    fit to the mapped rows starts from the mapped initial mixture, because an initialisation from labels puts factors in
    fixed directions.

    Parameters
    ----------
    family, engine : any covariance structure and engine.
    rng : random generator from which the map is drawn.

    Raises
    ------
    AssertionError : weights, means, covariances or likelihoods of the fit to the mapped rows differ from the mapped fit
        to the original rows.
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
    """Return the mapped initial mixture for factor analysers; None for other structures, so that labels are used."""
    if not isinstance(start.covariances, LowRank):
        return None
    last = start.covariances
    mapped = LowRank.from_loadings(
        matrix @ last.loadings, last.noise @ (matrix**2).T, last.n_components, last.is_shared
    )
    return Model(start.weights, start.means @ matrix.T + shift, mapped, start.family)


def random_map(equivariance: Equivariance, n_features: int, rng: np.random.Generator) -> Array:
    """Draw an invertible matrix (n_features, n_features) from the set `equivariance`."""
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
    size = 1 + abs(trace.last_objective)
    assert_close(trace.log_likelihood, expected_trace.log_likelihood, tolerance, size, f"{what}: log-likelihood")
    assert_close(mixture.weights, expected_mixture.weights, tolerance, 1.0, f"{what}: weights")
    largest = np.abs(rows).max(axis=0)
    assert_close(mixture.means, expected_mixture.means, tolerance, largest, f"{what}: means")
    expected_covariances = expected_mixture.covariances.each
    size = np.abs(expected_covariances).max()
    assert_close(mixture.covariances.each, expected_covariances, tolerance, size, f"{what}: covariances")


def _rounding(rows: Array) -> float:
    """Return a bound on the rounding errors of N_STEPS EM steps, relative to the standard deviations of the rows.

    For n rows, each EM step adds an error of √n ε times the largest value, because rounding errors in a sum have both
    signs and partly cancel. The bound is proportional to N_STEPS², because each step may preserve the errors of all
    earlier steps.
    """
    farthest = float((np.abs(rows).max(axis=0) / rows.std(axis=0)).max())
    return N_STEPS**2 * float(np.sqrt(len(rows))) * farthest * EPS
