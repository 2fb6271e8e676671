"""Fits that must be the same: of two estimators, or before and after a file."""

from __future__ import annotations

import io
from typing import Any

from common import assert_same_bits


def assert_same_fit(actual: Any, expected: Any) -> None:
    """Raise unless two fitted estimators have the same log-likelihoods, weights, means and covariances to the bit."""
    for name in "lower_bounds_", "weights_", "means_", "covariances_":
        assert_same_bits(getattr(actual, name), getattr(expected, name), name)


def reloaded(fitted: Any) -> Any:
    """What is fitted after `save` and `load`."""
    file = io.BytesIO()
    fitted.save(file)
    file.seek(0)
    return type(fitted).load(file)
