"""Tests of truncated EM: exact if all components are candidates, otherwise a lower bound that never falls."""

from dataclasses import replace

import numpy as np
import pytest
from check_engine import CHECKS, all_layouts
from check_moments import assert_same_moments
from common import LEAF_ROWS, ArraySource, AssignmentRule, Block, MomentSpec, Objective, Second, StopRule, run_em
from every_engine import ENGINES
from many_blocks import ManyBlocks
from random_parameters import FORMS, Parameters, random_covariances, random_parameters

from gaussmix import FAMILIES, Mixture
from gaussmix.testing import PROBLEMS, check_monotone

SEPARATE = {name: family for name, family in FAMILIES.items() if not family.is_shared}
EXACT = ENGINES["complete"](2)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_truncated_em_with_all_candidates_agrees_with_the_reference_engine(check, rng):
    check(ENGINES["all candidates"](2), rng)


@pytest.mark.pairwise
@pytest.mark.parametrize("factor_shape", FORMS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 8, 9, 20, 70])
@pytest.mark.parametrize("rule", [AssignmentRule.SOFT, AssignmentRule.HARD], ids=lambda rule: rule.name)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_truncated_steps_are_exact_with_all_candidates_and_bounds_with_few(factor_shape, n_features, rule, dtype, rng):
    """With 40 candidates of 40 components the moments are exact; with 4, the bound is below the log-likelihood."""
    parameters = replace(random_parameters(rng, 40, n_features, factor_shape), log_noise_density=-3.0)
    rows = parameters.means[rng.integers(40, size=333)] + rng.standard_normal((333, n_features))
    block = Block(0, rows.astype(dtype), rng.integers(0, 3, 333) / 2)
    step = block, EXACT.make_state(block, 40), parameters, MomentSpec(Second.DIAGONAL), rule, parameters.means
    exact = EXACT.step(*step)
    all_of_them = ENGINES["all candidates"](2).step(block, EXACT.make_state(block, 40), *step[2:])
    found, expected = (EXACT.finish(sums, *step[2:4]) for sums in (replace(all_of_them, pass_counts=None), exact))
    assert_same_moments(found, expected, exact.second, 1e-12, "40 of 40")
    state, bounds = ENGINES["truncated"](2, 4).make_state(block, 40), []
    for _ in range(3):
        bounds.append(ENGINES["truncated"](2, 4).step(block, state, *step[2:]).log_likelihood)
        check_candidates(state.candidates, block, parameters)
    assert (np.diff([*bounds, block.weight @ EXACT.log_density(block, parameters)]) >= -1e-12 * abs(bounds[0])).all()


def check_candidates(candidates, block, parameters):
    """Check that each row has at least one candidate, no candidate twice, and its likeliest candidates first."""
    log_joint = EXACT.component_log_density(block, parameters)
    own = np.where(candidates < 0, -np.inf, np.take_along_axis(log_joint, np.maximum(candidates, 0), axis=1))
    np.testing.assert_allclose(own, -np.sort(-own, axis=1), rtol=1e-13, atol=1e-9)
    assert (candidates[:, 0] >= 0).all()
    ordered = np.sort(candidates, axis=1)
    assert not ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any()


@pytest.mark.pairwise
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("family", SEPARATE.values(), ids=SEPARATE)
@pytest.mark.parametrize("n_candidates", [1, 2])
def test_a_truncated_step_never_lowers_the_free_energy(family, problem, n_candidates):
    check_monotone(family, ENGINES["truncated"](2, n_candidates, n_drawn=2), problem)


def start(family, rows, n_components):
    """Return a mixture with equal covariances around the first rows."""
    means, shape = rows[:n_components].astype(np.float64), family.shape(n_components, rows.shape[1])
    covariances = np.full(shape, 0.3) + (np.eye(*shape[1:]) if len(shape) == 3 else 0.0)
    return Mixture(np.full(n_components, 1 / n_components), means, covariances, family)._model


def states_of(source, engine, model, n_steps, ridge=0.0):
    """Run `n_steps` steps of EM, and return all states."""
    return list(run_em(source, engine, model, Objective(np.full(model.n_features, ridge)), StopRule(0.0, n_steps)))


