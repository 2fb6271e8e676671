"""A value estimated by sampling, with its standard error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from gaussmix._src.numerics.arrays import Array

Value = TypeVar("Value", float, Array)


@dataclass(frozen=True, eq=False)
class Estimate(Generic[Value]):
    """An estimate computed by Monte Carlo or quasi-Monte Carlo, with its standard error.

    An estimate can be unpacked like a tuple, as in `value, error = estimate`.

    Parameters
    ----------
    value : the estimate, a number or an array.
    error : standard error of the estimate, with the shape and the unit of `value`; 0 if the value was computed in
        closed form.
    """

    value: Value
    error: Value

    def __iter__(self) -> Iterator[Value]:
        yield self.value
        yield self.error


Estimate.__module__ = "gaussmix"  # the public module that exports Estimate
