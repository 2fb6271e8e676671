"""Tests of the first M-step: structures share its moments, and components without rows get sensible values."""

import numpy as np
import pytest
from common import ArraySource, InitialMoments, Objective, StopRule, final_state, run_em

from gaussmix import FAMILIES, Mixture
from gaussmix._src.em.initialisation.initial import split_heaviest
from gaussmix._src.em.step.maximise import EMPTY_COMPONENT_WEIGHT
from gaussmix._src.testing.check_family import as_needed
from gaussmix.extend import Partition, nearest_centre
from gaussmix.testing import PROBLEMS


class CountingSource(ArraySource):
    """Source that counts passes over its rows."""

    n_passes = 0

    def map_merge(self, task):
        self.n_passes += 1
        return super().map_merge(task)


def parameters_of(model):
    return model.weights, model.means, model.covariances.each


def test_structures_that_share_initial_moments_get_the_same_values_as_alone(engine):
    data = PROBLEMS["overlapping"]
    source = CountingSource(data.rows, None, data.labels)
    first = InitialMoments(source, engine, data.n_components, Partition())
    for family in FAMILIES.values():
        shared = first.model(family, data.objective, data.source)
        alone = InitialMoments(data.source, engine, data.n_components, Partition()).model(family, data.objective)
        for one, other in zip(parameters_of(shared), parameters_of(alone), strict=True):
            np.testing.assert_array_equal(one, other)
    further = sum(family.n_first_updates - 1 for family in FAMILIES.values())
    assert source.n_passes == 1 + len({family.moment_spec(None) for family in FAMILIES.values()}) + further


@pytest.mark.parametrize("name", ["full", "diag", "spherical", "VEV"])
@pytest.mark.parametrize("has_centres", [True, False])
def test_an_empty_component_starts_with_the_pooled_covariance_at_its_centre(name, has_centres, engine, rng):
    """The mean of an empty component is its centre if the partition has centres, otherwise the mean of all rows."""
    rows = np.concatenate([rng.normal(size=(30, 2)) * [1.0, 2.0], rng.normal([9.0, 4.0], size=(50, 2))])
    labels = np.repeat(np.array([0, 2], dtype=np.int32), (30, 50))
    centres = np.array([[0.0, 0.0], [1e3, -1e3], [9.0, 4.0]])
    source = ArraySource(rows, None, None if has_centres else labels)
    partition = nearest_centre(centres) if has_centres else Partition()
    family, objective = FAMILIES[name], Objective(np.zeros(2))
    found = InitialMoments(source, engine, 3, partition).model(family, objective)
    np.testing.assert_allclose(found.means[1], centres[1] if has_centres else rows.mean(axis=0), rtol=1e-13)
    assert found.weights[1] == pytest.approx(EMPTY_COMPONENT_WEIGHT / 3 / (1 + EMPTY_COMPONENT_WEIGHT / 3), rel=1e-13)
    if name != "VEV":  # components of VEV share a shape
        scatter = sum(len(part) * np.cov(part.T, bias=True) for part in (rows[:30], rows[30:]))
        pooled = family.update(as_needed(family, np.full(1, 80.0), scatter[None]), None)
        np.testing.assert_allclose(found.covariances.dense()[1], pooled.dense()[0], rtol=1e-12)
    alone = InitialMoments(ArraySource(rows, None, labels // 2), engine, 2, Partition()).model(family, objective)
    np.testing.assert_allclose(found.covariances.dense()[[0, 2]], alone.covariances.dense(), rtol=1e-9, atol=1e-9)


def test_split_heaviest_moves_means_along_the_relatively_widest_feature():
    """Feature 0 has larger variances, but most of its spread is between components; feature 1 is far from 0."""
    covariances = np.array([[[4.0, 1.0], [1.0, 1.0]], [[4.0, 0.0], [0.0, 1.0]]])
    initial = Mixture([0.6, 0.4], [[0.0, 100.0], [6.0, 100.0]], covariances, FAMILIES["full"])._model
    model = split_heaviest(initial, 3)
    np.testing.assert_allclose(model.weights, [0.3, 0.4, 0.3])
    step = 0.1 * covariances[0, 1]
    np.testing.assert_allclose(model.means, [initial.means[0] + step, initial.means[1], initial.means[0] - step])
    np.testing.assert_array_equal(model.covariances.dense(), covariances[[0, 1, 0]])


@pytest.mark.heavy
@pytest.mark.parametrize("name", FAMILIES)
def test_split_heaviest_hardly_changes_the_density_and_em_ends_no_lower(name, engine):
    problem, family = PROBLEMS["overlapping"], FAMILIES[name]
    end = final_state(run_em(problem.source, engine, problem.start(family), problem.objective, StopRule(1e-6, 500)))
    model = split_heaviest(end.model, 5)
    assert model.n_components == 5
    assert model.weights.sum() == pytest.approx(1.0, rel=1e-14)
    assert (model.weights @ model.means) == pytest.approx(end.model.weights @ end.model.means, abs=1e-13)
    states = list(run_em(problem.source, engine, model, problem.objective, StopRule(1e-6, 500)))
    assert states[-1].trace.objective[0] > end.trace.last_objective - 0.01
    assert states[-1].trace.last_objective > end.trace.last_objective - 1e-5
