"""Convert values of an estimator's parameters and attributes to JSON, and JSON back to values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gaussmix._src.families.base import FAMILIES, Family, family_named
from gaussmix._src.formats.record import Damaged, Json
from gaussmix._src.value import VALUES, Value

# A function that checks and converts the value of one attribute; it raises TypeError or ValueError if the type is
# wrong.
Reader = Callable[[Any], Any]

_MAX_NUMBERS = 3_000_000  # maximum number of values in a parameter, because headers are limited to 100 MB
_DTYPE_NAMES = {np.dtype(kind).name for kind in "?bBhHiIlLqQefd"}


def instance(*types: type) -> Reader:
    """Return a `Reader` for values of the given types; a bool is valid only if bool is one of these types."""

    def read(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise TypeError
        return value

    return read


def count(value: Any) -> int:
    """Return the value if it is an integer from 0 to 2**53 (float64 represents all of these); else raise ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise ValueError
    return value


def array_reader(kinds: str, n_dimensions: int = 1) -> Reader:
    """Return a `Reader` for arrays whose `dtype.kind` is one of the letters in `kinds`, such as "U" for text."""

    def read(value: Any) -> Any:
        array = np.asarray(value)
        if array.dtype.kind not in kinds or array.ndim != n_dimensions:
            raise TypeError
        return array

    return read


def list_reader(kinds: str) -> Reader:
    """Return a `Reader` for lists of values; the letters `kinds` have the same meaning as in `array_reader`."""
    return lambda value: array_reader(kinds)(value).tolist()


def to_json(name: str, value: Any) -> Json:
    """Convert a value to JSON; a value whose type JSON lacks becomes a JSON object whose first key is the type.

    Raises ValueError if the value can't be stored in a file; the message begins with the name of the parameter.
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.kind in "UO"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.random.RandomState) and isinstance(value._bit_generator, np.random.MT19937):
        _, keys, *rest = value.get_state(legacy=True)
        return {"RandomState": [np.asarray(keys).tolist(), *rest]}
    if isinstance(value, Value):
        is_structure, own = isinstance(value, Family), getattr(value, "name", type(value).__name__)
        if type(value) is not (type(FAMILIES.get(own)) if is_structure else VALUES.get(own)):
            raise ValueError(f"{name} is {value!r:.80}, which is not registered, so a saved file could not be read.")
        parameters = [[key, to_json(key, each)] for key, each in value.non_default_params.items()]
        return {"structure" if is_structure else "value": own, "parameters": parameters}
    if isinstance(value, list | tuple | range):
        _check_size(name, _count_values(value))
        if isinstance(value, range):
            return {"range": [value.start, value.stop, value.step]}
        return {"tuple" if isinstance(value, tuple) else "list": [to_json(name, each) for each in value]}
    if isinstance(value, dict) and all(isinstance(column, list | tuple | np.ndarray) for column in value.values()):
        columns = ([to_json(name, cell) for cell in column] for column in value.values())
        return {"table": [list(pair) for pair in zip((_json_key(name, key) for key in value), columns, strict=True)]}
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {value!r:.80}, which can't be saved: set another value, or save only mixture_.")
    _check_size(name, array.size)
    return {"array": array.tolist(), "dtype": array.dtype.name}


def _count_values(value: Any) -> int:
    """Return the number of values in a list, tuple or range, including nested ones."""
    if isinstance(value, list | tuple):
        return sum(map(_count_values, value))
    return len(value) if isinstance(value, range) else 1


def _check_size(name: str, size: int) -> None:
    """Raise ValueError if a value has too many numbers for a file."""
    if size > _MAX_NUMBERS:
        what = f"{name} has {size:,} numbers"
        raise ValueError(f"{what}, too many for a file: set this parameter to None, or save only mixture_.")


def from_json(name: str, value: Json) -> Any:
    """Convert JSON to the value from which `to_json` made it; raise `Damaged` for JSON that `to_json` never returns."""
    try:
        match value:
            case {"float": str(text)}:
                return float(text)
            case {"RandomState": [list(keys), int(place), *rest]} if len(keys) == 624 and 0 <= place <= 624:
                state = np.random.RandomState()  # the pattern limits `place`, because `set_state` does not check it
                state.set_state(("MT19937", np.asarray(keys, dtype=np.uint32), place, *rest))
                return state
            case {"structure": str(own), "parameters": [*pairs]}:
                return family_named(own, **{str(key): from_json(name, each) for key, each in pairs})
            case {"value": str(own), "parameters": [*pairs]} if own in VALUES:
                return VALUES[own](**{str(key): from_json(name, each) for key, each in pairs})
            case {"list": [*each]}:
                return [from_json(name, one) for one in each]
            case {"tuple": [*each]}:
                return tuple(from_json(name, one) for one in each)
            case {"range": [int(), int(), int()] as ends} if len(range(*ends)) <= _MAX_NUMBERS:
                return range(*ends)
            case {"array": list(values) | float(values), "dtype": str(dtype)} if dtype in _DTYPE_NAMES:
                return np.array(values, dtype=dtype)
            case {"table": [*columns]}:
                return {_key(key): [from_json(name, cell) for cell in column] for key, column in columns}
            case None | bool() | int() | float() | str():
                return value
    except (TypeError, ValueError, OverflowError, IndexError, RecursionError):
        pass
    raise Damaged(f"{name!r:.60} in the header is not a value that gaussmix writes to files")


def _json_key(name: str, key: Any) -> str | int:
    """Return the key of a column in a form for JSON; raise ValueError if `_key` could not restore the key."""
    key = key.item() if isinstance(key, np.generic) else key
    if isinstance(key, float) and key.is_integer():
        return int(key)  # in a dict, 1.0 and 1 are the same key
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise ValueError(
            f"{name} has the key {key!r:.60}, but keys in a file must be text or whole numbers: use other keys, or "
            "save only mixture_."
        )
    return key


def _key(key: Any) -> str | int:
    """Return the key of a column from JSON: an integer or text."""
    return key if isinstance(key, int) and not isinstance(key, bool) else str(key)


def read_values(readers: Mapping[str, Reader], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a file for which `readers` has a reader; raise `Damaged` if a value has the wrong type."""
    values = {}
    for key in readers.keys() & saved.keys():
        value = from_json(key, saved[key])
        try:
            values[key] = readers[key](value)
        except (TypeError, ValueError):
            raise Damaged(f"{key!r} in the header has the wrong type") from None
    return values
