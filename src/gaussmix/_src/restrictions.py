"""What a user forbids a fit to change: the parameter `restrictions` of `GaussianMixture`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from gaussmix._src.checks import check_within
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.value import Value

OF_COMPONENTS = ("fixed_means", "fixed_covariances", "fixed_weights")


@dataclass(frozen=True, eq=False, repr=False)
class Restrictions(Value):
    """What a fit may not change, as `GaussianMixture(restrictions=…)` takes it.

    Parameters
    ----------
    equal_weights : bool, default False
        All weights are 1 / K.
    min_weight : float, default 0
        No weight is below; at most 1 / K.
    fixed_means, fixed_covariances, fixed_weights : list of int, default None
        Numbers of components whose mean, covariance or weight stays as it is in `means_init`, in `covariances_init` or
        `precisions_init`, or in `weights_init`. Covariances of some components only can't be fixed in structures where
        they depend on each other.

    Raises
    ------
    ValueError : a number is out of its range, a component is named twice, or `equal_weights` contradicts
        `fixed_weights`.
    TypeError : a value is of the wrong type.

    See Also
    --------
    gaussmix.GaussianMixture : takes it.

    Examples
    --------
    >>> from gaussmix import GaussianMixture, Restrictions
    >>> rows = [[0.0], [1.0], [6.0], [7.0], [8.0]]
    >>> gm = GaussianMixture(2, restrictions=Restrictions(equal_weights=True), random_state=0).fit(rows)
    >>> gm.weights_.tolist()
    [0.5, 0.5]
    """

    equal_weights: bool = False
    min_weight: float = 0.0
    fixed_means: Sequence[int] | None = None
    fixed_covariances: Sequence[int] | None = None
    fixed_weights: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.equal_weights, (bool, np.bool_)):
            raise ParameterTypeError(f"equal_weights must be True or False, not {self.equal_weights!r}.")
        check_within("min_weight", self.min_weight, "a number from 0 to 1", lambda weight: 0 <= weight <= 1)
        for name in OF_COMPONENTS:
            self.fixed_components(name)
        if self.equal_weights and self.fixed_components("fixed_weights"):
            raise ValueError("equal_weights=True contradicts fixed_weights. Remove one of them.")

    def fixed_components(self, name: str) -> list[int]:
        """The components that a parameter names, in rising order.

        Parameters
        ----------
        name : "fixed_means", "fixed_covariances" or "fixed_weights".

        Raises
        ------
        TypeError, ValueError : the parameter is not a list of numbers, or names a component twice.
        """
        value = getattr(self, name)
        if value is None:
            return []
        try:
            numbers = list(value)
        except TypeError:
            raise ParameterTypeError(
                f"{name} must be a list of numbers of components, or None, not {value!r}."
            ) from None
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, Integral):
                raise ParameterTypeError(f"{name} must be a list of numbers of components, but it holds {number!r}.")
            if number < 0:
                raise ValueError(f"{name} names component {number}. Components are numbered from 0.")
        result = sorted({int(number) for number in numbers})
        if len(result) < len(numbers):
            raise ValueError(f"{name}={value!r} names a component twice.")
        return result


Restrictions.__module__ = "gaussmix"  # where users import it from
