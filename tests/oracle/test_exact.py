"""Tests of EM steps, responsibilities and far tails against independent arithmetic with 50 digits (exact/exact.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
from common import EPS, ArraySource, Block, Objective, StopRule, final_state, run_em

from gaussmix import FAMILIES, Mixture

EXACT = json.loads((Path(__file__).parent / "exact" / "exact.json").read_text())
by_name = {"ids": lambda case: case["name"]}


def mixture_of(case, family):
    return Mixture(case["weights"], case["means"], case["covariances"], FAMILIES[family])._model


def rows_of(case):
    return np.array(case["rows"])


def rounding_of_means(start):
    """Return the error from rounding the means to double, ε · |mean| / σ, which exceeds 1e-12 far from 0."""
    variances = start.covariances.variances()
    return EPS * np.abs(start.means / np.sqrt(variances)).max()


@pytest.mark.pairwise
@pytest.mark.parametrize(("n_steps", "tolerance"), [(1, 1e-12), (2, 1e-12), (25, 1e-9)])
@pytest.mark.parametrize("case", EXACT["problems"], **by_name)
def test_em_steps_agree_with_50_digits(case, n_steps, tolerance, engine):
    rows, start = rows_of(case), mixture_of(case, case["family"])
    stopping, ridge = StopRule(0.0, n_steps), np.zeros(rows.shape[1])
    mixture, trace, _ = final_state(run_em(ArraySource(rows), engine, start, Objective(ridge), stopping))

    expected = mixture_of(case["after"][str(n_steps)], case["family"])
    deviations = np.sqrt(expected.covariances.variances())
    tolerance = tolerance + rounding_of_means(expected)
    assert trace.frozen_components == {}
    assert np.abs(mixture.weights - expected.weights).max() < tolerance
    assert (np.abs(mixture.means - expected.means) / deviations).max() < tolerance
    assert np.abs(mixture.covariances.each - expected.covariances.each).max() < tolerance * (deviations**2).max()
    assert np.array(trace.log_likelihood) * len(rows) == pytest.approx(case["log_likelihood"][:n_steps], rel=tolerance)


@pytest.mark.parametrize("case", EXACT["problems"], **by_name)
def test_responsibilities_agree_with_50_digits(case, engine):
    """The tolerance is 1e-12 plus the effect of rounding a squared distance q to q(1 ± 4ε)."""
    rows, start = rows_of(case), mixture_of(case, case["family"])
    found = engine.responsibilities(Block(0, rows), start.parameters)
    squared = -2 * engine.component_log_density(Block(0, rows), start.parameters).min()
    # With distant initial means all responsibilities are 0 or 1, whatever the rounding.
    tolerance = 1e-12 + (0 if "far-start" in case["name"] else 4 * EPS * squared) + 4 * rounding_of_means(start)
    assert np.abs(found - np.array(case["responsibilities"])).max() < tolerance


@pytest.mark.parametrize("case", EXACT["densities"], **by_name)
def test_log_densities_agree_with_50_digits_even_in_the_far_tails(case, engine):
    """Check points at 0, 1, 60, 1e4 and 1e100 standard deviations from a mean."""
    mixture = mixture_of(case, case["family"])
    log_density = engine.log_density(Block(0, rows_of(case)), mixture.parameters)
    assert log_density == pytest.approx(case["log_density"], rel=1e-12)
    assert Mixture._from_model(mixture).log_density(rows_of(case)) == pytest.approx(case["log_density"], rel=1e-12)
