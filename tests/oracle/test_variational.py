"""Tests of the variational bound against closed forms, an enumeration, a second formula, and scikit-learn."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.special
from bound import Prior, after_m_step, evidence_of_one
from common import ArraySource, Block, InitialMoments, Second, StopRule, final_state, run_em
from every_engine import Stepwise
from scipy.special import gammaln, logsumexp, xlogy
from sklearn.mixture import BayesianGaussianMixture as Theirs

from gaussmix import FAMILIES
from gaussmix._src.em.bayes.merges import deletion_gains, find_merges, merge_sums
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.bayes.variational_posterior import GaussWishartPrior
from gaussmix._src.em.priors.concentration import DirichletWeights, StickBreakingWeights
from gaussmix._src.em.step.core_steps import CoreSteps
from gaussmix._src.engines import complete_engine, make_engine
from gaussmix._src.families.base import has_conjugate_prior
from gaussmix._src.numerics.elementary import gammas, log_gamma
from gaussmix._src.numerics.threads import one_blas_thread
from gaussmix.extend import Partition

CONJUGATE = {name: family for name, family in FAMILIES.items() if has_conjugate_prior(family)}
FORMS = {Second.FULL: "full", Second.DIAGONAL: "diag", Second.TRACE: "spherical"}
families = pytest.mark.parametrize("name", CONJUGATE)
weights = pytest.mark.parametrize("has_sticks", [False, True], ids=["dirichlet", "sticks"])
STEPS = StopRule(1e-13, 60)


def prior_of(name, rows, n_components, *, has_sticks=False, alpha=0.7, precision=0.6, dof=None):
    """Return a prior with the mean and covariance of the rows, for the reference and as an objective of gaussmix."""
    family, d = FAMILIES[name], rows.shape[1]
    form = FORMS[family.kind.second]
    covariance = np.atleast_2d(np.cov(rows.T))
    scale = {"full": covariance, "diag": np.diag(covariance), "spherical": np.array(np.diag(covariance).mean())}[form]
    dof = d + 1.5 if dof is None else dof
    concentration = StickBreakingWeights(alpha) if has_sticks else DirichletWeights(alpha, n_components)
    prior = GaussWishartPrior(family, concentration, rows.mean(axis=0), precision, dof, scale)
    theirs = Prior(form, family.is_shared, alpha, has_sticks, rows.mean(axis=0), precision, dof, scale)
    return theirs, objective_of(prior, len(rows))


def objective_of(prior, total):
    ridge = np.zeros(len(prior.mean))
    return VariationalObjective(ridge, prior.conjugate, gauss_wishart=prior, total_weight=float(total))


def m_step(rows, responsibilities, objective):
    source = ArraySource(rows, assignment=responsibilities)
    moments = InitialMoments(source, complete_engine(), responsibilities.shape[1], Partition())
    return moments.model(objective.gauss_wishart.family, objective)


def bound_of(rows, model, objective):
    """Compute the bound of q by one pass."""
    state = final_state(run_em(ArraySource(rows), complete_engine(), model, objective, StopRule(0.0, 1)))
    return state.trace.objective[-1] * len(rows)


def responsibilities_of(rows, model, objective):
    return complete_engine().responsibilities(Block(0, rows), objective.parameters(model))


@families
@pytest.mark.parametrize("d", [1, 4])
def test_the_lower_bound_of_one_component_equals_the_log_evidence(name, d) -> None:
    rng = np.random.default_rng(d)
    rows = rng.normal(size=(20, d)) @ rng.normal(size=(d, d)) + 3
    theirs, objective = prior_of(name, rows, 1)
    model = m_step(rows, np.ones((20, 1)), objective)
    assert bound_of(rows, model, objective) == pytest.approx(evidence_of_one(rows, theirs), rel=1e-10)
    assert after_m_step(rows, np.ones((20, 1)), theirs) == pytest.approx(evidence_of_one(rows, theirs), rel=1e-10)


@families
@weights
def test_no_e_step_or_m_step_lowers_the_lower_bound(name, has_sticks) -> None:
    """gaussmix computes the bound after E-steps, and the reference after M-steps, from the same responsibilities."""
    rng = np.random.default_rng(1)
    rows = np.concatenate((rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 2.5)) @ rng.normal(size=(3, 3))
    theirs, objective = prior_of(name, rows, 4, has_sticks=has_sticks)
    responsibilities, last = rng.dirichlet(np.ones(4), 70), -np.inf
    for _ in range(15):
        after_m = after_m_step(rows, responsibilities, theirs)
        model = m_step(rows, responsibilities, objective)
        after_e = bound_of(rows, model, objective)
        assert last - 1e-9 <= after_m <= after_e + 1e-9
        responsibilities, last = responsibilities_of(rows, model, objective), after_e


@families
@weights
def test_both_forms_of_the_lower_bound_agree_after_convergence(name, has_sticks) -> None:
    rng = np.random.default_rng(2)
    rows = np.concatenate((rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) + 6))
    theirs, objective = prior_of(name, rows, 2, has_sticks=has_sticks)
    model = m_step(rows, np.repeat(np.eye(2), [40, 30], axis=0), objective)
    end = final_state(run_em(ArraySource(rows), complete_engine(), model, objective, STEPS))
    after_m = after_m_step(rows, responsibilities_of(rows, end.model, objective), theirs)
    assert after_m == pytest.approx(end.trace.last_objective * 70, rel=1e-11)


@families
@weights
def test_the_lower_bound_is_below_the_enumerated_log_evidence(name, has_sticks) -> None:
    """The evidence of 8 rows and 2 components is a sum over 256 allocations."""
    rng = np.random.default_rng(3)
    rows = np.concatenate((rng.normal(size=(4, 2)), rng.normal(size=(4, 2)) + 2.5))
    theirs, objective = prior_of(name, rows, 2, has_sticks=has_sticks)
    evidence = logsumexp([after_m_step(rows, np.eye(2)[list(z)], theirs) for z in product((0, 1), repeat=8)])
    starts = [rng.dirichlet(np.full(2, 0.5), 8) for _ in range(2)]
    models = (m_step(rows, start, objective) for start in starts)
    ends = [final_state(run_em(ArraySource(rows), complete_engine(), model, objective, STEPS)) for model in models]
    gap = evidence - max(8 * end.trace.last_objective for end in ends)
    assert 0 < gap < 4


@families
@weights
@pytest.mark.parametrize("n_rows", [10, 1000])
def test_the_predictive_density_integrates_to_1(name, has_sticks, n_rows) -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(n_rows, 1)) + 5 * (np.arange(n_rows) % 2)[:, None]
    objective = prior_of(name, rows, 3, has_sticks=has_sticks, dof=1.0)[1]
    model = m_step(rows, rng.dirichlet(np.ones(3), n_rows), objective)
    end = final_state(run_em(ArraySource(rows), complete_engine(), model, objective, STEPS))
    grid = np.sinh(np.linspace(-18, 18, 40001))[:, None]
    predictive = objective.variational_posterior(end.model).predictive_density
    density = np.exp(predictive.log_density(Block(0, grid), complete_engine()))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", CONJUGATE)
def test_the_predictive_density_integrates_over_missing_values(name) -> None:
    rows = np.random.default_rng(7).normal(size=(40, 2))
    objective = prior_of(name, rows, 2)[1]
    responsibilities = np.random.default_rng(8).dirichlet(np.ones(2), 40)
    predictive = objective.variational_posterior(m_step(rows, responsibilities, objective)).predictive_density
    grid = np.sinh(np.linspace(-14, 14, 20001))
    whole = np.exp(predictive.log_density(Block(0, np.column_stack((np.full(20001, 0.3), grid))), complete_engine()))
    part = predictive.log_density(Block(0, np.array([[0.3, np.nan], [np.nan, np.nan]])), complete_engine())
    assert part[0] == pytest.approx(np.log(np.trapezoid(whole, grid)), abs=1e-6)
    assert part[1] == 0.0


@pytest.mark.parametrize("d", [3, 20])
@one_blas_thread()  # on busy processors, threads wait for each other
def test_the_lower_bound_equals_that_of_scikit_learn_up_to_constants(d) -> None:
    """For full covariances scikit-learn's bound is correct up to constants of K, the prior and the number of rows."""
    rng = np.random.default_rng(9)
    rows = np.concatenate((rng.normal(size=(150, d)), rng.normal(size=(150, d)) + 1.5))
    their = Theirs(
        n_components=3, weight_concentration_prior_type="dirichlet_distribution", max_iter=2000, tol=1e-9, reg_covar=0
    )
    their = their.set_params(random_state=0).fit(rows)
    objective = prior_of("full", rows, 3, alpha=1 / 3, precision=1.0, dof=float(d))[1]
    prior = objective.gauss_wishart
    of_wishart = (
        gammaln((d - np.arange(d)) / 2).sum() + d * d / 2 * np.log(2) - d / 2 * np.linalg.slogdet(prior.scale)[1]
    )
    constant = gammaln(1.0) - 3 * gammaln(1 / 3) - 3 * of_wishart - 150 * d * np.log(2 * np.pi)
    model = m_step(rows, their.predict_proba(rows), objective)
    assert bound_of(rows, model, objective) == pytest.approx(
        float(np.ravel(their.lower_bound_)[0]) + constant, abs=1e-5
    )


