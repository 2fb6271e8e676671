"""Tests of priors and fixed parameters: EM raises the posterior density, and fixed parameters keep their bits."""

from dataclasses import replace

import numpy as np
import pytest
from common import ArraySource, Second, StopRule, complete_engine, families, final_state, make_engine, run_em
from many_blocks import ManyBlocks
from reference_engine import ReferenceEngine

from gaussmix import FAMILIES, Mixture, NormalInverseWishart
from gaussmix._src.em.priors.posterior import PosteriorObjective, WeightUpdate
from gaussmix._src.em.priors.terms import OverallMoments, PriorTerms
from gaussmix._src.families.base import is_separate
from gaussmix.testing import PROBLEMS

N_STEPS = 30
# Allowed decrease of the objective: the rounding of a sum over all rows and over K d terms of a prior. In addition,
# iterative updates stop where the likelihood is flat (`Family.accuracy`).
ROUNDING = 1e-11
SPREAD = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
CASES = {
    "default": PriorTerms(NormalInverseWishart()),
    "strong": PriorTerms(NormalInverseWishart([3.0, -1.0, 0.0], 20.0, SPREAD, 30.0)),
    "no prior of means": PriorTerms(NormalInverseWishart(shrinkage=0.0, scale=[1.0, 2.0, 3.0])),
    "weights": PriorTerms(None, WeightUpdate(concentration=np.arange(3.0) * 10)),
    "equal weights": PriorTerms(None, WeightUpdate(is_equal=True)),
    "least weight": PriorTerms(NormalInverseWishart(), WeightUpdate(min_weight=0.3, concentration=2.0)),
    "fixed means": PriorTerms(None, WeightUpdate(fixed_weights={1: 0.2}), fixed_mean_components=[0, 2]),
    "prior and fixed means": PriorTerms(
        NormalInverseWishart(), WeightUpdate(fixed_weights={0: 0.1, 1: 0.2}), fixed_mean_components=[1]
    ),
    "fixed covariances": PriorTerms(
        NormalInverseWishart(), fixed_mean_components=[1], fixed_covariance_components=[0, 1, 2]
    ),
}
cases = pytest.mark.parametrize("case", CASES)


def objective_and_start(problem, family, case, unit=1.0):
    """Return the objective of EM, and a model from which EM may start."""
    restrictions, start = CASES[case], problem.start(family)
    values = replace(
        restrictions,
        initial_means=start.means + 0.5 if restrictions.fixed_mean_components else None,
        initial_covariances=start.covariances if restrictions.fixed_covariance_components else None,
    )
    moments = OverallMoments.from_source(problem.source, unit, ReferenceEngine(), is_matrix=family.kind.is_matrix)
    objective = values.make_objective(np.zeros(problem.rows.shape[1]), unit, problem.n_components, family, moments)
    return objective, objective.nearest_feasible(start)


def run_states(problem, family, engine, case, *, is_accelerated=False, stopping=None):
    objective, start = objective_and_start(problem, family, case)
    states = run_em(
        problem.source, engine, start, objective, stopping or StopRule(0.0, N_STEPS), is_accelerated=is_accelerated
    )
    return objective, start, list(states)


