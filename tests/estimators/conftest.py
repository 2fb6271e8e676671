"""Rows for tests of the estimators."""

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
