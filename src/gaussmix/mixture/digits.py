"""The digits of a mixture's numbers that mean something to a reader, for tables in text, HTML and LaTeX."""

from __future__ import annotations

from math import floor, log10

import numpy as np
from numpy.typing import NDArray

_LONGEST_NAME = 24


def share(weight: float) -> str:
    """A weight with four decimals, or in scientific notation if they would all be 0."""
    return f"{weight:.4f}" if weight >= 0.00005 or weight == 0 else f"{weight:.1e}"


def mean_and_deviation(means: NDArray[np.float64], deviations: NDArray[np.float64]) -> list[str]:
    """ "mean ± sd" of one feature in each component, with three digits of the smallest sd.

    If deviations or numbers span many orders of magnitude, each is shown with three digits of its own.
    """
    smallest, largest = float(deviations.min()), float(deviations.max())
    decimals = max(0, 2 - floor(log10(smallest)))
    pairs = list(zip(means, deviations, strict=True))
    if largest < 100 * smallest and max(largest, float(np.abs(means).max())) < 1e7 and decimals <= 7:
        return [f"{mean:.{decimals}f} ± {sd:.{decimals}f}" for mean, sd in pairs]
    return [_with_own_digits(mean, sd) for mean, sd in pairs]


def _with_own_digits(mean: float, sd: float) -> str:
    beyond = floor(log10(abs(mean)) - log10(sd)) if abs(mean) > sd else 0
    return f"{mean:.{min(3 + beyond, 15)}g} ± {sd:.3g}"


def shorten(name: str) -> str:
    """A name without control characters, cut if it is long."""
    printable = name if name.isprintable() else repr(name)
    return printable if len(printable) <= _LONGEST_NAME else f"{printable[: _LONGEST_NAME - 1]}…"
