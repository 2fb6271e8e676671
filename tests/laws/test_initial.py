"""The first M-step of many structures: one pass for the means, and one for each kind of moments."""

import numpy as np

from gaussmix.em.initial import InitialMoments
from gaussmix.families import FAMILIES
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import Partition
from gaussmix.testing import PROBLEMS


class CountingSource(ArraySource):
    """Counts passes over its rows."""

    n_passes = 0

    def map_merge(self, task):
        self.n_passes += 1
        return super().map_merge(task)


def numbers(model):
    return model.weights, model.means, model.covariances.each


def test_a_kind_of_moments_is_summed_once_and_gives_every_structure_its_own_start(engine):
    given = PROBLEMS["overlapping"]
    source = CountingSource(given.rows, None, given.labels)
    first = InitialMoments(source, engine, given.n_components, Partition())
    for family in FAMILIES.values():
        shared = first.model(family, given.objective, given.source)
        alone = InitialMoments(given.source, engine, given.n_components, Partition()).model(family, given.objective)
        for one, other in zip(numbers(shared), numbers(alone), strict=True):
            np.testing.assert_array_equal(one, other)
    further = sum(family.n_first_updates - 1 for family in FAMILIES.values())
    assert source.n_passes == 1 + len({family.need(None) for family in FAMILIES.values()}) + further
