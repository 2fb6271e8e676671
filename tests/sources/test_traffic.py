"""The traffic of a pass is estimated before it, and a pass that exceeds a limit is rejected with the estimate."""

import math
import os
import pickle
from dataclasses import replace

import pytest
from common import ArraySource, Second, complete_engine

from gaussmix import GaussianMixture
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.numerics.core import native_target
from gaussmix._src.sources import traffic
from gaussmix._src.sources.traffic import Traffic, format_bytes
from gaussmix.extend import MomentSpec

WORDS = 3_000  # bytes of a pickle that are not numbers


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "factor_analyzer"])
def test_estimated_sizes_match_the_pickled_messages(structure, rng):
    n_components, n_features = 6, 20
    rows = rng.normal(size=(400, n_features)) + 4 * rng.integers(3, size=(400, 1))
    gm = GaussianMixture(n_components, covariance_type=structure, random_state=0, tol=1.0, reg_covar=0.1).fit(rows)
    model, source = gm.mixture_._model, ArraySource(rows)
    engine: Engine = complete_engine(1)
    task = StepTask(engine, n_components, model.parameters, model.family.moment_spec(model.covariances))
    task = replace(task, context=task.sum_moments(source).context)
    max_task, node, n_parts = task.sizes(n_features)
    assert n_parts == n_components
    sums = pickle.dumps(task.call(source.whole, task.open(source.whole)), 5)
    if native_target() is not None:  # the matrices of the reference engine are symmetric only up to rounding
        assert len(sums) < node + WORDS
        assert len(sums) > node
    assert len(pickle.dumps(task, 5)) < max_task + WORDS


def test_a_pass_that_exceeds_the_limits_is_rejected():
    settings = {"n_components": 1, "n_leaves": 5, "n_nodes": 4, "largest": 1e9, "setting": "the setting"}
    small = Traffic(task=10**6, node=10**8, n_workers=50, **settings)
    assert small.checked() is small
    assert (small.received_bytes, small.memory) == (4 * 10**8, 2 * 10**6 + 12 * 10**8)
    with pytest.raises(MemoryError, match=r"sends 1.2 GB of sums .* the setting is 1 GB\. Set it to 2.4 GB when"):
        replace(small, n_nodes=12).checked()
    with pytest.raises(MemoryError, match=r"takes 1.2e\+09 GB of memory\. This machine has .* GB\. Use a larger"):
        replace(small, node=10**17, largest=1e30).checked()


@pytest.mark.parametrize(
    ("n_components", "n_features", "n_leaves", "n_workers", "n_parts"),
    [
        (16, 32, 152_626, 1_000, 1),
        (100, 64, 15_263, 1_000, 1),
        (1_024, 32, 15_263, 1_000, 2),
        (1_000, 200, 1, 1_000, 1),
        (1_000, 200, 4, 1_000, 2),
        (1_000, 200, 15_263, 1_000, 54),
        (1_000, 200, 15_263, 2, 16),
        (1_000, 200, 15_263, 0, 54),
        (3, 10_000, 15_263, 1_000, 3),
    ],
)
def test_large_sums_are_split_into_parts(n_components, n_features, n_leaves, n_workers, n_parts):
    """Check that no merging task has more than 1 GiB of sums, unless the sums of one component are larger."""
    task = StepTask(complete_engine(1), n_components, None, MomentSpec(Second.FULL))
    estimate = Traffic(*task.sizes(n_features), n_workers, n_leaves, n_nodes=16)
    assert estimate.n_parts == n_parts
    assert estimate.merging <= n_parts * 2**30 or n_parts == n_components
    assert estimate.received_bytes == estimate.node * (16 if n_parts == 1 else 1)


def test_format_bytes_chooses_units():
    assert [format_bytes(size) for size in (10, 1_500, 2.5e6, 7e12)] == ["0.01 kB", "1.5 kB", "2.5 MB", "7e+03 GB"]


def test_physical_memory_has_a_plausible_size():
    assert traffic.physical_memory() > 1e8
    assert math.isinf(traffic.physical_memory()) != hasattr(os, "sysconf")  # Windows does not report its memory
