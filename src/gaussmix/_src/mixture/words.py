"""Text about a mixture: one line, names of features, weights, and means with standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

import numpy as np

from gaussmix._src.errors import counted, invented_names
from gaussmix._src.mixture.base import MixtureBase
from gaussmix._src.numerics.arrays import Array

_MAX_NAMES, _MAX_WEIGHTS = 5, 6  # largest numbers of feature names and weights in one line of text
_MAX_NAME_LENGTH = 24


def size_of(mixture: MixtureBase) -> str:
    """Return text about components, covariance structure and features, such as "2 components, full, 2 features"."""
    family = mixture.family
    options = ", ".join(f"{name}={value}" for name, value in family.non_default_params.items())
    structure = f"{family.name} ({options})" if options else family.name
    return f"{counted(mixture.n_components, 'component')}, {structure}, {counted(mixture.n_features, 'feature')}"


def line_of(mixture: MixtureBase) -> str:
    """Return one line with the text of `size_of`, the first feature names and the weights of the first components."""
    features = f" ({first_names(mixture.feature_names)})" if mixture.feature_names else ""
    weights = ", ".join(f"{weight:.3g}" for weight in mixture.weights[:_MAX_WEIGHTS])
    rest = ", …" if mixture.n_components > _MAX_WEIGHTS else ""
    noise = "" if mixture.noise is None else f", noise {mixture.noise.weight:.3g}"
    return f"{size_of(mixture)}{features}, weight{'s' * (mixture.n_components > 1)} {weights}{rest}{noise}"


def names_of(mixture: MixtureBase) -> tuple[str, ...]:
    """Return the names of the features, or x0, x1, … if the features have no names."""
    return mixture.feature_names or invented_names(mixture.n_features)


def weight_text(weight: float) -> str:
    """Format a weight with four decimals, or in scientific notation if all four decimals would be 0."""
    return f"{weight:.4f}" if weight >= 0.00005 or weight == 0 else f"{weight:.1e}"


def mean_and_deviation(means: Array, deviations: Array) -> list[str]:
    """Format one feature as "mean ± sd" for each component; the smallest sd has three significant digits.

    If the standard deviations or means span many orders of magnitude, each sd has three significant digits instead.
    """
    smallest, largest = float(deviations.min()), float(deviations.max())
    decimals = max(0, 2 - floor(log10(smallest or 1.0)))
    pairs = list(zip(means, deviations, strict=True))
    if largest < 100 * smallest and max(largest, float(np.abs(means).max())) < 1e7 and decimals <= 7:
        return [f"{mean:.{decimals}f} ± {sd:.{decimals}f}" for mean, sd in pairs]
    return [_with_own_digits(mean, sd) for mean, sd in pairs]


def _with_own_digits(mean: float, sd: float) -> str:
    if sd == 0:
        return f"{mean:.6g} ± 0"
    beyond = floor(log10(abs(mean)) - log10(sd)) if abs(mean) > sd else 0
    return f"{mean:.{min(3 + beyond, 15)}g} ± {sd:.3g}"


def first_names(names: Sequence[str]) -> str:
    """Return the first few names, separated by commas."""
    return ", ".join([*map(shorten, names[:_MAX_NAMES]), *["…"][: len(names) - _MAX_NAMES]])


def shorten(name: str) -> str:
    """Return a name with control characters escaped, and shortened if it is long."""
    printable = name if name.isprintable() else repr(name)
    return printable if len(printable) <= _MAX_NAME_LENGTH else f"{printable[: _MAX_NAME_LENGTH - 1]}…"