@pytest.mark.one_block
@pytest.mark.parametrize("name", SEPARATE)
def test_truncated_em_raises_a_bound_and_with_all_candidates_equals_em(name, rng):
    """Check 20 steps from a distant start, so that candidates must change, with and without known labels."""
    rows, weight = rng.normal(size=(1500, 2)), rng.integers(0, 3, 1500).astype(float)
    model, table = start(SEPARATE[name], rows, 12), np.where(np.eye(3)[:, np.arange(12) % 3] > 0, 0.0, -np.inf)
    table[0], labels = np.log(rng.uniform(0.5, 1.0, 12)), rng.integers(-1, 3, 1500).astype(np.int32)
    for source in (ArraySource(rows, weight), ArraySource(rows, weight).with_log_prior(table, labels)):
        exact, same, few = (
            states_of(source, ENGINES[kind](2, *n), model, 20)
            for kind, *n in (["complete"], ["truncated", 12], ["truncated", 3])
        )
        np.testing.assert_allclose(same[-1].trace.objective[:8], exact[-1].trace.objective[:8], rtol=1e-12)
        bound, n_sound = few[-1].trace.log_likelihood, sum(not state.trace.frozen_components for state in few)
        assert n_sound > 5
        assert (np.diff(bound[:n_sound]) >= 0).all()  # VVE may fall if a component is frozen
        (block,), parameters = source.blocks(), few[-2].model.parameters
        assert bound[-1] <= block.weight @ EXACT.log_density(block, parameters) / weight.sum() + 1e-12
        (state,) = source._states[1].values()
        check_candidates(state.candidates, block, parameters)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("name", ["full", "diag", "factor_analyzer"])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_threads_blocks_and_layout_change_no_bit_of_truncated_em(name, dtype, rng):
    rows, weight = rng.normal(size=(LEAF_ROWS + 3001, 4)).astype(dtype), rng.integers(0, 3, LEAF_ROWS + 3001) / 2
    table, indices = np.log(rng.dirichlet(np.ones(40), 7)), rng.integers(-1, 7, len(rows)).astype(np.int32)
    model = start(SEPARATE[name], rows, 40)

    def end(source, n_threads):
        last = states_of(source.with_log_prior(table, indices), ENGINES["truncated"](n_threads, 4, 2), model, 3, 1e-6)[
            -1
        ]
        return [*last.trace.objective], last.model.means.tobytes(), last.model.covariances.array.tobytes()

    expected = end(ArraySource(rows, weight), 1)
    assert [end(ArraySource(rows, weight), n_threads) == expected for n_threads in (2, 3)] == [True] * 2
    assert end(ManyBlocks(rows, weight), 2) == expected
    assert [end(ArraySource(layout, weight), 2) == expected for layout in list(all_layouts(rows))[1:3]] == [True] * 2


@pytest.mark.parametrize("factor_shape", FORMS, ids=lambda shape: shape.name)
def test_every_row_has_a_candidate_despite_ties_distance_and_zero_weights(factor_shape, rng):
    """Each row must have a candidate among 600 components, which occur three times and include two of weight 0."""
    each = np.concatenate([random_covariances(rng, 200, 3, factor_shape)] * 3)
    weights = np.where(np.isin(np.arange(600), [3, 7]), 0.0, 1 / 598)
    means = np.tile(rng.normal(size=(200, 3)), (3, 1))
    parameters = Parameters.from_mixture(weights, means, FORMS[factor_shape](each, 600, 3, False).whitening)
    rows = rng.normal(size=(500, 3))
    rows[:30] *= 10.0 ** rng.choice([4, 8, 150], (30, 1))
    block, engine, spec = Block(0, rows), ENGINES["truncated"](2, 4), MomentSpec(Second.DIAGONAL)
    state = engine.make_state(block, 600)
    for rule in (AssignmentRule.SOFT, AssignmentRule.HARD, AssignmentRule.SOFT):
        sums = engine.step(block, state, parameters, spec, rule)
        assert np.isfinite([sums.log_likelihood, *sums.first.flat]).all()
        np.testing.assert_allclose([sums.mass.sum(), *sums.mass[[3, 7]]], [500, 0, 0])
        check_candidates(state.candidates[30:], block.row_range(30, 500), parameters)
        assert (state.candidates[:, 0] >= 0).all()


def test_truncated_em_finds_the_nearest_of_thousands_of_components(rng):
    """Components on a surface are the hardest case; a component without rows in the first step would stay empty."""
    means = rng.uniform(size=(20_000, 2))
    means = np.column_stack((np.cos(6 * means[:, 0]), np.sin(6 * means[:, 0]), 3 * means[:, 1]))
    model = Mixture(np.full(20_000, 1 / 20_000), means, np.full(20_000, 1e-6), FAMILIES["spherical"])
    block, engine = Block(0, np.repeat(means, 4, axis=0)), ENGINES["truncated"](2)
    state = engine.make_state(block, 20_000)
    engine.step(block, state, model.parameters, MomentSpec(Second.DIAGONAL))
    assert (state.candidates[:, 0] == np.repeat(np.arange(20_000), 4)).mean() > 0.9995


@pytest.mark.parametrize("n_candidates", [1, 4, 64])
def test_the_component_of_a_label_is_a_candidate_even_if_it_is_distant(n_candidates, rng):
    """Components are in ten groups of 20, so that fewer than 64 components are near a row."""
    means = np.repeat(1e3 * np.arange(10.0), 20)[:, None] + rng.normal(size=(200, 1))
    model = Mixture(np.full(200, 1 / 200), means, np.ones(200), FAMILIES["spherical"])
    labels, log_prior = rng.integers(200, size=100).astype(np.int32), np.where(np.eye(200) > 0, 0.0, -np.inf)
    block = Block(0, means[rng.integers(200, size=100)], log_prior=log_prior, prior_indices=labels)
    engine = ENGINES["truncated"](2, n_candidates)
    state = engine.make_state(block, 200)
    sums = engine.step(block, state, model.parameters, MomentSpec(Second.DIAGONAL))
    np.testing.assert_array_equal(sums.mass, np.bincount(labels, minlength=200))
    np.testing.assert_array_equal(state.candidates[:, 0], labels)


def test_lost_candidates_are_found_again_among_all_components(rng):
    """Without this search the free energy would fall by a tenth of a nat if a worker of a compute cluster is lost."""
    rows = rng.normal(size=(3000, 3)) ** 3
    source, model = ArraySource(rows), start(SEPARATE["full"], rows, 100)
    for state in run_em(source, ENGINES["truncated"](2, 3), model, Objective(np.full(3, 1e-6)), StopRule(0.0, 30)):
        if state.trace.n_steps == 25:
            source._states = None, {}
    assert (np.diff(state.trace.objective[1:]) >= 0).all()