def test_gamma_functions_agree_with_scipy() -> None:
    numbers = np.concatenate((np.logspace(-8, 8, 200), np.linspace(0.5, 30, 100)))
    np.testing.assert_allclose(gammas(numbers)[1], scipy.special.digamma(numbers), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(log_gamma(numbers), gammaln(numbers), rtol=1e-13, atol=2e-14)


@families
@weights
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("unit", [1.0, 4.0])
def test_variational_steps_of_the_core_equal_the_python_loop(rng, name, has_sticks, d, unit) -> None:
    rows, weight = rng.normal(size=(60, d)), rng.integers(1, 4, 60) / unit
    prior = prior_of(name, rows, 4, has_sticks=has_sticks)[1].gauss_wishart
    of_rows = {"total_weight": unit * weight.sum(), "weight_unit": unit, "gauss_wishart": prior}
    objective = VariationalObjective(np.full(d, 0.1), prior.scaled_conjugate(unit), **of_rows)
    start = m_step(rows, rng.dirichlet(np.ones(4), 60), objective)
    engine, source, stopping = complete_engine(), ArraySource(rows, weight), StopRule(0.0, 12)
    one, other = (final_state(run_em(source, by, start, objective, stopping)) for by in (engine, Stepwise(engine)))
    assert CoreSteps(source, engine, start.family, 4, objective, stopping).run_steps(start, 0, -np.inf)[1]
    np.testing.assert_allclose(one.trace.objective, other.trace.objective, rtol=1e-13)
    np.testing.assert_allclose(one.trace.log_likelihood, other.trace.log_likelihood, rtol=1e-13)
    np.testing.assert_allclose(one.model.weights, other.model.weights, rtol=1e-10)
    np.testing.assert_allclose(one.model.means, other.model.means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(one.model.covariances.each, other.model.covariances.each, rtol=1e-10, atol=1e-12)


@weights
def test_empty_components_change_neither_divergence_nor_predictive_density(has_sticks) -> None:
    """The bound has the constants for `n_components`, even if empty components are left out."""
    rows = np.random.default_rng(10).normal(size=(50, 2))
    objective = prior_of("full", rows, 5, has_sticks=has_sticks)[1]
    q = objective.variational_posterior(m_step(rows, np.random.default_rng(11).dirichlet(np.ones(3), 50), objective))
    assert q.with_empty_components(2).divergence_from_prior == pytest.approx(q.divergence_from_prior, abs=1e-10)
    np.testing.assert_allclose(
        q.with_empty_components(2).predictive_density.log_density(Block(0, rows), complete_engine()),
        q.predictive_density.log_density(Block(0, rows), complete_engine()),
        rtol=1e-12,
    )


@families
def test_the_variational_e_step_integrates_over_missing_values(name) -> None:
    """Compare with integration by the trapezoidal rule; in EM, the bound of q also covers the missing values."""
    rows = np.random.default_rng(12).normal(size=(40, 2))
    objective = prior_of(name, rows, 2)[1]
    model = m_step(rows, np.random.default_rng(13).dirichlet(np.ones(2), 40), objective)
    q, grid = objective.parameters(model), np.linspace(-40, 40, 8001)
    whole = complete_engine().log_density(Block(0, np.column_stack((np.full(8001, 0.3), grid))), q)
    engine = make_engine(is_incomplete=True, n_jobs=None)
    assert engine.log_density(Block(0, np.array([[0.3, np.nan]])), q)[0] == pytest.approx(
        np.log(np.trapezoid(np.exp(whole), grid)), abs=1e-9
    )
    incomplete = np.array(rows)
    incomplete[::3, 1] = incomplete[1::5, 0] = np.nan
    source = ArraySource(incomplete)
    source.may_miss = True
    trace = final_state(run_em(source, engine, model, objective, StopRule(0.0, 30))).trace
    assert (np.diff(trace.objective) >= -1e-13).all()


def merge_gain(pair, rows, responsibilities, prior):
    """Return the gain of the reference bound if a pair is merged, without the change of −Σ r log r."""
    merged, both = np.delete(responsibilities, pair[1], axis=1), responsibilities[:, pair].sum(axis=1)
    merged[:, pair[0]] = both
    # The components are in the order that merges use, and the number of components remains.
    merged = np.column_stack((merged[:, np.argsort(-merged.sum(axis=0))], np.zeros(len(rows))))
    gain = after_m_step(rows, merged, prior) - after_m_step(rows, responsibilities, prior)
    return gain + entropy_loss(pair, responsibilities)


def entropy_loss(pair, responsibilities):
    both = responsibilities[:, pair].sum(axis=1)
    return xlogy(both, both).sum() - xlogy(responsibilities[:, pair], responsibilities[:, pair]).sum()


@families
@weights
def test_find_merges_predicts_the_gain_of_a_merge(name, has_sticks) -> None:
    """The gain is the difference of the reference bound when the responsibilities of a pair are added."""
    rng = np.random.default_rng(14)
    rows = np.concatenate([rng.normal(size=(60, 2)) + location for location in (0.0, 0.5, 3.0, 3.5)])
    theirs, objective = prior_of(name, rows, 4, has_sticks=has_sticks, alpha=2.0)
    model = m_step(rows, np.repeat(np.eye(4), 60, axis=0) * 0.4 + 0.15, objective)
    responsibilities = responsibilities_of(rows, model, objective)
    responsibilities = responsibilities[:, np.argsort(-responsibilities.sum(axis=0))]  # the order that merges use
    q = objective.variational_posterior(m_step(rows, responsibilities, objective))
    pairs, gains, *_ = find_merges(q)
    assert len(pairs)
    expected = responsibilities_of(rows, objective.to_model(q), objective)
    entropy = merge_sums(Block(0, rows), complete_engine(), q.e_step_parameters, pairs, np.array([], dtype=np.intp))[0]
    for pair, gain, mixed in zip(pairs, gains, entropy, strict=True):
        assert gain == pytest.approx(merge_gain(pair, rows, responsibilities, theirs), abs=1e-8)
        assert mixed == pytest.approx(entropy_loss(pair, expected), abs=1e-6)


@families
@weights
def test_find_merges_selects_the_best_merges_of_near_components(name, has_sticks) -> None:
    """Each component may be merged with its six nearest components, and takes part in two merges at most."""
    rng = np.random.default_rng(15)
    rows = rng.normal(size=(400, 3)) * [1.0, 2.0, 0.5] * rng.exponential(size=(400, 1)) ** 2
    theirs, objective = prior_of(name, rows, 12, has_sticks=has_sticks)
    responsibilities = rng.dirichlet(np.full(12, 0.05), 400)
    responsibilities = responsibilities[:, np.argsort(-responsibilities.sum(axis=0))]
    q = objective.variational_posterior(m_step(rows, responsibilities, objective))
    near = set()
    precisions = np.linalg.inv(q.covariances.dense())
    for k, mean in enumerate(q.means):
        gaps = q.means - mean
        squares = [np.einsum("li,lij,lj->l", gaps, by, gaps) for by in (precisions, precisions[[k] * 12])]
        near |= {tuple(sorted((k, int(other)))) for other in np.argsort(np.minimum(*squares))[1:7]}
    gains = {pair: merge_gain(list(pair), rows, responsibilities, theirs) for pair in near}
    expected, counts = [], np.zeros(12)
    for pair in sorted(near, key=lambda pair: -gains[pair]):
        if gains[pair] > 0 and counts[list(pair)].max() < 2:
            expected.append(pair)
            counts[list(pair)] += 1
    assert len(near) < 66  # not all pairs are near
    assert list(map(tuple, find_merges(q).pairs.tolist())) == expected


@families
def test_one_component_has_neither_merges_nor_a_deletion(name) -> None:
    rows = np.random.default_rng(18).normal(size=(20, 2))
    objective = prior_of(name, rows, 3)[1]
    q = objective.variational_posterior(m_step(rows, np.ones((20, 1)), objective))
    assert [values.shape for values in find_merges(q)[:3]] == [(0, 2), (0,), (0, 2)]
    nothing = np.array([], dtype=np.intp)
    sums = merge_sums(Block(0, rows), complete_engine(), q.e_step_parameters, np.empty((0, 2), np.intp), nothing)
    assert [values.shape for values in sums] == [(0,), (0,)]
    assert deletion_gains(q, q.counts, nothing, sums[1]).shape == (0,)


def test_rows_of_weight_0_do_not_change_merge_sums() -> None:
    """Such rows may lie where a component has the responsibility 1, so that log (1 − r) is infinite."""
    rows = np.random.default_rng(16).normal(size=(60, 2))
    objective = prior_of("full", rows, 2)[1]
    model = m_step(rows, np.random.default_rng(17).dirichlet(np.ones(2), 60), objective)
    parameters, pair = objective.parameters(model), np.array([[0, 1]])
    distant = np.concatenate((rows, [[1e6, 1e6], [-1e6, 0.0]]))
    block = Block(0, distant, np.append(np.ones(60), [0.0, 0.0]))
    assert complete_engine().responsibilities(block, parameters)[60:].max() == 1.0
    expected = merge_sums(Block(0, rows), complete_engine(), parameters, pair, np.arange(2))
    for sums, without in zip(
        merge_sums(block, complete_engine(), parameters, pair, np.arange(2)), expected, strict=True
    ):
        np.testing.assert_array_equal(sums, without)
