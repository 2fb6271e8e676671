"""Lazy imports of modules at their first use."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType


def modules(package: str, names: str) -> Callable[[str], ModuleType]:
    """Return a function `__getattr__` for a package, which imports each module of the package at its first use.

    Parameters
    ----------
    package : name of the package.
    names : names of the modules, separated by spaces; "folder.module" becomes the attribute "module".
    """
    paths = {name.rpartition(".")[2]: name for name in names.split()}

    def imported(name: str) -> ModuleType:
        if name not in paths:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{paths[name]}")
        setattr(sys.modules[package], name, module)
        return module

    return imported
