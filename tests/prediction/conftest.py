"""Rows for estimators that predict."""

import numpy as np
import pytest


@pytest.fixture
def classes(rng):
    """Return X, y of three classes with 60 rows in 2 columns; the third class has two clusters."""
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 6.0], [6.0, 6.0]])
    parts = np.repeat([0, 1, 2, 3], [60, 60, 30, 30])
    return centres[parts] + rng.normal(size=(180, 2)) * [1.0, 0.7], np.minimum(parts, 2)


@pytest.fixture
def v_shaped(rng):
    """Return 200 rows of x and y = |x| + noise: X (200, 1), y (200,)."""
    x = rng.uniform(-3, 3, size=200)
    return x[:, None], np.abs(x) + 0.2 * rng.normal(size=200)
