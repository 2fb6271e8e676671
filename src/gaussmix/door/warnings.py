"""Warnings that name the line of the user's program."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


def warn(sentence: str | None, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line that called into gaussmix, however deep in gaussmix the reason was found; None is no reason."""
    if sentence is None:
        return
    for level in count(1):  # from Python 3.12 on, `skip_file_prefixes` does this
        frame = sys._getframe(level)
        if frame.f_back is None or not frame.f_globals.get("__name__", "").startswith(("gaussmix.", "contextlib")):
            break
    warnings.warn(sentence, category, stacklevel=level + 1)


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
