"""Checks of arguments such as counts, seeds, names and numbers. Each error message names the argument."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from math import prod
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import numerics
from gaussmix._src.errors import ParameterTypeError, counted
from gaussmix._src.numerics.arrays import Array, plain_array
from gaussmix._src.numerics.rows import MAX_DOUBLE, bad_cell

Rng = np.random.Generator | int | None
Values = TypeVar("Values", float, Array)


def check_within(name: str, value: Any, what: str, is_allowed: Callable[[float], bool]) -> float:
    """Check and return an allowed number; raises TypeError or ValueError. `what` describes the allowed numbers."""
    if isinstance(value, bool) or not isinstance(value, (float, Real)):  # testing float first is 7 times as fast
        raise ParameterTypeError(f"{name} must be {what}, not {reprlib.repr(value)}.")
    try:
        number = float(value)
    except OverflowError:  # raised for an integer that is too large for a double
        number = np.inf
    if not is_allowed(number):
        raise ValueError(f"{name}={reprlib.repr(value)} must be {what}.")
    return number


def check_positive(name: str, value: Any) -> float:
    """Check and return a finite number above 0; raises TypeError or ValueError."""
    return check_within(name, value, "a finite number above 0", lambda number: 0 < number < np.inf)


def check_nonnegative(name: str, value: Any, hint: str = "") -> float:
    """Check and return a finite number ≥ 0; `hint` continues the description of allowed numbers in error messages."""
    return check_within(name, value, f"a finite number ≥ 0{hint}", lambda number: 0 <= number < np.inf)


def check_fraction(name: str, value: Any) -> float:
    """Check and return a number from 0 to 1; raises TypeError or ValueError."""
    return check_within(name, value, "a number from 0 to 1", lambda number: 0 <= number <= 1)


def check_count(name: str, value: Any, smallest: int) -> int:
    """Check and return an integer that is at least `smallest`; raises TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, Integral)):
        raise ParameterTypeError(f"{name} must be an integer ≥ {smallest}, not {value!r:.60}.")
    if value < smallest:
        raise ValueError(f"{name}={value!r:.60} must be an integer ≥ {smallest}.")
    return int(value)


def generator(rng: Rng, otherwise: int | None = None, name: str = "rng") -> np.random.Generator:
    """Return `rng` if it is a generator, else a new generator seeded by `rng` or, if `rng` is None, by `otherwise`.

    The error for any other value of `rng` names the parameter `name`.
    """
    try:
        return np.random.default_rng(otherwise if rng is None else rng)
    except (TypeError, ValueError) as error:
        kind = ParameterTypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name} must be a numpy.random.Generator, a seed (an integer ≥ 0), or None, not {rng!r:.60}."
        ) from None


def check_names(names: Iterable[str], n_features: int, parameter: str = "feature_names") -> tuple[str, ...]:
    """Check a name for each feature and return the names as a tuple; raises TypeError or ValueError."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ParameterTypeError(f"{parameter} must be a list of names, one for each feature, not {names!r:.60}.")
    checked = tuple(names)
    for name in checked:
        if not isinstance(name, str):
            raise ParameterTypeError(f"{parameter} must be text, not {name!r:.60}.")
    if len(checked) != n_features:
        raise ValueError(f"{parameter} has {counted(len(checked), 'name')} for {counted(n_features, 'feature')}.")
    return checked


def check_real(name: str, values: Any) -> NDArray[Any]:
    """Check real numbers and return them as an array of unchanged dtype; NaN and infinity are allowed.

    Masked values become NaN. TypeError or ValueError is raised if values are not real numbers or rows differ in length.
    """
    frame = numerics.frames.Frame.from_table(values)
    if frame is not None:
        return frame.rows(name)
    try:
        array: NDArray[Any] = np.asarray(plain_array(values))
    except ValueError:
        raise ValueError(f"{name} must be an array of real numbers, with rows of equal length.") from None
    if array.dtype.kind not in "fiub":
        what = "text" if array.dtype.kind in "US" else array.dtype if array.ndim else f"{values!r:.60}"
        raise ParameterTypeError(f"{name} must be real numbers, not {what}.")
    return array


def check_finite(name: str, values: ArrayLike, n_axes: int | None = None) -> Array:
    """Check that numbers are real and finite and, if `n_axes` is given, have `n_axes` axes; return a float64 array."""
    array = check_real(name, values)
    if n_axes is not None and array.ndim != n_axes:
        raise ValueError(f"{name} must have {n_axes} ax{'i' if n_axes == 1 else 'e'}s, but has shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity, but all numbers must be finite.")
    return array.astype(np.float64)


def check_probabilities(name: str, values: ArrayLike) -> Array:
    """Check probabilities and return them as a float64 array; raises TypeError or ValueError."""
    array = check_real(name, values).astype(np.float64)
    wrong = ~((array >= 0) & (array <= 1))
    if wrong.any():
        raise ValueError(f"{name} contains {array[wrong][0]}, but probabilities must be from 0 to 1.")
    return array


def check_range(values: Values, sentence: str, largest: float = MAX_DOUBLE) -> Values:
    """Check and return the values; raise ValueError if a value is NaN or its absolute value is above `largest`.

    In the error message `sentence`, `{row}` is replaced by the index of the first such value along the first axis.
    """
    array = np.asarray(values)
    rows = array.reshape(len(array), prod(array.shape[1:])) if array.ndim else array.reshape(1, 1)
    cell = bad_cell(rows, largest)
    if cell is not None:
        raise ValueError(sentence.format(row=cell.row))
    return values
