"""A mixture's numbers to a file or a dictionary and back, checked on both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaussmix import formats
from gaussmix.families.base import FAMILIES, Family, family_named
from gaussmix.formats import Details, Place, Record
from gaussmix.mixture.features import checked_names
from gaussmix.model import flaw
from gaussmix.numerics.arrays import Array

Numbers = tuple[Array, Array, Array, Family]  # weights, means, covariances, family: what a Mixture is made of

_FORMAT = {"format": "gaussmix-mixture", "version": 1}  # of dictionaries, as of files
_ARRAYS = ("weights", "means", "covariances")


def write(place: Place, numbers: Numbers, details: Details | None = None) -> None:
    """Write a mixture's numbers; raises ValueError where they make no mixture, OSError where nothing can be written."""
    weights, means, covariances, family = _sound(numbers)
    record = Record(family.name, weights, means, covariances, details or Details(), family_options=dict(family.options))
    formats.save(place, record)


def read(place: Place) -> tuple[Numbers, Record]:
    """Read numbers that make a mixture, and the record they come from; raises NotAModelFile or OSError."""
    record = formats.load(place)
    family = _family(record.family, record.family_options)
    if family is None:
        why = f"it holds covariances of the structure {record.family!r:.40}, which this gaussmix lacks"
        raise formats.not_usable(place, why)
    numbers = record.weights, record.means, record.covariances, family
    wrong = flaw(*numbers)
    if wrong is not None:
        raise formats.not_usable(place, wrong)
    return numbers, record


def to_dict(numbers: Numbers, names: tuple[str, ...] | None) -> dict[str, Any]:
    """A dictionary of plain values; raises ValueError where the numbers make no mixture."""
    weights, means, covariances, family = _sound(numbers)
    arrays = {"weights": weights, "means": means, "covariances": covariances}
    named = {} if names is None else {"feature_names": list(names)}
    options = {"family_options": dict(family.options)} if family.options else {}
    plain = {name: array.tolist() for name, array in arrays.items()}
    return {**_FORMAT, "family": family.name, **options, **plain, **named}


def from_dict(values: Mapping[str, Any]) -> tuple[Numbers, tuple[str, ...] | None]:
    """The numbers and names in a dictionary of `to_dict`; raises ValueError where they make no mixture."""
    for key, wanted in _FORMAT.items():
        if values.get(key) != wanted:
            raise ValueError(f"This is no mixture that this gaussmix knows: its {key!r} is not {wanted!r}.")
    name = values.get("family")
    family = _family(name, values.get("family_options", {}))
    if family is None:
        raise ValueError(f"This is no mixture: its 'family' is not one of {', '.join(map(repr, FAMILIES))}.")
    weights, means, covariances = (_array(values, name) for name in _ARRAYS)
    wrong = flaw(weights, means, covariances, family)
    if wrong is not None:
        raise ValueError(f"This is no mixture: {wrong}.")
    names = values.get("feature_names")
    try:
        named = None if names is None else checked_names(names, means.shape[1])
    except (TypeError, ValueError) as error:
        raise ValueError(f"This is no mixture: {error}") from None
    return (weights, means, covariances, family), named


def _family(name: object, options: object) -> Family | None:
    """The family of its own name and options; None where there is none."""
    if not isinstance(name, str) or name not in FAMILIES or not isinstance(options, Mapping):
        return None
    try:
        return family_named(name, **options)
    except (TypeError, ValueError):
        return None


def _sound(numbers: Numbers) -> Numbers:
    family, wrong = numbers[3], flaw(*numbers)
    if family.name not in FAMILIES:
        wrong = f"its structure {family.name!r} is not registered, so nobody could read it"
    if wrong is not None:
        raise ValueError(f"This mixture can't be saved: {wrong}.")
    return numbers


def _array(values: Mapping[str, Any], name: str) -> Array:
    """Numbers that JSON has as numbers: text that looks like some is refused."""
    try:
        array = np.asarray(values.get(name))
        if array.dtype.kind in "fiu":
            return array.astype(np.float64)
    except ValueError:  # lists of unequal length
        pass
    raise ValueError(f"This is no mixture: its {name!r} are missing, or not an array of numbers.")
