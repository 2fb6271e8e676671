"""Comparisons of arrays that raise an AssertionError with a readable message."""

from __future__ import annotations

from typing import Any

import numpy as np

EPS = float(np.finfo(np.float64).eps)


def assert_close(actual: Any, expected: Any, tolerance: float, scale: Any, what: str) -> None:
    """Check that |actual − expected| ≤ tolerance · scale for all elements, and that shapes and infinite elements agree.

    Parameters
    ----------
    actual, expected : arrays of the same shape.
    tolerance : maximum difference relative to `scale`; usually a multiple of ε that the caller derives.
    scale : magnitude of the terms from which `actual` was computed, in the units of `actual`; `scale` is broadcast to
        the shape of `actual`.
    what : name of the compared quantity in the error message.
    """
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if actual.shape != expected.shape:
        raise AssertionError(f"{what} has shape {actual.shape}, not {expected.shape}")
    with np.errstate(invalid="ignore"):
        is_same = (actual == expected) | (np.abs(actual - expected) <= tolerance * np.broadcast_to(scale, actual.shape))
    if not is_same.all():
        worst = tuple(int(i) for i in np.argwhere(~is_same)[0])
        raise AssertionError(
            f"{what}{list(worst)} is {actual[worst]!r}, not {expected[worst]!r} "
            f"(difference {abs(actual[worst] - expected[worst]):.3g}, allowed {tolerance:.3g} × scale)"
        )


def assert_same_bits(actual: Any, expected: Any, what: str) -> None:
    """Check that two arrays have equal values, where NaN counts as equal to NaN."""
    if not np.array_equal(np.asarray(actual), np.asarray(expected), equal_nan=True):
        raise AssertionError(f"{what} must be bit-identical, but is {actual!r} instead of {expected!r}")
