"""Fixtures for tests of the estimators."""

import numpy as np
import pytest

FAMILIES = "full", "tied", "diag", "spherical"


@pytest.fixture(params=FAMILIES)
def covariance_type(request):
    return request.param


@pytest.fixture
def X(rng):
    """Return three groups of 60 rows in 3 columns, whose centres are at least five standard deviations apart."""
    centres = np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 0.0], [0.0, 5.0, 5.0]])
    return rng.permutation(np.repeat(centres, 60, axis=0) + rng.normal(size=(180, 3)))


@pytest.fixture
def auto_truncates_50_components(monkeypatch):
    """Let `posterior="auto"` begin truncated EM at 50 components, so that a test needs few components and rows."""
    for name in ("posterior.MIN_TRUNCATED_COMPONENTS", "table.MIN_TRUNCATED_COMPONENTS", "posterior.MIN_PAIRS"):
        monkeypatch.setattr(f"gaussmix._src.fit.options.{name}", 50)
