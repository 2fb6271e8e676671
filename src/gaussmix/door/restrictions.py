"""The parameters about priors and about what a fit may not change, and the objective that EM raises for them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from gaussmix.door.parameters import check_flag, check_number, check_numbers
from gaussmix.em.restrictions import Restrictions
from gaussmix.em.shares import Shares
from gaussmix.families.base import Family, shares_nothing
from gaussmix.numerics.arrays import Array
from gaussmix.priors import NormalInverseWishart

DEFAULT = "default"
_ANY_FEATURES = 8  # a number of features at which structures differ
# The parameters and their defaults. A search has those that do not name components.
OF_ALL: dict[str, Any] = {"prior": None, "weight_prior": None, "equal_weights": False, "min_weight": 0.0}
OF_SOME: dict[str, Any] = {"fixed_means": None, "fixed_covariances": None, "fixed_weights": None}
# Where a fixed parameter has its values from.
_VALUES = {
    "fixed_means": ("means_init",),
    "fixed_covariances": ("covariances_init", "precisions_init"),
    "fixed_weights": ("weights_init",),
}


def given_restrictions(estimator: Any) -> list[str]:
    """The names of the parameters that are set."""
    values = {name: getattr(estimator, name, default) for name, default in (OF_ALL | OF_SOME).items()}
    return [name for name, value in values.items() if not _says_nothing(name, value)]


def _says_nothing(name: str, value: Any) -> bool:
    """Whether a parameter has its default, or is a number or a list of components that restricts nothing."""
    if value is (OF_ALL | OF_SOME)[name] or (name in OF_SOME and np.shape(value) == (0,)):
        return True
    return isinstance(value, (bool, int, float)) and not value


def check_restrictions(estimator: Any, family: Family | None, n_components: int) -> Restrictions:
    """The parameters that no rows and no values are needed to check.

    Parameters
    ----------
    estimator : of a mixture or a search.
    family : the structure; None for several.
    n_components : the largest number.

    Raises
    ------
    ValueError, TypeError : a parameter can't be used, or contradicts another.
    """
    prior = _check_prior(estimator.prior)
    is_equal = check_flag("equal_weights", estimator.equal_weights)
    least = check_number("min_weight", estimator.min_weight)
    if least > 1 / n_components:
        raise ValueError(f"min_weight={least:g} must be at most 1 / n_components, {1 / n_components:.4g}.")
    concentration = _check_concentration(estimator.weight_prior, n_components, is_single=family is not None)
    fixed = {name: _check_components(estimator, name, n_components) for name in OF_SOME}
    for name, is_given in (
        ("weight_prior", estimator.weight_prior is not None),
        ("fixed_weights", fixed["fixed_weights"]),
    ):
        if is_equal and is_given:
            raise ValueError(f"equal_weights=True leaves {name} nothing to say: give one of them.")
    places = fixed["fixed_covariances"]
    if len(places) and getattr(estimator, "max_condition", None) is not None:
        raise ValueError("fixed_covariances and max_condition contradict each other: the bound is about all of them.")
    if family is not None and 0 < len(places) < n_components and not shares_nothing(family, _ANY_FEATURES):
        raise ValueError(
            f"fixed_covariances can't be some components with covariance_type={family.name!r}, whose covariances "
            'depend on each other: fix all of them, or take a structure where each is free, such as "full" or "diag".'
        )
    shares = Shares(concentration, is_equal, dict.fromkeys(fixed["fixed_weights"], 0.0), least)
    return Restrictions(prior, shares, fixed["fixed_means"], places)


def _check_prior(prior: Any) -> NormalInverseWishart | None:
    if prior is None or isinstance(prior, NormalInverseWishart):
        return prior
    if isinstance(prior, str) and prior == DEFAULT:
        return NormalInverseWishart()
    wrong = ValueError if isinstance(prior, str) else TypeError
    raise wrong(f'prior must be None, "{DEFAULT}" or a NormalInverseWishart, not {prior!r:.60}.')


def _check_concentration(weight_prior: Any, n_components: int, *, is_single: bool) -> float | Array:
    """α − 1 of each weight."""
    if weight_prior is None:
        return 0.0
    found = check_numbers("weight_prior", weight_prior)
    shapes = [(), (n_components,)] if is_single else [()]
    if found.shape not in shapes:
        wanted = "a number" + (f" or {n_components} of them, one for each component" if is_single else "")
        raise ValueError(f"weight_prior must be {wanted}, not of shape {found.shape}.")
    if not ((found >= 1) & np.isfinite(found)).all():
        raise ValueError(
            f"weight_prior={found.min():g} must be at least 1 and finite: below 1 the density has no maximum, because "
            "it grows without bound where a weight goes to 0."
        )
    return found - 1.0 if found.ndim else float(found) - 1.0


def _check_components(estimator: Any, name: str, n_components: int) -> list[int]:
    """The components that a parameter names, in their order."""
    value = getattr(estimator, name, None)
    if value is None:
        return []
    try:
        numbers = list(value)
    except TypeError:
        raise TypeError(f"{name} must be a list of numbers of components, or None, not {value!r}.") from None
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise TypeError(f"{name} must be a list of numbers of components, which {number!r} is not.")
        if not 0 <= int(number) < n_components:
            raise ValueError(
                f"{name} names component {number}; with n_components={n_components} they are 0 … {n_components - 1}."
            )
    found = sorted({int(number) for number in numbers})
    if len(found) < len(numbers):
        raise ValueError(f"{name}={value!r} names a component twice.")
    sources = _VALUES[name]
    if found and all(getattr(estimator, source) is None for source in sources):
        raise ValueError(f"{name} needs {' or '.join(sources)}, which holds the values.")
    return found
