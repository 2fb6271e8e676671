"""Tests of the choice among candidates, of the rule that stops EM, and of forecasts of convergence."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from common import BestRun, EMState, Objective, OptimalityCertificate, Outcome, StopReason, StopRule, Trace

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.em.objective.stopping import forecast_convergence
from gaussmix._src.errors import Failure, FailureKind
from gaussmix._src.fit.candidates import Candidate, Result, describe_failures, select_lowest, select_within_error
from gaussmix._src.fit.criteria import CriterionInputs, aic, aicc


def results(*sizes: int) -> list[Result]:
    """Return results of one structure with the numbers of parameters `sizes`."""
    candidate = Candidate(FAMILIES["full"], 1)
    return [Result(candidate, None, size, None, None, 0.0) for size in sizes]


@pytest.mark.parametrize("best", [-1e4, -3.0, 0.0, 1e6])
def test_criteria_that_differ_by_rounding_count_as_equal(best: float) -> None:
    step = 1e-10 * abs(best)
    assert select_lowest(results(9, 5), np.array([best, best + 0.5 * step])) == 1
    assert select_lowest(results(9, 5), np.array([best, best + max(2 * step, 1e-9)])) == 0


def test_select_within_error_includes_candidates_exactly_one_error_below() -> None:
    assert select_within_error(results(9, 5), np.array([2.0, 1.5]), np.array([0.5, 9.0])) == 1
    assert select_within_error(results(9, 5), np.array([2.0, 1.25]), np.array([0.5, 9.0])) == 0
    assert select_within_error(results(9, 5), np.array([2.0, 1.25]), np.array([0.0, 9.0])) == 0


def test_aicc_is_finite_from_two_rows_more_than_parameters() -> None:
    evidence = CriterionInputs(log_likelihood=-7.0, classification_likelihood=-7.0, n_parameters=3, row_weight=5.0)
    assert aicc(evidence) == aic(evidence) + 2 * 3 * 4 / 1
    assert aicc(CriterionInputs(-7.0, -7.0, 3, 4.0)) == math.inf


def test_describe_failures_does_not_repeat_advice() -> None:
    candidate = Candidate(FAMILIES["full"], 1)
    kinds = FailureKind.NOT_ENOUGH_ROWS, FailureKind.SINGULAR, FailureKind.SINGULAR
    failed = [Result(candidate, None, 1, None, Failure(kind), 0.0) for kind in kinds]
    assert describe_failures(failed) == (
        "2 × singular covariance, 1 × fewer rows than components.",
        "Drop columns that are constant or determined by other columns, lower n_components, raise reg_covar, or leave "
        "out outliers (GaussianMixture(trim=…) finds them).",
    )


def test_a_tolerance_of_0_is_never_met() -> None:
    assert StopRule(0.0, 9).reason_after_step(3, -1.5, -1.5) is None
    assert StopRule(0.0, 9).reason_after_step(9, -1.5, -1.5) is StopReason.STEP_LIMIT
    assert StopRule(1e-9, 9).reason_after_step(3, -1.5, -1.5) is StopReason.CONVERGED


def test_the_defaults_of_stop_rule_equal_those_of_the_estimator() -> None:
    assert (StopRule().tolerance, StopRule().max_steps) == (GaussianMixture().tol, GaussianMixture().max_iter)


def test_the_forecast_for_geometrically_decreasing_gains_is_exact() -> None:
    objective = [-(0.9**step) for step in range(8)]
    remaining, rate = forecast_convergence(objective)
    assert rate == pytest.approx(0.9)
    assert remaining == pytest.approx(0.9**7)


def test_the_forecast_for_gains_that_do_not_decrease_is_infinite() -> None:
    assert forecast_convergence([0.0, 1.0, 3.0, 9.0]).remaining_gain == math.inf
    assert forecast_convergence([0.0, 0.0, 1.0]) == (math.inf, math.inf)  # gains 0 and 1
    assert forecast_convergence([-1.0, -1.0, -1.0]).remaining_gain == 0.0
    assert math.isnan(forecast_convergence([-1.0, -0.5]).gain_ratio)


def test_the_stricter_rule_has_a_tolerance_below_all_gains_so_far() -> None:
    rule = StopRule.at_maximum(100)
    assert rule.seeks_maximum
    assert not StopRule().seeks_maximum
    tolerances = [rule.stricter_rule(objective) for objective in ([], [-3.0, -2.0], [-3.0, -2.0, -2.0 + 5e-6])]
    assert [each and each.tolerance for each in tolerances] == pytest.approx([1e-5, 1e-5, 1e-6])
    assert rule.stricter_rule([-2.0, -2.0, -1.0]) is None  # no rule is stricter than a gain of 0
    assert rule.stricter_rule([-2.0, -2.0 + 2e-10]).tolerance == pytest.approx(1e-10)


def test_a_start_agrees_with_the_best_if_its_remaining_gain_covers_the_difference() -> None:
    """Check a converged best run, and two runs that end 0.01 and 0.1 below and expect to gain 0.02."""
    best = Trace((0.0,) * 4, [-1.5, -1.0, -1.0, -1.0])
    close, lower = (Trace((0.0,) * 3, [last - 0.06, last - 0.02, last]) for last in (-1.01, -1.1))
    model = Mixture([1.0], [[0.0]], [[[1.0]]], FAMILIES["full"])._model
    problem = SimpleNamespace(objective=Objective(np.zeros(1)))
    run = BestRun(EMState(model, best, StopReason.CONVERGED), [best, close, lower], problem)
    outcome = Outcome._from_run(run, StopRule(1e-3), None, OptimalityCertificate())
    assert (outcome.n_starts, outcome.n_starts_at_best) == (3, 2)


def test_convergence_takes_precedence_over_the_time_limit() -> None:
    late = StopRule(1e-3, 9, deadline=0.0)
    assert late.reason_after_step(3, -1.5, -1.0) is StopReason.TIME_LIMIT
    assert late.reason_after_step(3, -1.5, -1.5) is StopReason.CONVERGED
