"""The base class of objects such as `FactorAnalyzer(3)`: parameters of an estimator that have parameters themselves."""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any, Self

import numpy as np

from gaussmix._src.errors import listed

VALUES: dict[str, type[Value]] = {}  # classes by name, to read model files


class Value:
    """A parameter object that is compared, displayed and copied by its constructor's parameters.

    scikit-learn's `clone` can copy a parameter object, and a grid search can set its parameters, for example
    `covariance_type__max_condition`. The constructor stores its arguments unchanged, because `clone` compares them by
    identity.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        VALUES.setdefault(cls.__name__, cls)

    @classmethod
    @cache
    def _defaults(cls) -> dict[str, Any]:
        """Return a dict from the names of the constructor's parameters to the default values."""
        return {name: parameter.default for name, parameter in signature(cls).parameters.items()}

    @property
    def non_default_params(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults, as a dict; arrays are converted to lists."""
        values, usual = self.get_params(), self._defaults()
        changed = {name: plain(value) for name, value in values.items() if value is not usual[name]}
        return {name: value for name, value in changed.items() if value != usual[name]}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return a dict from the names of the parameters to their values.

        Parameters
        ----------
        deep : ignored; exists for compatibility with scikit-learn.
        """
        return {name: getattr(self, name, default) for name, default in self._defaults().items()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters. If one of the new values is invalid, no parameter is changed.

        Parameters
        ----------
        params : new values of parameters of the constructor, as keyword arguments.

        Raises
        ------
        ValueError, TypeError : if a parameter does not exist, or its value is invalid.
        """
        values = self.get_params()
        for name in params:
            if name not in values:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r:.60}; use {listed(list(values))}.")
        vars(self).update(vars(type(self)(**values | params)))
        return self

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self.non_default_params == other.non_default_params)

    def __hash__(self) -> int:
        return hash(type(self))  # independent of the parameters, which may change

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.non_default_params.items())
        return f"{type(self).__name__}({shown})"


def plain(value: Any) -> Any:
    """Convert arrays to lists and NumPy numbers to Python numbers, so that they can be compared and displayed."""
    if hasattr(value, "__array__"):
        return np.asarray(value).tolist()
    return list(map(plain, value)) if isinstance(value, list | tuple | range) else value
