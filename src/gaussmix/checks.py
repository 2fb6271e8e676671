"""Whole numbers that a user gives."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def check_count(name: str, value: Any, smallest: int) -> int:
    """A whole number that is not below `smallest`; raises TypeError or ValueError, which call it by its name."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer ≥ {smallest}, not {value!r}.")
    if value < smallest:
        raise ValueError(f"{name}={value!r} must be an integer ≥ {smallest}.")
    return int(value)
