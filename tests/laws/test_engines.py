"""Laws of engines, over the registry."""

import numpy as np
import pytest
from check_engine import CHECKS, check_reproducible
from common import Block, Model
from every_engine import ENGINES

from gaussmix import FAMILIES
from gaussmix.covariances import Isotropic
from gaussmix.engines.complete.far import MAX_ROWS_COMPARED_SINGLY, far_places
from gaussmix.testing.check_family import updated

HEAVY = {"check_leaves": pytest.mark.heavy}


@pytest.mark.heavy(but=2)
@pytest.mark.parametrize(
    "check", [pytest.param(check, id=check.__name__, marks=HEAVY.get(check.__name__, ())) for check in CHECKS]
)
def test_an_engine_agrees_with_the_reference(check, engine, rng):
    check(engine, rng)


def test_threads_and_layouts_change_no_bit_of_the_core(rng):
    """NumPy's engine leaves sums to BLAS, which promises rounding only."""
    check_reproducible(ENGINES["complete"], rng)


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "EEI", "spherical", "EII"])
def test_no_row_in_the_near_box_is_far(engine, name, n_features, rng):
    family = FAMILIES[name]
    for _ in range(10):
        roots = rng.normal(size=(3, n_features, n_features)) * 10.0 ** rng.uniform(-3, 3, size=(3, 1, 1))
        ridge = 1e-6 * np.square(roots).sum(axis=(1, 2))
        second = roots @ roots.swapaxes(1, 2) + ridge[:, None, None] * np.eye(n_features)
        covariances = updated(family, np.ones(3), second)
        means = rng.normal(size=(3, n_features)) * 10.0 ** rng.uniform(-2, 6)
        parameters = Model(rng.dirichlet(np.ones(3)), means, covariances, family).parameters
        low, high = parameters.near_box
        assert (high - low >= 10 * np.sqrt(covariances.variances().min(axis=0))).all()
        rows = np.concatenate([low + (high - low) * rng.random((400, n_features)), [low, high]])
        assert (engine.log_density(Block(0, rows), parameters) >= parameters.far_limit).all()


@pytest.mark.parametrize("n_rows", [MAX_ROWS_COMPARED_SINGLY - 1, MAX_ROWS_COMPARED_SINGLY + 1])
def test_a_far_row_is_found_among_few_and_among_many(engine, n_rows, rng):
    means, spheres = np.array([[0.0, 0.0], [5.0, 0.0]]), Isotropic(np.ones(2), 2, 2)
    parameters = Model(np.full(2, 0.5), means, spheres, FAMILIES["spherical"]).parameters
    rows = rng.normal(size=(n_rows, 2))
    assert not far_places(Block(0, rows), parameters, engine.log_density).size
    rows[7] = 3e4
    assert far_places(Block(0, rows), parameters, engine.log_density).tolist() == [7]
