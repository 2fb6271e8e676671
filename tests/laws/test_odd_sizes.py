"""The laws that everything rests on, with sizes that nobody thought of: hypothesis draws them."""

from dataclasses import replace
from functools import reduce
from itertools import product
from operator import add
from unittest import mock

import numpy as np
import pytest
from check_engine import TOLERANCE
from check_moments import assert_same_moments
from engine_cases import random_block
from every_engine import ENGINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_parameters import NEEDS, random_need, random_parameters

from gaussmix.families import FAMILIES
from gaussmix.testing import PROBLEMS, check_monotone
from gaussmix.testing.problems import groups
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.whitening.base import FactorShape

quick = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}
seeds = st.integers(0, 2**32 - 1)
names = list(ENGINES)
kinds = st.sampled_from(list(product(FactorShape, (False, True), NEEDS, Rule)))
# Rows beyond two tiles of the core, features beyond two of its panels.
sizes = st.tuples(st.integers(0, 300), st.integers(1, 37), st.integers(1, 11))


class Steps:
    """Steps of an engine on drawn rows of a drawn kind, about the means of the parameters."""

    def __init__(self, name, kind, size, seed):
        factor_shape, is_shared, need, self.rule = kind
        n_rows, n_features, n_components = size
        self.rng, self.engine = np.random.default_rng(seed), ENGINES[name](2)
        self.need = random_need(self.rng, need, n_components, n_features)
        self.parameters = random_parameters(self.rng, n_components, n_features, factor_shape, is_shared)
        self.block = random_block(self.rng, n_rows, self.parameters, self.rule)

    def __call__(self, block, need=None):
        need, means = need or self.need, self.parameters.means
        state = self.engine.open(block, need, len(means))
        parameters = None if self.rule is Rule.GIVEN else self.parameters
        return self.engine.step(block, state, parameters, need, self.rule, means)

    def assert_same(self, actual, expected, block, what):
        assert_same_moments(actual, expected, self(block, Need(Second.DIAGONAL)).second, TOLERANCE, what)


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("name", names)
@settings(max_examples=200, **quick)
@given(kind=kinds, size=sizes, seed=seeds, cut=st.integers(1, 300))
def test_parts_merge_to_the_whole(name, kind, size, seed, cut):
    step = Steps(name, kind, size, seed)
    parts = [step(part) for part in step.block.cut(cut)] or [step(step.block)]
    step.assert_same(reduce(add, parts), step(step.block), step.block, f"parts of {cut} rows")


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("name", names)
@settings(max_examples=200, **quick)
@given(kind=kinds, size=sizes, seed=seeds)
def test_a_weight_is_a_number_of_rows(name, kind, size, seed):
    step = Steps(name, kind, size, seed)
    counts = step.rng.integers(0, 4, size=step.block.n_rows)
    counted = replace(step.block, row_weight=counts.astype(np.float64))
    given_rows = None if step.block.given is None else step.block.given.repeat(counts, axis=0)
    repeated = replace(step.block, rows=step.block.rows.repeat(counts, axis=0), row_weight=None, given=given_rows)
    step.assert_same(step(counted), step(repeated), repeated, "rows of weight 0 to 3")


@pytest.mark.heavy
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("name", [pytest.param("numpy", marks=pytest.mark.heavy), *(set(names) - {"numpy"})])
@settings(max_examples=60, **quick)
@given(
    n_features=st.integers(1, 11),
    n_components=st.integers(1, 6),
    more=st.integers(0, 100),
    apart=st.sampled_from([0.5, 2.0, 6.0]),
    seed=seeds,
)
def test_no_step_lowers_the_likelihood(name, family, n_features, n_components, more, apart, seed):
    """With rows enough that no component collapses: 8 for each number of a mean."""
    n_rows = 8 * n_components * (n_features + 2) + more
    drawn = groups(f"odd sizes {seed}", n_rows, n_features, n_components, apart=apart)
    with mock.patch.dict(PROBLEMS, {"odd sizes": drawn}):
        check_monotone(family, ENGINES[name](2), "odd sizes")
