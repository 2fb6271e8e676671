"""Tests of prior knowledge of rows' components in engines: a prior for each row, independent of blocks."""

from dataclasses import replace

import numpy as np
import pytest
from common import AssignmentRule, Block, MomentSpec, Second, assert_same_bits
from every_engine import ENGINES

from gaussmix import FAMILIES
from gaussmix.testing import PROBLEMS

SPECS = [MomentSpec(Second.FULL), MomentSpec(Second.DIAGONAL), MomentSpec(Second.NONE)]


@pytest.fixture(params=["complete", "all candidates"])
def engine(request):
    return ENGINES[request.param](2)


def prior_of(rng, n_rows, n_components):
    """Draw random log priors, with at least one component of log prior 0 for each row."""
    log_prior = np.log(rng.random((n_rows, n_components)))
    log_prior[rng.random(log_prior.shape) < 0.4] = -np.inf
    log_prior[np.arange(n_rows), rng.integers(n_components, size=n_rows)] = 0.0
    return log_prior


def joint_of(parameters, rows, log_prior):
    """Compute log p(x, k), including the log prior of each row, by a sum over features."""
    whitened = [parameters.whitening.whiten(k, rows - mean) for k, mean in enumerate(parameters.means)]
    squares = np.array([(each**2).sum(axis=1) for each in whitened]).T
    return parameters.log_scale - 0.5 * squares + log_prior


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.second.name)
@pytest.mark.parametrize("log_noise", [-np.inf, -4.0])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_engines_add_the_log_prior_of_each_row_to_its_log_densities(name, log_noise, spec, engine, rng):
    problem = PROBLEMS["weighted"]
    parameters = replace(problem.start(FAMILIES[name]).parameters, log_noise_density=log_noise)
    rows, weight, n_columns = problem.rows, problem.row_weight, 3 + (log_noise > -np.inf)
    log_prior = prior_of(rng, len(rows), n_columns)
    joint = joint_of(parameters, rows, log_prior[:, :3])
    joint = np.column_stack((joint, log_noise + log_prior[:, 3])) if n_columns > 3 else joint
    density = np.logaddexp.reduce(joint, axis=1)
    weighted = weight[:, None] * np.exp(joint - density[:, None])
    block = Block(0, rows, weight, log_prior=log_prior)
    found = engine.step(block, engine.make_state(block, 3), parameters, spec)
    np.testing.assert_allclose(found.mass, weighted[:, :3].sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.noise_mass, weighted[:, 3:].sum(), rtol=1e-9)
    assert found.log_likelihood == pytest.approx(float(weight @ density), rel=1e-12)
    np.testing.assert_allclose(engine.log_density(block, parameters), density, rtol=1e-11)
    hard = engine.step(block, engine.make_state(block, 3), parameters, spec, AssignmentRule.HARD)
    best = joint.argmax(axis=1)
    np.testing.assert_allclose(hard.mass, np.bincount(best, weight, 4)[:3], rtol=1e-12)
    np.testing.assert_array_equal(engine.labels(block, parameters), np.where(best < 3, best, -1))


def test_indices_of_priors_give_the_same_bits_as_one_prior_per_row(engine, rng):
    problem = PROBLEMS["overlapping"]
    parameters, spec, n_rows = problem.start(FAMILIES["full"]).parameters, MomentSpec(Second.FULL), len(problem.rows)
    table, indices = prior_of(rng, 5, 3), rng.integers(-1, 5, size=n_rows).astype(np.int32)
    per_row = np.where(indices[:, None] < 0, 0.0, table[indices])
    indexed, explicit = Block(0, problem.rows, None, None, table, indices), Block(0, problem.rows, None, None, per_row)
    found, expected = (engine.step(each, engine.make_state(each, 3), parameters, spec) for each in (indexed, explicit))
    for name in ("mass", "first", "second", "log_likelihood"):
        assert_same_bits(getattr(found, name), getattr(expected, name), name)


@pytest.mark.parametrize("engine", ["complete"], indirect=True)  # truncated EM has errors of 1e-4 for these rows
def test_distant_rows_belong_only_to_components_that_their_prior_allows(engine):
    """The two allowed components are 1e6 standard deviations away, and the third, forbidden one is at the rows."""
    means = np.array([[0.0, 0.0], [0.0, 3.0], [1e6, 0.0]])
    start = PROBLEMS["overlapping"].start(FAMILIES["spherical"])
    covariances = start.family.covariances(np.ones(3), 3, 2)
    model = replace(start, weights=np.array([0.2, 0.3, 0.5]), means=means, covariances=covariances)
    rows = np.array([[1e6, 1.0], [1e6, 2.0], [1e6, 1.5]])
    block = Block(0, rows, log_prior=np.array([[0.0, 0.0, -np.inf]]), prior_indices=np.zeros(3, np.int32))
    odds = np.log(0.3 / 0.2) + 3 * rows[:, 1] - 4.5  # exact odds of the second component
    expected = (1 / (1 + np.exp(odds))).sum()
    spec = MomentSpec(Second.NONE)
    found = engine.step(block, engine.make_state(block, 3), model.parameters, spec)
    np.testing.assert_allclose(found.mass, [expected, 3 - expected, 0.0], rtol=1e-9)
