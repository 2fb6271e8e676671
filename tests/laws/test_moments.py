"""Laws of moments, over engines and needs."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from check_moments import check_moments
from common import Block, Rule, Second
from random_parameters import NEEDS, random_need

from gaussmix.testing.closeness import assert_same_bits
from gaussmix.waist.leaves import Sums, Tree


@pytest.mark.parametrize("need", NEEDS, ids=str)
def test_moments_merge_move_and_weigh(engine, need, rng):
    check_moments(engine, need, rng)


@pytest.mark.parametrize("need", NEEDS, ids=str)
def test_sums_that_are_sent_have_the_same_bits_and_matrices_half_the_bytes(engine, need, rng):
    n_features, n_components = 30, 4
    block = Block(0, rng.normal(size=(50, n_features)), None, rng.dirichlet(np.ones(n_components), 50))
    need = random_need(rng, need, n_components, n_features)
    state = engine.open(block, need, n_components)
    sums = engine.step(block, state, None, need, Rule.GIVEN, np.zeros((n_components, n_features)))
    packed = pickle.dumps(sums, 5)
    found = pickle.loads(packed)
    assert vars(found).keys() == vars(sums).keys()
    for name, value in vars(sums).items():
        if isinstance(value, np.ndarray):
            assert_same_bits(getattr(found, name), value, name)
        elif name != "need":
            assert getattr(found, name) == value
    if need.second is Second.FULL and sums.second is not None:
        others = sum(array.nbytes for array in (sums.mass, sums.first, sums.anchor))
        assert len(packed) - others < 0.6 * sums.second.nbytes


@pytest.mark.parametrize("need", NEEDS, ids=str)
def test_sums_that_are_dealt_to_parts_of_components_merge_to_the_same_bits(engine, need, rng):
    n_features, n_components = 3, 7
    need = random_need(rng, need, n_components, n_features)
    tree = Tree()
    for leaf in range(5):
        block = Block(0, rng.normal(size=(50, n_features)), None, rng.dirichlet(np.ones(n_components), 50))
        state = engine.open(block, need, n_components)
        sums = engine.step(block, state, None, need, Rule.GIVEN, np.zeros((n_components, n_features)))
        sums = replace(sums, log_likelihood=rng.normal(), background=rng.random(), visits=rng.random(3))
        tree.add(Sums([sums, sums + sums]), 1, leaf)
    parts = pickle.loads(pickle.dumps(tree.dealt(3), 5))
    assert [[len(each.mass) for each in part.total] for part in parts] == [[3, 3], [2, 2], [2, 2]]
    assert not any(each.log_likelihood or each.background for part in parts[1:] for each in part.total)
    for found, expected in zip(Sums.joined([part.total for part in parts]), tree.total, strict=True):
        for name in ("mass", "first", "second", "anchor", "log_likelihood", "row_weight", "visits", "background"):
            one, other = getattr(found, name), getattr(expected, name)
            assert (one is None) == (other is None)
            assert one is None or np.array_equal(one, other)
        assert found.need == expected.need
