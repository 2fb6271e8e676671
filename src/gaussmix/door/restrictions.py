"""The parameters `prior` and `restrictions`, checked, and the objective that EM raises for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gaussmix.checks import check_finite
from gaussmix.door.noise import noise_of
from gaussmix.em.posterior import Shares
from gaussmix.em.terms import NOTHING, Terms
from gaussmix.families.base import Family, shares_nothing
from gaussmix.numerics.arrays import Array
from gaussmix.priors import Dirichlet, NormalInverseWishart
from gaussmix.restrictions import OF_COMPONENTS, Restrictions

DEFAULT = "default"
_ANY_FEATURES = 8  # a number of features at which structures differ
# Where a fixed parameter has its values from.
_VALUES = {
    "fixed_means": ("means_init",),
    "fixed_covariances": ("covariances_init", "precisions_init"),
    "fixed_weights": ("weights_init",),
}


def given_terms(estimator: Any) -> list[str]:
    """The names of the parameters that are set, for what fits that take none of them refuse."""
    is_restricted = any(map(np.size, _restrictions_of(estimator).options.values()))
    return ["prior"] * (estimator.prior is not None) + ["restrictions"] * is_restricted


def check_terms(estimator: Any, families: Sequence[Family], n_components: int, *, is_search: bool = False) -> Terms:
    """What no rows and no values are needed to check.

    Parameters
    ----------
    estimator : of a mixture or a search.
    families : the structures.
    n_components : the largest number.
    is_search : whether there may be other numbers of components, so that none can be named by its number.

    Raises
    ------
    ValueError, TypeError : a parameter can't be used, or contradicts another.
    """
    if estimator.prior is None and estimator.restrictions is None:
        return NOTHING
    prior, added = _check_prior(estimator.prior, None if is_search else n_components)
    given = _restrictions_of(estimator)
    if given.min_weight > 1 / n_components:
        raise ValueError(f"min_weight={given.min_weight:g} must be at most 1 / n_components, {1 / n_components:.4g}.")
    fixed = {name: given.components(name) for name in OF_COMPONENTS}
    for name, places in fixed.items():
        if places and is_search:
            raise ValueError(f"{name} is for GaussianMixture: a search has several numbers of components.")
        if places and places[-1] >= n_components:
            raise ValueError(f"{name} names component {places[-1]}, the last is n_components − 1 = {n_components - 1}.")
        if places and all(getattr(estimator, source) is None for source in _VALUES[name]):
            raise ValueError(f"{name} needs {' or '.join(_VALUES[name])}, which holds the values.")
    if given.equal_weights and np.any(added):
        raise ValueError("equal_weights=True contradicts a prior of the weights. Remove one of them.")
    places = fixed["fixed_covariances"]
    for family in families if places else ():
        if family.is_bounded:
            raise ValueError("fixed_covariances contradicts max_condition, a bound on all covariances. Remove one.")
        if len(places) < n_components and not shares_nothing(family, _ANY_FEATURES):
            raise ValueError(
                f"fixed_covariances can't be some components with covariance_type={family.name!r}, whose covariances "
                'depend on each other: fix all of them, or take a structure where each is free, such as "full".'
            )
    for name in ("fixed_weights", "min_weight"):
        if np.size(given.options.get(name, ())) and noise_of(estimator.noise) is not None:
            raise ValueError(f"{name} can't be combined with noise, beside which weights do not sum to 1. Remove one.")
    shares = Shares(added, bool(given.equal_weights), dict.fromkeys(fixed["fixed_weights"], 0.0), given.min_weight)
    return Terms(prior, shares, fixed["fixed_means"], places)


def _restrictions_of(estimator: Any) -> Restrictions:
    found = estimator.restrictions
    if found is None:
        return Restrictions()
    if not isinstance(found, Restrictions):
        raise TypeError(f"restrictions must be None or a Restrictions, not {found!r:.60}.")
    return found


def _check_prior(prior: Any, n_components: int | None) -> tuple[NormalInverseWishart | None, float | Array]:
    """The prior of means and covariances, and α − 1 of the weights, one number where `n_components` is None."""
    if isinstance(prior, str) and prior == DEFAULT:
        return NormalInverseWishart(), 0.0
    if prior is None:
        return None, 0.0
    if not isinstance(prior, (NormalInverseWishart, Dirichlet)):
        wrong = ValueError if isinstance(prior, str) else TypeError
        raise wrong(f'prior must be None, "{DEFAULT}", a NormalInverseWishart or a Dirichlet, not {prior!r:.60}.')
    added = check_finite("weights", 1.0 if prior.weights is None else prior.weights) - 1.0
    if added.ndim and added.shape != (n_components,):
        wanted = "one number" if n_components is None else f"a number or {n_components}, one for each component"
        raise ValueError(f"weights of the prior must be {wanted}, not of shape {added.shape}.")
    return prior if isinstance(prior, NormalInverseWishart) else None, added if added.ndim else float(added)
