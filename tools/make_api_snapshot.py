"""Write the public interface, which tests/meta/public_api.txt records, with a line for each name and signature.

python tools/make_api_snapshot.py > tests/meta/public_api.txt
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any

from sklearn.base import BaseEstimator

import gaussmix
from gaussmix._src.value import Value
from gaussmix.extend import Family


def snapshot() -> str:
    """Return all lines: names in `gaussmix.__all__`, and public names that `import *` leaves out."""
    names = [*gaussmix.__all__, "load", "open"]
    return "".join(f"{line}\n" for name in names for line in described(name, getattr(gaussmix, name)))


def described(name: str, value: Any) -> Iterator[str]:
    """Return the lines of a public object: its signature and, for a class, its members."""
    if isinstance(value, type):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
        yield from (f"    {name}.{line}" for line in members(value))
    elif inspect.isroutine(value):
        yield f"{name}{inspect.signature(value)}"
    elif isinstance(value, dict):
        yield f"{name}: {', '.join(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def members(cls: type) -> Iterator[str]:
    """Return members that gaussmix itself defines in a class, without members of scikit-learn or Python."""
    if issubclass(cls, Enum):
        yield from (member.name for member in cls)
        return
    for name in sorted(dir(cls)):
        owner = next(base for base in cls.__mro__ if name in vars(base))
        kind = type(vars(owner)[name])
        is_theirs = not owner.__module__.startswith("gaussmix") or kind.__module__.startswith("sklearn")
        of_structures = issubclass(cls, Family) and not hasattr(Value, name)  # for authors of structures, not for users
        is_parameter = issubclass(cls, BaseEstimator) and name in inspect.signature(cls).parameters
        if is_theirs or of_structures or is_parameter or (name.startswith("_") and name != "__init__"):
            continue
        member = getattr(cls, name)
        yield f"{name}{inspect.signature(member)}" if callable(member) else name


if __name__ == "__main__":
    print(snapshot(), end="")