@cases
@families
def test_no_step_lowers_the_posterior_density(family, case):
    objective, start, states = run_states(PROBLEMS["overlapping"], family, complete_engine(1), case)
    assert_monotone_and_fixed(objective, start, states)
    trace, before = states[-1].trace, states[-2]  # an engine may run many steps in one call
    index = before.trace.n_steps
    added = (trace.objective[index] - trace.log_likelihood[index]) * len(PROBLEMS["overlapping"].rows)
    assert added == pytest.approx(objective.log_prior(before.model), rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("case", ["strong", "least weight", "prior and fixed means"])
@families
def test_no_pass_of_an_accelerated_run_lowers_the_posterior_density(family, case):
    options = {"is_accelerated": True, "stopping": StopRule(0.0, 40)}
    assert_monotone_and_fixed(*run_states(PROBLEMS["overlapping"], family, complete_engine(1), case, **options))


def assert_monotone_and_fixed(objective, start, states):
    """Check that each state has the fixed parameters and an objective that is at least the previous one."""
    raised = np.array(states[-1].trace.objective)
    assert (np.diff(raised) >= -ROUNDING * np.abs(raised[:-1])).all()
    assert not states[-1].trace.frozen_components
    for state in states[1:]:
        weights, means = state.model.weights, state.model.means
        fixed = list(objective.fixed_mean_components)
        assert np.array_equal(means[fixed], start.means[fixed])
        assert all(weights[k] == value for k, value in objective.weight_update.fixed_weights.items())
        assert weights.min() >= objective.weight_update.min_weight
        assert weights.sum() == pytest.approx(1, rel=1e-14)
        if objective.weight_update.is_equal:
            assert (weights == weights[0]).all()
        if objective.fixed_covariance_components:
            assert np.array_equal(state.model.covariances.array, start.covariances.array)


@families
def test_the_log_density_of_a_prior_equals_its_formula(family):
    """Check −½ Σ_k [a_k log|Σ_k| + tr(Λ Σ_k⁻¹) + κ (μ_k − μ_p)ᵀ Σ_k⁻¹ (μ_k − μ_p)]; a shared Σ counts Λ once."""
    problem, n_components = PROBLEMS["overlapping"], 3
    objective, start = objective_and_start(problem, family, "strong")
    n_features, prior = problem.rows.shape[1], objective.prior
    each, once = family.prior_degrees(30.0, n_features, 1.0)
    matrix = SPREAD if family.kind.is_matrix else np.diag(np.diag(SPREAD))
    if family.kind.second is Second.TRACE:  # one variance describes all features
        matrix = np.eye(n_features) * np.trace(SPREAD) / n_features**2
    expected = 0.0
    for k, covariance in enumerate(start.covariances.dense()):
        inverse, offset = np.linalg.inv(covariance), start.means[k] - [3.0, -1.0, 0.0]
        scale = np.trace(matrix @ inverse) / (n_components if family.is_shared else 1)
        degrees = each + once / n_components
        expected -= 0.5 * (degrees * np.linalg.slogdet(covariance)[1] + scale + 20.0 * offset @ inverse @ offset)
    assert prior.log_density(start) == pytest.approx(expected, rel=1e-10)


def test_the_log_density_of_a_prior_is_minus_infinity_if_the_trace_overflows():
    objective, _ = objective_and_start(PROBLEMS["overlapping"], FAMILIES["diag"], "strong")
    start = Mixture.from_parameters([1.0], [[3.0, -1.0, 0.0]], np.full((1, 3), 1e-307), covariance_type="diag")
    prior = replace(objective.prior, scale=np.full(3, 1e10), shrinkage=0.0)
    assert prior.log_density(start._model) == -np.inf


@pytest.mark.heavy(n_default=8)
@families
@pytest.mark.parametrize("case", ["default", "strong", "weights"])
def test_a_fit_with_a_prior_treats_a_weight_of_two_as_two_rows(family, case):
    """Weights and repeated rows must have the same effect on the weight of a prior, too."""
    problem, engine = PROBLEMS["overlapping"], ReferenceEngine()
    twice = np.repeat(np.arange(len(problem.rows)), 2)
    doubled = replace(problem, rows=problem.rows[twice], labels=problem.labels[twice])
    weighted = replace(problem, row_weight=np.full(len(problem.rows), 2.0))
    one, other = (run_states(each, family, engine, case)[2][-1].model for each in (doubled, weighted))
    # Thirty steps multiply the rounding of sums; an iterative update stops within its accuracy.
    close = {"rtol": max(1e-9, 100 * family.accuracy), "atol": max(1e-9, 100 * family.accuracy)}
    np.testing.assert_allclose(one.weights, other.weights, **close)
    np.testing.assert_allclose(one.means, other.means, **close)
    np.testing.assert_allclose(one.covariances.dense(), other.covariances.dense(), **close)


@families
def test_a_fit_with_a_prior_does_not_depend_on_the_unit_of_row_weights(family):
    """The weight of the prior is divided by the unit of the row weights, too."""
    problem, engine = PROBLEMS["overlapping"], ReferenceEngine()
    ends = []
    for unit in (1.0, 0.25):
        scaled = replace(problem, row_weight=np.full(len(problem.rows), 1 / unit))
        objective, start = objective_and_start(scaled, family, "default", unit)
        ends.append(final_state(run_em(scaled.source, engine, start, objective, StopRule(0.0, 10))))
    # Ten steps multiply the rounding of roots, which some structures take of the unit.
    np.testing.assert_allclose(ends[0].model.means, ends[1].model.means, rtol=1e-11)
    np.testing.assert_allclose(ends[0].model.covariances.array, ends[1].model.covariances.array, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(ends[0].trace.objective, ends[1].trace.objective, rtol=1e-11)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if is_separate(family, 8)])
def test_fixed_covariances_stay_while_other_covariances_are_updated(name, engine):
    problem, family = PROBLEMS["overlapping"], FAMILIES[name]
    start = problem.start(family)
    objective = PosteriorObjective(
        np.zeros(3), initial_covariances=start.covariances, fixed_covariance_components=frozenset({1})
    )
    end = final_state(run_em(problem.source, engine, start, objective, StopRule(0.0, 20)))
    raised = np.array(end.trace.objective)
    assert (np.diff(raised) >= -ROUNDING * np.abs(raised[:-1])).all()
    same = [np.array_equal(end.model.covariances.each[k], start.covariances.each[k]) for k in range(3)]
    assert same == [False, True, False]


@families
def test_an_empty_component_gets_the_mean_and_covariance_of_the_prior(family):
    """With a minimum weight, the component keeps this weight and gets the mean and covariance of the prior."""
    problem = PROBLEMS["overlapping"]
    objective, start = objective_and_start(problem, family, "default")
    objective = replace(objective, weight_update=WeightUpdate(min_weight=1e-3))
    distant = replace(start, means=np.where(np.arange(3)[:, None] == 2, 1e4, start.means))
    end = final_state(run_em(problem.source, complete_engine(1), distant, objective, StopRule(0.0, 2)))
    if family.prior_degrees(1.0, 3, 1.0) == (0.0, 0.0):  # without degrees the component is frozen
        assert list(end.trace.frozen_components) == [2]
        return
    assert not end.trace.frozen_components
    np.testing.assert_allclose(end.model.means[2], objective.prior.mean, atol=10.0)
    assert np.isfinite(end.model.covariances.dense()).all()


