"""Check the parameters `noise`, `prior` and `restrictions`, and convert them to terms of the EM objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gaussmix._src.checks import check_finite
from gaussmix._src.covariances import LowRank
from gaussmix._src.em.initialisation.noise_box import noise_from_rows
from gaussmix._src.em.priors.posterior import WeightUpdate
from gaussmix._src.em.priors.terms import PriorTerms
from gaussmix._src.errors import ParameterTypeError, column_named
from gaussmix._src.families.base import Family, is_separate
from gaussmix._src.noise import Noise
from gaussmix._src.noise_component import NO_MARGINAL, NoiseComponent
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.priors import Dirichlet, NormalInverseWishart
from gaussmix._src.restrictions import OF_COMPONENTS, Restrictions
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells


def noise_of(noise: Any) -> Noise | None:
    """Convert the parameter `noise` to a `Noise` object, or to None for no noise; may raise TypeError or ValueError."""
    if isinstance(noise, Noise):
        return noise
    if isinstance(noise, (bool, np.bool_)) or noise is None:
        return Noise() if noise else None
    try:
        return Noise(noise)
    except (TypeError, ValueError) as error:
        wanted = "True, False, a weight between 0 and 1, or a Noise object"
        raise type(error)(f"noise must be {wanted}, not {noise!r:.60}.") from None


def check_noise(noise: Noise | None, source: Source) -> NoiseComponent | None:
    """Return the initial noise component of a fit; None if the fit has no noise component.

    Raises ValueError if the user's box has the wrong number of features or does not contain all rows, or if a box
    around the rows would have no volume.
    """
    if noise is None:
        return None
    if noise.volume is None:
        return noise_from_rows(float(noise.weight), source)
    box = noise.bounds
    if box is None:
        if source.may_miss:
            raise ValueError(
                f"X has missing values, and {NO_MARGINAL}. Pass the volume as a box of shape {(2, source.n_features)}."
            )
        return NoiseComponent(float(noise.weight), math.log(np.asarray(noise.volume).item()))
    if box.shape[1] != source.n_features:
        raise ValueError(f"The box of the noise component has {box.shape[1]} features, but X has {source.n_features}.")
    ends = source.collect(Cells).ends
    outside = np.flatnonzero((ends[0] < box[0]) | (ends[1] > box[1]))
    if outside.size:
        column = int(outside[0])
        raise ValueError(
            f"The box of the noise component reaches from {box[0, column]:.6g} to {box[1, column]:.6g} in "
            f"{column_named(column, source.feature_names)}, but X reaches from {ends[0, column]:.6g} to "
            f"{ends[1, column]:.6g}. The box must contain all rows."
        )
    return NoiseComponent.from_bounds(float(noise.weight), box)


DEFAULT = "default"
_ANY_FEATURES = 8  # for this number of features, all covariance structures differ from each other
# For each restriction, the parameters by which the user can pass the fixed values.
_VALUES = {
    "fixed_means": ("means_init",),
    "fixed_covariances": ("covariances_init", "precisions_init"),
    "fixed_weights": ("weights_init",),
}


def set_terms(estimator: Any) -> list[str]:
    """Return a list that contains "prior" if a prior is set, and "restrictions" if a restriction is set."""
    is_restricted = any(map(np.size, _restrictions_of(estimator).non_default_params.values()))
    return ["prior"] * (estimator.prior is not None) + ["restrictions"] * is_restricted


def check_terms(estimator: Any, families: Sequence[Family], n_components: int) -> PriorTerms:
    """Check the prior and the restrictions without access to rows, and return their terms in the EM objective.

    `n_components` is the largest number of components to fit. In a model selection, which compares numbers of
    components, restrictions can't name a component by its index.

    Raises ValueError or TypeError if a parameter is invalid, or contradicts another parameter.
    """
    is_search = hasattr(estimator, "criterion")
    prior, added = _check_prior(estimator.prior, None if is_search else n_components)
    limits = _restrictions_of(estimator)
    if limits.min_weight > 1 / n_components:
        raise ValueError(f"min_weight={limits.min_weight:g} must be at most 1 / n_components = {1 / n_components:.4g}.")
    fixed = {name: limits.fixed_components(name) for name in OF_COMPONENTS}
    for name, indices in fixed.items():
        if indices and is_search:
            raise ValueError(f"{name} works only in GaussianMixture, because a model selection varies n_components.")
        if indices and indices[-1] >= n_components:
            raise ValueError(
                f"{name} contains component {indices[-1]}, but the last index is n_components − 1 = {n_components - 1}."
            )
        if indices and name == "fixed_covariances":
            _check_fixed_covariances(families, is_complete=len(indices) == n_components)
        if indices and all(getattr(estimator, source) is None for source in _VALUES[name]):
            raise ValueError(f"{name} also needs {' or '.join(_VALUES[name])}, which contains the fixed values.")
    fixed_weights = dict.fromkeys(fixed["fixed_weights"], 0.0)
    weight_update = WeightUpdate(added, bool(limits.equal_weights), fixed_weights, limits.min_weight)
    return PriorTerms(prior, weight_update, fixed["fixed_means"], fixed["fixed_covariances"])


def _check_fixed_covariances(families: Sequence[Family], *, is_complete: bool) -> None:
    """Raise ValueError if covariances can't be fixed; `is_complete` says whether all components are fixed."""
    for family in families:
        if family.kind is LowRank:
            raise ValueError(
                f"covariance_type={family.name!r} does not support fixed_covariances, because initial covariances of "
                "factor analysers can't be passed. Remove it, or choose another structure."
            )
        if family.is_bounded:
            raise ValueError("fixed_covariances contradicts max_condition, a bound on all covariances. Set only one.")
        if not is_complete and not is_separate(family, _ANY_FEATURES):
            raise ValueError(
                f"fixed_covariances must name all components with covariance_type={family.name!r}, because "
                'covariances depend on each other. Fix all components, or choose a structure such as "full".'
            )


def _restrictions_of(estimator: Any) -> Restrictions:
    restrictions = estimator.restrictions
    if restrictions is None:
        return Restrictions()
    if not isinstance(restrictions, Restrictions):
        raise ParameterTypeError(f"restrictions must be None or a Restrictions object, not {restrictions!r:.60}.")
    return restrictions


def _check_prior(prior: Any, n_components: int | None) -> tuple[NormalInverseWishart | None, float | Array]:
    """Return the prior on means and covariances (or None), and α − 1 for the Dirichlet prior on the weights."""
    if isinstance(prior, str) and prior == DEFAULT:
        return NormalInverseWishart(), 0.0
    if prior is None:
        return None, 0.0
    if not isinstance(prior, (NormalInverseWishart, Dirichlet)):
        wrong = ValueError if isinstance(prior, str) else ParameterTypeError
        raise wrong(f'prior must be None, "{DEFAULT}", a NormalInverseWishart or a Dirichlet, not {prior!r:.60}.')
    added = check_finite("weights", 1.0 if prior.weights is None else prior.weights) - 1.0
    if added.ndim and added.shape != (n_components,):
        wanted = "one number" if n_components is None else f"a number, or {n_components} numbers (one per component)"
        raise ValueError(f"weights of the prior must be {wanted}, not an array of shape {added.shape}.")
    return prior if isinstance(prior, NormalInverseWishart) else None, added if added.ndim else float(added)
