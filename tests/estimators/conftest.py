"""The façade on each engine, and rows for it."""

import os

import numpy as np
import pytest

from gaussmix import engines
from gaussmix.numerics.core import native_target

FAMILIES = "full", "tied", "diag", "spherical"


def _choose(name, monkeypatch):
    """Make the façade run on an engine, as a user does."""
    monkeypatch.setenv("GAUSSMIX_ENGINE", name)
    engines._engine_name.cache_clear()


@pytest.fixture(autouse=True)
def _an_engine_that_runs(monkeypatch):
    """Where the C++ core is not built, NumPy is meant and nobody need be warned."""
    if native_target() is None and "GAUSSMIX_ENGINE" not in os.environ:
        _choose("numpy", monkeypatch)
    yield
    engines._engine_name.cache_clear()


@pytest.fixture(params=[pytest.param("native", marks=pytest.mark.needs_core), "numpy"])
def each_engine(request, monkeypatch):
    """Run the test on each engine."""
    _choose(request.param, monkeypatch)


@pytest.fixture(params=FAMILIES)
def covariance_type(request):
    return request.param


@pytest.fixture
def X(rng):
    """Three groups of 60 rows in 3 columns, five standard deviations apart."""
    centres = np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 0.0], [0.0, 5.0, 5.0]])
    return rng.permutation(np.repeat(centres, 60, axis=0) + rng.normal(size=(180, 3)))