@pytest.mark.parametrize("seed", range(20))
def test_weight_update_maximises_the_posterior_under_its_restrictions(seed):
    """Because Σ_k (N_k + α_k − 1) log π_k is concave, no small allowed change may improve the maximum."""
    rng = np.random.default_rng(seed)
    n, row_weight = int(rng.integers(2, 9)), 100.0
    fixed = {int(rng.integers(n)): float(rng.uniform(0.01, 0.2))} if seed % 2 else {}
    least = (float(rng.uniform(0, 0.8)) / n) if seed % 3 else 0.0
    fixed = {k: max(value, least) for k, value in fixed.items()}
    update = WeightUpdate(rng.uniform(0, 5, n), False, fixed, least)
    weights = rng.dirichlet(np.full(n, 0.3))
    found = update.update(weights, row_weight)
    counts = row_weight * weights + update.concentration
    is_open = np.array([k not in fixed for k in range(n)])
    assert found.sum() == pytest.approx(1, rel=1e-14)
    assert found.min() >= least
    assert all(found[k] == value for k, value in fixed.items())
    gradient = counts / found
    at_bound = is_open & (found <= least)
    inside = is_open & ~at_bound
    assert inside.any() or not is_open.any() or least == pytest.approx(1 / n, rel=1e-9)
    if inside.any():  # Karush–Kuhn–Tucker: equal slopes inside, smaller ones at the bound
        np.testing.assert_allclose(gradient[inside], gradient[inside][0], rtol=1e-12)
        assert (gradient[at_bound] <= gradient[inside][0] * (1 + 1e-12)).all()


def test_weight_update_divides_the_rest_equally_among_empty_components():
    update = WeightUpdate(fixed_weights={0: 0.5})
    np.testing.assert_array_equal(update.update(np.array([1.0, 0.0, 0.0]), 10.0), [0.5, 0.25, 0.25])


def moments_of(source):
    """Return the moments of all rows of a source that may have missing values."""
    source.may_miss = True
    return OverallMoments.from_source(source, 1.0, make_engine(1, is_incomplete=True), is_matrix=True)


def test_missing_values_do_not_shrink_the_correlations_of_overall_moments(rng):
    rows = rng.multivariate_normal([5.0, 0, 0], [[4, 1.9, 0.1], [1.9, 1, 0.2], [0.1, 0.2, 1]], size=2000)
    rows[rng.random(rows.shape) < 0.4] = np.nan
    weight = rng.integers(1, 4, size=len(rows)).astype(float)
    counted = np.repeat(rows, weight.astype(int), axis=0)
    offsets = counted - np.nanmean(counted, axis=0)
    products = offsets[:, :, None] * offsets[:, None, :]
    squares = np.nansum(np.where(np.isnan(products), np.nan, offsets[:, :, None] ** 2), axis=0)
    correlation = np.nansum(products, axis=0) / np.sqrt(squares * squares.T)
    empty = np.full((3000, 3), np.nan)
    n_rows = (~np.isnan(counted)).any(axis=1).sum()
    for moments in (
        moments_of(ArraySource(rows, weight)),
        moments_of(ArraySource(np.vstack([counted, empty]))),
        moments_of(ManyBlocks(np.vstack([empty, rows]), np.r_[np.ones(3000), weight])),
    ):
        deviation = np.sqrt(moments.variances)
        np.testing.assert_allclose(moments.covariance, deviation[:, None] * correlation * deviation, rtol=1e-12)
        np.testing.assert_allclose(moments.variances, np.nanvar(counted, axis=0) * n_rows / (n_rows - 1), rtol=1e-12)


def test_overall_moments_with_missing_values_do_not_depend_on_blocks(rng):
    rows, weight = rng.normal(size=(70_000, 3)), rng.random(70_000)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    one, other = (moments_of(kind(rows, weight)) for kind in (ArraySource, ManyBlocks))
    np.testing.assert_array_equal(one.covariance, other.covariance)
    by_columns = moments_of(ArraySource(np.asfortranarray(rows), weight))
    np.testing.assert_array_equal(one.covariance, by_columns.covariance)


def test_inconsistent_correlations_of_pairs_become_a_valid_covariance(rng):
    x = rng.normal(size=(300, 1))
    parts = [x * [1, 1, np.nan], x * [np.nan, 1, 1], x * [1, np.nan, -1]]  # correlations of 1, 1 and -1
    moments = moments_of(ArraySource(np.vstack(parts) * [1, 10, 100]))
    roots = np.sqrt(moments.variances)
    assert np.linalg.eigvalsh(moments.covariance / np.outer(roots, roots)).min() == pytest.approx(0.3)
    np.testing.assert_allclose(moments.variances, np.array([1, 100, 10_000]) * x.var(), rtol=0.01)
