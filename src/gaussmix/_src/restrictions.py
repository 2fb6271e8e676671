"""Restrictions on the parameters of a fit, which `GaussianMixture` accepts as `restrictions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from gaussmix._src.checks import check_fraction
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.value import Value

OF_COMPONENTS = ("fixed_means", "fixed_covariances", "fixed_weights")


@dataclass(frozen=True, eq=False, repr=False)
class Restrictions(Value):
    """Restrictions on the parameters of a fit, for `GaussianMixture(restrictions=…)`.

    Parameters
    ----------
    equal_weights : bool, default False
        Whether all weights are fixed at 1 / K.
    min_weight : float, default 0
        Lower bound on every weight, at most 1 / K.
    fixed_means, fixed_covariances, fixed_weights : list of int, default None
        Indices of the components whose mean, covariance or weight does not change. The fixed values are taken from
        `means_init`, from `covariances_init` or `precisions_init`, or from `weights_init`. If the covariance
        structure makes covariances depend on each other, you must fix the covariances of all components or of none.

    Raises
    ------
    ValueError : if a value is out of its range, a component is named twice, or `equal_weights` contradicts
        `fixed_weights`.
    TypeError : if a value has the wrong type.

    See Also
    --------
    gaussmix.GaussianMixture : the estimator that has the parameter `restrictions`.

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
        check_fraction("min_weight", self.min_weight)
        for name in OF_COMPONENTS:
            self.fixed_components(name)
        if self.equal_weights and self.fixed_components("fixed_weights"):
            raise ValueError("equal_weights=True contradicts fixed_weights. Remove one of them.")

    def fixed_components(self, name: str) -> list[int]:
        """Return the indices of components in the parameter `name`, in ascending order.

        Parameters
        ----------
        name : "fixed_means", "fixed_covariances" or "fixed_weights".

        Raises
        ------
        TypeError, ValueError : if the parameter is not a list of integers, or contains a component twice.
        """
        value = getattr(self, name)
        if value is None:
            return []
        try:
            numbers = list(value)
        except TypeError:
            raise ParameterTypeError(
                f"{name} must be a list of indices of components, or None, not {value!r}."
            ) from None
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, Integral):
                raise ParameterTypeError(f"{name} must be a list of indices of components, but it contains {number!r}.")
            if number < 0:
                raise ValueError(f"{name} contains component {number}, but components are numbered from 0.")
        result = sorted({int(number) for number in numbers})
        if len(result) < len(numbers):
            raise ValueError(f"{name}={value!r} contains a component twice.")
        return result


Restrictions.__module__ = "gaussmix"  # the module from which users import the class
