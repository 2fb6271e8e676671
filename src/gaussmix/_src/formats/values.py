"""Convert values of an estimator's parameters and attributes to JSON and back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gaussmix._src.families.base import FAMILIES, Family, family_named
from gaussmix._src.formats.record import Damaged, Json
from gaussmix._src.value import VALUES, Value

# A function that checks and converts the value of one attribute. It raises TypeError or ValueError for a wrong type.
Reader = Callable[[Any], Any]

_MAX_NUMBERS = 3_000_000  # largest size of an array parameter, because a header has at most 100 MB
_DTYPE_NAMES = {np.dtype(kind).name for kind in "?bBhHiIlLqQefd"}


def instance(*types: type) -> Reader:
    """Return a reader for values of the given types; a bool is accepted only if bool is one of the types."""

    def read(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise TypeError
        return value

    return read


def count(value: Any) -> int:
    """Return an integer from 0 to 2**53, which a double represents exactly; raise ValueError for any other value."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise ValueError
    return value


def array_reader(kinds: str, n_dimensions: int = 1) -> Reader:
    """Return a reader for arrays whose `dtype.kind` is one of the given letters; "U" is text."""

    def read(value: Any) -> Any:
        array = np.asarray(value)
        if array.dtype.kind not in kinds or array.ndim != n_dimensions:
            raise TypeError
        return array

    return read


def list_reader(kinds: str) -> Reader:
    """Return a reader for lists of values that `array_reader` accepts."""
    return lambda value: array_reader(kinds)(value).tolist()


def plain(name: str, value: Any) -> Json:
    """Convert a value to JSON. A value that JSON lacks becomes an object whose first key names its type.

    Lists, tuples and ranges of numbers are written as arrays, which earlier versions of gaussmix can read. The entry
    "as" stores the type of the container at each depth.

    Raises ValueError: a file can't hold the value; the message begins with the name of the parameter.
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
            raise ValueError(f"{name} is {value!r:.80}, which is not registered, so no program could read its file.")
        parameters = [[key, plain(key, each)] for key, each in value.non_default_params.items()]
        return {"structure" if is_structure else "value": own, "parameters": parameters}
    if isinstance(value, list | tuple) and any(isinstance(each, Value) for each in value):
        return {"several": [plain(name, each) for each in value]}
    types = {"as": _types(value)} if isinstance(value, list | tuple | range) else {}
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return {"names": list(value)} | types
    if isinstance(value, dict) and all(isinstance(column, list | tuple | np.ndarray) for column in value.values()):
        columns = ([plain(name, cell) for cell in column] for column in value.values())
        return {"table": [list(pair) for pair in zip((_plain_key(name, key) for key in value), columns, strict=True)]}
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {value!r:.80}, which a file can't hold: set another, or save mixture_ alone.")
    if array.size > _MAX_NUMBERS:
        what = f"{name} has {array.size:,} numbers"
        raise ValueError(f"{what}, too many for a file: set it to None, or save mixture_ alone.")
    return {"array": array.tolist(), "dtype": array.dtype.name} | types


def from_plain(name: str, value: Json) -> Any:
    """Return the value that `plain` converted; raise `Damaged`, with the name, if `plain` never writes such a value."""
    try:
        match value:
            case {"float": str(text)}:
                return float(text)
            case {"RandomState": [list(keys), int(place), *rest]} if len(keys) == 624 and 0 <= place <= 624:
                state = np.random.RandomState()  # RandomState would read beyond its keys if the position were too large
                state.set_state(("MT19937", np.asarray(keys, dtype=np.uint32), place, *rest))
                return state
            case {"structure": str(own), "parameters": [*pairs]}:
                return family_named(own, **{str(key): from_plain(name, each) for key, each in pairs})
            case {"value": str(own), "parameters": [*pairs]} if own in VALUES:
                return VALUES[own](**{str(key): from_plain(name, each) for key, each in pairs})
            case {"several": [*each]}:
                return [from_plain(name, one) for one in each]
            case {"array": list(values) | float(values), "dtype": str(dtype)} if dtype in _DTYPE_NAMES:
                array = np.array(values, dtype=dtype)
                return _as_types(array, value.get("as", []))
            case {"names": [*names]} if all(isinstance(item, str) for item in names):
                return tuple(names) if value.get("as") == ["tuple"] else names
            case {"table": [*columns]}:
                return {_key(key): [from_plain(name, cell) for cell in column] for key, column in columns}
            case None | bool() | int() | float() | str():
                return value
    except (TypeError, ValueError, OverflowError, IndexError, RecursionError):
        pass
    raise Damaged(f"{name!r:.60} in its header is not a value that a file can hold")


def _plain_key(name: str, key: Any) -> str | int:
    """Return a column's name or number as a JSON key; raise ValueError if `_key` could not restore the key."""
    key = key.item() if isinstance(key, np.generic) else key
    if isinstance(key, float) and key.is_integer():
        return int(key)  # an equal key, because 1.0 == 1
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise ValueError(
            f"{name} has the key {key!r:.60}, and a file holds keys that are text or whole numbers: set others, or "
            "save mixture_ alone."
        )
    return key


def _key(key: Any) -> str | int:
    """Return a column's name as text, or its number as an integer."""
    return key if isinstance(key, int) and not isinstance(key, bool) else str(key)


def _types(value: Any) -> list[str]:
    """Return the type names of nested lists, tuples and ranges, outermost first; arrays and numbers end the nesting."""
    for kind in (list, tuple, range):
        if isinstance(value, kind):
            return [kind.__name__, *(_types(value[0]) if len(value) else [])]
    return []


def _as_types(array: Any, types: Sequence[Any]) -> Any:
    """Convert an array to nested lists and tuples or to a range; return the array unchanged if `types` is empty."""
    if not isinstance(array, np.ndarray):
        return array
    match list(types):
        case ["list" | "tuple" as kind, *inner]:
            items = array.tolist() if array.ndim == 1 else list(array)
            return (list if kind == "list" else tuple)(_as_types(item, inner) for item in items)
        case ["range"] if array.ndim == 1 and array.dtype.kind == "i":
            return _range(array.tolist())
        case []:
            return array
    raise ValueError


def _range(integers: list[int]) -> range:
    """Return the range with exactly these integers; raise ValueError if there is none."""
    step = integers[1] - integers[0] if len(integers) > 1 else 1
    candidates = range(integers[0], integers[-1] + step, step) if integers else range(0)
    if list(candidates) != integers:
        raise ValueError
    return candidates
