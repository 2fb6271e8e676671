"""Truncated EM: exact with all components as candidates, else a lower bound that never falls, in the same bits."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from check_engine import CHECKS, all_layouts, check_reproducible
from check_moments import assert_same_moments
from common import LEAF_ROWS, ArraySource, AssignmentRule, Block, FactorShape, Model, MomentSpec, Objective, Second
from common import StopRule, run_em
from every_engine import ENGINES
from many_blocks import ManyBlocks
from random_parameters import random_parameters

from gaussmix import FAMILIES, FactorAnalyzer
from gaussmix.testing import PROBLEMS, check_monotone

OWN = {name: family for name, family in FAMILIES.items() if not family.is_shared}
EXACT, REFERENCE = ENGINES["complete"](2), ENGINES["reference"](1)


@pytest.mark.parametrize("check", [pytest.param(check, id=check.__name__) for check in CHECKS])
def test_all_components_as_candidates_give_the_moments_of_the_reference(check, rng):
    check(ENGINES["all candidates"](2), rng)


def test_threads_and_layouts_change_no_bit(rng):
    check_reproducible(ENGINES["all candidates"], rng)


@pytest.mark.pairwise
@pytest.mark.parametrize("factor_shape", FactorShape, ids=lambda shape: shape.name)
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 8, 9, 20, 70])
@pytest.mark.parametrize("rule", [AssignmentRule.SOFT, AssignmentRule.HARD], ids=lambda rule: rule.name)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_more_components_than_a_row_is_near(factor_shape, n_features, rule, dtype, rng):
    """Of 40 components, all candidates or 4: exact moments, or a bound below the log-likelihood; in three passes."""
    parameters = replace(random_parameters(rng, 40, n_features, factor_shape), log_background=-3.0)
    rows = parameters.means[rng.integers(40, size=333)] + rng.standard_normal((333, n_features))
    block = Block(0, rows.astype(dtype), rng.integers(0, 3, 333) / 2)
    spec, about = MomentSpec(Second.DIAGONAL), parameters.means
    log_density = block.weight @ EXACT.log_density(block, parameters)
    for n_candidates in (40, 4):
        engine, bounds = ENGINES["truncated"](2, n_candidates), []
        state, context = engine.make_state(block, 40), None
        for _ in range(3):
            sums = engine.step(block, state, parameters, spec, rule, about, context)
            check_candidates(state.candidates, block, parameters)
            bounds.append(sums.log_likelihood)
        assert (np.diff(bounds) >= -1e-13 * abs(log_density)).all()
        assert bounds[-1] <= log_density + 1e-12 * abs(log_density)
        expected = EXACT.step(block, EXACT.make_state(block, 40), parameters, spec, rule, about)
        if n_candidates == 40:
            found = engine.finish(sums, parameters, spec)
            assert_same_moments(found, EXACT.finish(expected, parameters, spec), expected.second, 1e-12, "40 of 40")


def check_candidates(candidates, block, parameters):
    """Distinct, and the first is the likeliest; at least one for each row."""
    log_joint = EXACT.component_log_density(block, parameters)
    own = np.where(candidates < 0, -np.inf, np.take_along_axis(log_joint, np.maximum(candidates, 0), axis=1))
    np.testing.assert_allclose(own[:, 0], own.max(axis=1), rtol=1e-13, atol=1e-9)
    assert (candidates[:, 0] >= 0).all()
    ordered = np.sort(candidates, axis=1)
    assert not ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any()
