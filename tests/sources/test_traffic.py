"""What a pass sends is known before it, and a pass that cannot work is refused with the numbers."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix.em.accumulate import StepTask
from gaussmix.engines import choose
from gaussmix.engines.base import Engine
from gaussmix.numerics.core import native_target
from gaussmix.sources import traffic
from gaussmix.sources.array import ArraySource
from gaussmix.sources.traffic import Traffic, said

WORDS = 3_000  # bytes of a pickle that are no numbers


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "factor_analyzer"])
def test_sizes_are_those_of_what_is_sent(structure, rng):
    n_components, n_features = 6, 20
    rows = rng.normal(size=(400, n_features)) + 4 * rng.integers(3, size=(400, 1))
    gm = GaussianMixture(n_components, covariance_type=structure, random_state=0, tol=1.0, reg_covar=0.1).fit(rows)
    model, source = gm.mixture_.model, ArraySource(rows)
    engine: Engine = choose(1)
    task = StepTask(engine, n_components, model.parameters, model.family.need(model.covariances))
    task = replace(task, facts=task.over(source).facts)
    most, node = task.sizes(n_features)
    sums = pickle.dumps(task.call(source.whole, task.open(source.whole)), 5)
    if native_target() is not None:  # the matrices of NumPy's engine are symmetric to rounding only
        assert len(sums) < node + WORDS
        assert len(sums) > node or task.need.pooled  # those may come from the total of all rows
    assert len(pickle.dumps(task, 5)) < most + WORDS


def test_a_pass_that_cannot_work_is_refused(monkeypatch):
    small = Traffic(task=10**6, node=10**8, n_workers=50, n_nodes=4, largest=1e9, setting="the setting")
    small.check()
    assert (small.down, small.up, small.memory) == (5 * 10**7, 4 * 10**8, 2 * 10**6 + 12 * 10**8)
    with pytest.raises(MemoryError, match=r"brings 1.2 GB of sums .* the setting is 1 GB\. Set it to 2.4 GB where"):
        replace(small, n_nodes=12).check()
    monkeypatch.setattr(traffic, "physical_memory", lambda: 1.1e9)
    with pytest.raises(MemoryError, match=r"takes 1.2 GB of memory\. This machine has 1.1 GB\. Use a larger one"):
        small.check()


def test_sizes_are_said_in_units():
    assert [said(size) for size in (10, 1_500, 2.5e6, 7e12)] == ["0.01 kB", "1.5 kB", "2.5 MB", "7e+03 GB"]


def test_this_machine_has_memory():
    assert traffic.physical_memory() > np.float64(1e8)
