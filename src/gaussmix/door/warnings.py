"""Warnings that name the line of the user's program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from gaussmix.errors import warn

__all__ = ["about", "warn"]


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Begin errors and warnings with what they are about."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
    for warning in caught:
        warn(f"{subject}: {warning.message}", warning.category)
