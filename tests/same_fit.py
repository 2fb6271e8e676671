"""Two fitted estimators that must be the same."""

from __future__ import annotations

from typing import Any

from gaussmix.testing.closeness import assert_same_bits


def assert_same_fit(actual: Any, expected: Any) -> None:
    """Raise unless two fitted estimators have the same log-likelihoods, weights, means and covariances to the bit."""
    for name in "lower_bounds_", "weights_", "means_", "covariances_":
        assert_same_bits(getattr(actual, name), getattr(expected, name), name)
