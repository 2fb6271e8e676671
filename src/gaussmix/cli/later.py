"""Modules that scikit-learn imports and most verbs never use: they are imported when something in them is used."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

SLOW = "scipy.stats", "pandas"  # more than half of the time that the import of scikit-learn takes
_LOCK = Lock()


class Later(ModuleType):
    """A package that takes its contents, when the first of them is asked for, from the package of the same name.

    Modules inside it, such as `scipy.stats.qmc`, are imported without it. Where the package is broken, the ImportError
    comes when its contents are asked for.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOCK:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_later(names: tuple[str, ...] = SLOW) -> None:
    """Let `import` of these packages take no time, as far as they are installed and not imported yet."""
    for name in names:
        spec = None if name in sys.modules else find_spec(name)
        if spec is not None:
            package = sys.modules[name] = Later(name)
            package.__spec__, package.__path__ = spec, spec.submodule_search_locations or []
