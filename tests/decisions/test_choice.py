"""Which candidate is chosen where several are as good."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gaussmix import FAMILIES
from gaussmix.errors import Failure, FailureKind
from gaussmix.fit.candidates import Candidate, Result, highest_within_error, lowest, reasons_and_advice
from gaussmix.fit.criteria import Evidence, aic, aicc


def results(*sizes: int) -> list[Result]:
    """Candidates of one structure with these numbers of parameters."""
    candidate = Candidate(FAMILIES["full"], 1)
    return [Result(candidate, None, size, None, None, 0.0) for size in sizes]


@pytest.mark.parametrize("best", [-1e4, -3.0, 0.0, 1e6])
def test_criteria_that_rounding_may_have_parted_are_equal(best: float) -> None:
    step = 1e-10 * abs(best)
    assert lowest(results(9, 5), np.array([best, best + 0.5 * step])) == 1
    assert lowest(results(9, 5), np.array([best, best + max(2 * step, 1e-9)])) == 0


def test_a_candidate_exactly_one_error_below_the_highest_is_within_it() -> None:
    assert highest_within_error(results(9, 5), np.array([2.0, 1.5]), np.array([0.5, 9.0])) == 1
    assert highest_within_error(results(9, 5), np.array([2.0, 1.25]), np.array([0.5, 9.0])) == 0
    assert highest_within_error(results(9, 5), np.array([2.0, 1.25]), np.array([0.0, 9.0])) == 0


def test_aicc_is_finite_from_two_rows_more_than_parameters() -> None:
    evidence = Evidence(log_likelihood=-7.0, classified=-7.0, n_parameters=3, row_weight=5.0)
    assert aicc(evidence) == aic(evidence) + 2 * 3 * 4 / 1
    assert aicc(Evidence(-7.0, -7.0, 3, 4.0)) == math.inf


def test_advice_that_helps_against_several_failures_is_given_once() -> None:
    candidate = Candidate(FAMILIES["full"], 1)
    kinds = FailureKind.TOO_FEW_ROWS, FailureKind.SINGULAR, FailureKind.SINGULAR
    failed = [Result(candidate, None, 1, None, Failure(kind), 0.0) for kind in kinds]
    assert reasons_and_advice(failed) == (
        "2 × singular covariance, 1 × fewer rows than components.",
        "Lower n_components, raise reg_covar, or drop columns that are constant or follow from others.",
    )
