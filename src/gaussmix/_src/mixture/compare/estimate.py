"""A number that sampling found, with how far off it may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from gaussmix._src.numerics.arrays import Array

Value = TypeVar("Value", float, Array)


@dataclass(frozen=True, eq=False)
class Estimate(Generic[Value]):
    """What Monte Carlo or quasi-Monte Carlo found, and its standard error.

    A pair: `value, error = estimate` takes it apart.

    Parameters
    ----------
    value : the estimate, a number or an array.
    error : its standard error, of the same shape and unit; 0 where a closed form gave the value.
    """

    value: Value
    error: Value

    def __iter__(self) -> Iterator[Value]:
        yield self.value
        yield self.error


Estimate.__module__ = "gaussmix"  # where users import it from
