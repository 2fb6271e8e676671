"""The estimator's parameters, checked: each error names the parameter, its value and what it may be."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.errors import SingularCovariance, name_components, unknown_name
from gaussmix.families.base import Family
from gaussmix.starts import STARTS
from gaussmix.waist.arrays import Array


def check_count(name: str, value: Any, smallest: int) -> int:
    """A whole number that is not below `smallest`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer ≥ {smallest}, not {value!r}.")
    if value < smallest:
        raise ValueError(f"{name}={value!r} must be an integer ≥ {smallest}.")
    return int(value)


def check_number(name: str, value: Any, hint: str = "") -> float:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number ≥ 0{hint}, not {value!r}.")
    number = float(value)
    if not 0 <= number < np.inf:
        raise ValueError(f"{name}={value!r} must be a finite number ≥ 0{hint}.")
    return number


def check_start_name(init_params: Any) -> None:
    """A known start, where `init_params` is a name."""
    if isinstance(init_params, str) and init_params not in STARTS:
        raise unknown_name("init_params", init_params, STARTS)


def check_weights(weights_init: ArrayLike, n_components: int) -> Array:
    """Mixture weights (n_components,); the sentences begin as scikit-learn's do."""
    weights = _numbers("weights", weights_init, (n_components,))
    outside = (weights < 0) | (weights > 1)
    if outside.any():
        # scikit-learn swaps the two numbers, and its own test suite matches the sentence; the rest is ours.
        k = int(outside.argmax())
        raise ValueError(
            f"The parameter 'weights' should be in the range [0, 1], but got max value {weights.min():.5f}, "
            f"min value {weights.max():.5f}: weights_init[{k}] is {weights[k]:.5g}."
        )
    if abs(1.0 - weights.sum()) > 1e-6:
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}: "
            "divide weights_init by its sum."
        )
    normalised: Array = weights / weights.sum()
    return normalised


def check_means(means_init: ArrayLike, n_components: int, n_features: int) -> Array:
    """Means (n_components, n_features)."""
    return _numbers("means", means_init, (n_components, n_features))


def check_covariances(values: ArrayLike, family: Family, n_components: int, n_features: int, what: str) -> Array:
    """Covariances or precisions (`what`) in the family's compact form, symmetric and positive definite."""
    name = f"{family.name} {what}"
    matrices = _numbers(name, values, family.shape(n_components, n_features))
    message = f"'{name}' should be {family.requirement}"
    if matrices.ndim > 1 and matrices.shape[-2:] == (n_features, n_features) and "symmetric" in family.requirement:
        asymmetry = np.abs(matrices - matrices.swapaxes(-1, -2))
        if (asymmetry > 1e-5 * np.abs(matrices) + 1e-8).any():
            raise ValueError(f"{message}, but it is not symmetric.")
    try:
        family.whitening(matrices, n_features)
    except SingularCovariance as error:
        raise ValueError(f"{message}, but {name_components(error.components)} is not.") from None
    return matrices


def _numbers(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """A float64 copy of finite numbers of a shape."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' holds NaN or infinity; give finite numbers.")
    return array
