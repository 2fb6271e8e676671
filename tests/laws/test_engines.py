"""Tests of all engines and of the moments that engines sum."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from check_engine import CHECKS, check_reproducible
from check_moments import check_moments
from common import AssignmentRule, Block, Model, Second, assert_same_bits
from every_engine import ENGINES
from random_parameters import SPECS, random_spec

from gaussmix import FAMILIES
from gaussmix._src.engines.complete.distant import MAX_ROWS_COMPARED_SINGLY, distant_rows
from gaussmix._src.interfaces.leaves import Sums, Tree
from gaussmix._src.testing.check_family import updated
from gaussmix.extend import Isotropic

HEAVY = {"check_leaves": pytest.mark.heavy}


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize(
    "check", [pytest.param(check, id=check.__name__, marks=HEAVY.get(check.__name__, ())) for check in CHECKS]
)
def test_an_engine_agrees_with_the_reference_engine(check, engine, rng):
    check(engine, rng)


def test_threads_and_layouts_change_no_bit_of_the_core(rng):
    """Check only the core, because the reference engine uses BLAS, whose rounding may depend on threads and layouts."""
    check_reproducible(ENGINES["complete"], rng)


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "EEI", "spherical", "EII"])
def test_no_row_within_the_inner_box_is_distant(engine, name, n_features, rng):
    family = FAMILIES[name]
    for _ in range(10):
        roots = rng.normal(size=(3, n_features, n_features)) * 10.0 ** rng.uniform(-3, 3, size=(3, 1, 1))
        ridge = 1e-6 * np.square(roots).sum(axis=(1, 2))
        second = roots @ roots.swapaxes(1, 2) + ridge[:, None, None] * np.eye(n_features)
        covariances = updated(family, np.ones(3), second)
        means = rng.normal(size=(3, n_features)) * 10.0 ** rng.uniform(-2, 6)
        parameters = Model(rng.dirichlet(np.ones(3)), means, covariances, family).parameters
        low, high = parameters.inner_box
        assert (high - low >= 10 * np.sqrt(covariances.variances().min(axis=0))).all()
        rows = np.concatenate([low + (high - low) * rng.random((400, n_features)), [low, high]])
        assert (engine.log_density(Block(0, rows), parameters) >= parameters.distant_limit).all()


@pytest.mark.parametrize("n_rows", [MAX_ROWS_COMPARED_SINGLY - 1, MAX_ROWS_COMPARED_SINGLY + 1])
def test_distant_rows_returns_the_index_of_an_outlier_for_few_and_many_rows(engine, n_rows, rng):
    means, spheres = np.array([[0.0, 0.0], [5.0, 0.0]]), Isotropic(np.ones(2), 2, 2)
    parameters = Model(np.full(2, 0.5), means, spheres, FAMILIES["spherical"]).parameters
    rows = rng.normal(size=(n_rows, 2))
    assert not distant_rows(Block(0, rows), parameters, engine.log_density).size
    rows[7] = 3e4
    assert distant_rows(Block(0, rows), parameters, engine.log_density).tolist() == [7]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_moments_of_an_engine_pass_check_moments(engine, spec, rng):
    check_moments(engine, spec, rng)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_pickled_sums_keep_their_bits_and_half_of_each_symmetric_matrix(engine, spec, rng):
    n_features, n_components = 30, 4
    block = Block(0, rng.normal(size=(50, n_features)), None, rng.dirichlet(np.ones(n_components), 50))
    spec = random_spec(rng, spec, n_components, n_features)
    state = engine.make_state(block, n_components)
    sums = engine.step(block, state, None, spec, AssignmentRule.ASSIGNMENT, np.zeros((n_components, n_features)))
    packed = pickle.dumps(sums, 5)
    found = pickle.loads(packed)
    assert vars(found).keys() == vars(sums).keys()
    for name, value in vars(sums).items():
        if isinstance(value, np.ndarray):
            assert_same_bits(getattr(found, name), value, name)
        elif name != "spec":
            assert getattr(found, name) == value
    if spec.second is Second.FULL and sums.second is not None:
        others = sum(array.nbytes for array in (sums.mass, sums.first, sums.anchor))
        assert len(packed) - others < 0.6 * sums.second.nbytes


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_tree_split_by_component_joins_to_the_same_bits(engine, spec, rng):
    n_features, n_components = 3, 7
    spec = random_spec(rng, spec, n_components, n_features)
    tree = Tree()
    for leaf in range(5):
        block = Block(0, rng.normal(size=(50, n_features)), None, rng.dirichlet(np.ones(n_components), 50))
        state = engine.make_state(block, n_components)
        sums = engine.step(block, state, None, spec, AssignmentRule.ASSIGNMENT, np.zeros((n_components, n_features)))
        sums = replace(sums, log_likelihood=rng.normal(), noise_mass=rng.random(), pass_counts=rng.random(3))
        tree.add(Sums([sums, sums + sums]), 1, leaf)
    parts = pickle.loads(pickle.dumps(tree.split_by_component(3), 5))
    assert [[len(each.mass) for each in part.total] for part in parts] == [[3, 3], [2, 2], [2, 2]]
    assert not any(each.log_likelihood or each.noise_mass for part in parts[1:] for each in part.total)
    for found, expected in zip(Sums.joined([part.total for part in parts]), tree.total, strict=True):
        for name in ("mass", "first", "second", "anchor", "log_likelihood", "row_weight", "pass_counts", "noise_mass"):
            one, other = getattr(found, name), getattr(expected, name)
            assert (one is None) == (other is None)
            assert one is None or np.array_equal(one, other)
        assert found.spec == expected.spec
