"""A fitted estimator to what a model file holds of it, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gaussmix import formats
from gaussmix.formats import Details, EstimatorRecord, FitRecord, Place
from gaussmix.mixture import files
from gaussmix.mixture.mixture import Mixture

# What makes a value in a file that of an attribute; raises TypeError or ValueError where it is of the wrong type.
Reader = Callable[[Any], Any]


def of_type(*types: type) -> Reader:
    """Values of some types; a truth is a number only where it is named."""

    def read(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise TypeError
        return value

    return read


def array_of(kinds: str, n_dimensions: int = 1) -> Reader:
    """Arrays of NumPy's kinds of numbers, or of text where "U" is one."""

    def read(value: Any) -> Any:
        array = np.asarray(value)
        if array.dtype.kind not in kinds or array.ndim != n_dimensions:
            raise TypeError
        return array

    return read


def list_of(kinds: str) -> Reader:
    """Arrays that are lists in Python."""
    return lambda value: array_of(kinds)(value).tolist()


# What a fit of a mixture finds beside it. Nothing else in a file becomes an attribute.
FOUND: dict[str, Reader] = {
    "converged_": of_type(bool),
    "n_iter_": of_type(int),
    "lower_bound_": of_type(float),
    "lower_bounds_": list_of("f"),
    "collapsed_": list_of("fiu"),
    "results_": of_type(dict),
    "best_index_": of_type(int),
}
_DTYPES = ("float32", "float64")


def details_of(estimator: Any, names: tuple[str, ...] | None = None, fit: FitRecord | None = None) -> Details:
    """What a file is to say of a fitted estimator beside its mixture.

    Parameters
    ----------
    estimator : fitted.
    names : of the features; those that its training data had by default.
    fit : how it went, where somebody knows more than the estimator.

    Raises
    ------
    ValueError : a parameter is nothing that a file can hold.
    """
    if names is None:
        names = estimator.mixture_.feature_names
    name = type(estimator).__name__
    parameters = {key: _plain(f"{name}: {key}", value) for key, value in estimator.get_params(deep=False).items()}
    attributes = {key: _plain(key, getattr(estimator, key)) for key in estimator._attributes if hasattr(estimator, key)}
    dtype = estimator._dtype.name if estimator._dtype.name in _DTYPES else _DTYPES[-1]
    return Details(names, dtype, fit, EstimatorRecord(name, parameters, attributes))


def restored(cls: Any, place: Place) -> Any:
    """The estimator that a file holds; raises NotAModelFile, OSError, or ValueError where it holds none of `cls`."""
    numbers, record = files.read(place)
    details, saved, path = record.details, record.details.estimator, formats.name_of(place)
    if saved is None:
        raise ValueError(f"{path} holds a mixture without an estimator: read it by Mixture.load.")
    if saved.name != cls.__name__:
        raise ValueError(f"{path} holds a fitted {saved.name:.60}, not a {cls.__name__}: read it by the former's load.")
    unknown = [key for key in saved.parameters if key not in cls._get_param_names()]
    if unknown:
        raise formats.not_usable(place, f"this {cls.__name__} has no parameter {unknown[0]!r:.60}; a newer one may")
    if details.dtype not in _DTYPES:
        raise formats.not_usable(place, f"its data were {details.dtype!r:.40}, which no estimator reads")
    try:
        estimator = cls(**{key: _value(key, value) for key, value in saved.parameters.items()})
        vars(estimator).update(_fitted(saved.attributes, estimator._attributes), _dtype=np.dtype(details.dtype))
    except _Unreadable as damage:
        raise formats.not_usable(place, str(damage)) from None
    estimator._woken(Mixture(*numbers, details.feature_names))
    return estimator


class _Unreadable(Exception):
    """Why a value in a file is none, as the end of a sentence."""


def _fitted(attributes: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    found = {}
    for key in readers.keys() & attributes.keys():
        try:
            found[key] = readers[key](_value(key, attributes[key]))
        except (TypeError, ValueError):
            raise _Unreadable(f"{key!r} in its header is of the wrong type") from None
    return found


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it: what is not plain becomes an object with one key that says what it is.

    Raises
    ------
    ValueError : it is nothing of the kind; the message begins with the name.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.kind in "UO"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.random.RandomState) and isinstance(value._bit_generator, np.random.MT19937):
        _, keys, *rest = value.get_state(legacy=True)
        return {"RandomState": [np.asarray(keys).tolist(), *rest]}
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return {"names": list(value)}
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        return {"table": [[key, [_plain(name, cell) for cell in column]] for key, column in value.items()]}
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {value!r:.80}, which a file can't hold: set another, or save mixture_ alone.")
    return {"array": array.tolist(), "dtype": array.dtype.name}


def _value(name: str, plain: Any) -> Any:
    """The value that `_plain` made plain; raises `_Unreadable`."""
    try:
        match plain:
            case {"float": str(text)}:
                return float(text)
            case {"RandomState": [list(keys), int(place), *rest]} if len(keys) == 624 and 0 <= place <= 624:
                state = np.random.RandomState()  # which would read beyond its keys at a place beyond them
                state.set_state(("MT19937", np.asarray(keys, dtype=np.uint32), place, *rest))
                return state
            case {"array": list(values), "dtype": str(dtype)} if np.dtype(dtype).kind in "fiub":
                return np.array(values, dtype=np.dtype(dtype))
            case {"names": [*names]} if all(isinstance(item, str) for item in names):
                return names
            case {"table": [*columns]}:
                return {str(key): [_value(name, cell) for cell in column] for key, column in columns}
            case None | bool() | int() | float() | str():
                return plain
    except (TypeError, ValueError, OverflowError, IndexError):
        pass
    raise _Unreadable(f"{name!r:.60} in its header is no value")
