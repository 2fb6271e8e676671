"""The parameters about priors and about what a fit may not change, and the objective that EM raises for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from gaussmix.covariances import Covariances
from gaussmix.em.initial import InitialMoments
from gaussmix.em.objective import Ridge
from gaussmix.em.posterior import Conjugate, Posterior
from gaussmix.em.shares import Shares
from gaussmix.engines.base import Engine
from gaussmix.errors import name_components
from gaussmix.estimators.parameters import check_flag, check_number, check_numbers
from gaussmix.families.base import Family, shares_nothing
from gaussmix.numerics.arrays import Array
from gaussmix.priors import NormalInverseWishart
from gaussmix.sources.base import Source
from gaussmix.starts import Partition
from gaussmix.waist.need import Need, Second

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


@dataclass(frozen=True, eq=False)
class Restrictions:
    """What a fit believes or keeps, beside the rows.

    Parameters
    ----------
    prior : of means and covariances; None for none.
    shares : of the weights; their prior in rows.
    fixed_means, fixed_covariances : components that keep them.
    means, covariances : the values, of all components; None where nothing is fixed.
    """

    prior: NormalInverseWishart | None = None
    shares: Shares = field(default_factory=Shares)
    fixed_means: Sequence[int] = ()
    fixed_covariances: Sequence[int] = ()
    means: Array | None = None
    covariances: Covariances | None = None

    @cached_property
    def is_empty(self) -> bool:
        return self.prior is None and not (self.fixed_means or self.fixed_covariances) and not self._has_shares

    @property
    def has_numbers(self) -> bool:
        """Whether it names components by number."""
        shares = self.shares
        return bool(self.fixed_means or self.fixed_covariances or shares.fixed or np.ndim(shares.concentration))

    @property
    def _has_shares(self) -> bool:
        return not self.shares.is_free or bool(np.any(self.shares.concentration))

    def with_values(self, weights: Array | None, means: Array | None, covariances: Covariances | None) -> Restrictions:
        """With the values that fixed parameters keep; raises ValueError where they contradict other parameters."""
        return replace(
            self,
            shares=_with_weights(self.shares, weights),
            means=means if self.fixed_means else None,
            covariances=covariances if self.fixed_covariances else None,
        )

    def objective(self, ridge: Array, unit: float, n_components: int, family: Family, moments: Moments | None) -> Ridge:
        """What EM raises.

        Parameters
        ----------
        ridge : (n_features,), data units².
        unit : what the weights of the rows were divided by.
        n_components, family : of the mixture.
        moments : of the rows; needed for a prior.
        """
        if self.is_empty:
            return Ridge(ridge)
        prior = None
        if self.prior is not None:
            assert moments is not None, "a prior comes with moments"
            prior = _conjugate(self.prior, family, n_components, moments, unit)
        places = list(self.fixed_means)
        return Posterior(
            ridge,
            prior,
            replace(self.shares, concentration=np.asarray(self.shares.concentration) / unit),
            None if self.means is None else self.means[places],
            places,
            self.covariances,
            frozenset(self.fixed_covariances),
        )


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (n_features,) and covariance of all rows, data units and their squares; a diagonal or a matrix."""

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, source: Source, unit: float, engine: Engine[Any], *, is_matrix: bool) -> Moments:
        """Two passes over the rows, whose weights were divided by `unit`; the divisor of squares is one row less."""
        need = Need(Second.FULL if is_matrix else Second.DIAGONAL)
        sums, means = InitialMoments(source, engine, 1, Partition()).about_means(need)
        about = sums.about(means)
        assert about.second is not None, "it was asked for"
        total = sums.row_weight * unit
        n_rows = total if total >= 2 else source.profile.n_positive  # such small weights are shares
        return cls(means[0], about.second[0] / sums.row_weight * (n_rows / max(n_rows - 1.0, 1.0)))

    @property
    def variances(self) -> Array:
        return np.diagonal(self.covariance) if self.covariance.ndim == 2 else self.covariance


def _conjugate(
    prior: NormalInverseWishart, family: Family, n_components: int, moments: Moments, unit: float
) -> Conjugate:
    """The prior as it adds to the sums of a structure; Fraley & Raftery (2007) for what it leaves open.

    Raises
    ------
    ValueError : it is for another number of features, or has too few degrees of freedom for the structure.
    """
    n_features = len(moments.mean)
    if prior.n_features not in (None, n_features):
        raise ValueError(f"prior is for {prior.n_features} features, and X has {n_features}.")
    second = family.kind.second
    least = n_features - 1 if second is Second.FULL else 0
    dof = family.prior_dof(n_features) if prior.dof is None else prior.dof
    if dof <= least:
        raise ValueError(
            f"prior: dof={dof:g} must be above {least}, n_features − 1, for covariance_type={family.name!r}."
        )
    each, once = family.prior_degrees(dof, n_features, float(prior.shrinkage > 0))
    scale = _default_scale(family, n_components, moments) if prior.scale is None else _spread(prior.scale, n_features)
    mean = moments.mean if prior.mean is None else prior.mean
    numbers = (prior.shrinkage / unit, _in_form(scale, second) / unit, each / unit, once / unit)
    return Conjugate(mean, *numbers)


def _default_scale(family: Family, n_components: int, moments: Moments) -> Array:
    """var(X) / K^(2/d), and the mean of its diagonal for structures without an orientation."""
    second, n_features = family.kind.second, len(moments.mean)
    share = n_components ** (-2.0 / n_features)
    if second is Second.FULL:
        return np.asarray(share * moments.covariance)
    if second is Second.PROJECTED:
        return np.asarray(share * moments.variances)
    return np.full(n_features, share * moments.variances.mean())


def _spread(scale: Array, n_features: int) -> Array:
    """A number as so many; arrays as they are."""
    return scale if scale.ndim else np.full(n_features, float(scale))


def _in_form(scale: Array, second: Second) -> Array:
    """A scale, (n_features,) or a matrix, as `Conjugate` has it for a structure."""
    if second is Second.FULL:
        return scale if scale.ndim == 2 else np.diag(scale)
    diagonal = np.diagonal(scale) if scale.ndim == 2 else scale
    # For spheres a number: the likelihood has the sum of the variances, and the scale of one of them counts once.
    return np.asarray(diagonal.mean()) if second is Second.TRACE else np.array(diagonal)


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


def _with_weights(shares: Shares, weights: Array | None) -> Shares:
    """With the values of fixed weights; raises ValueError where the start's weights are not possible."""
    if weights is None:
        return shares
    lost = np.flatnonzero((weights == 0) & (np.broadcast_to(shares.concentration, weights.shape) > 0))
    if lost.size:
        raise ValueError(f"weights_init is 0 for {name_components(lost.tolist())}: weight_prior wants it above 0.")
    if shares.is_equal and not np.allclose(weights, 1 / len(weights), rtol=0, atol=1e-6):
        raise ValueError("weights_init are not equal, and equal_weights=True wants equal ones: leave one of them out.")
    if not shares.fixed:
        return shares
    fixed = {component: float(weights[component]) for component in shares.fixed}
    low = [component for component, weight in fixed.items() if weight < shares.least]
    if low:
        raise ValueError(f"min_weight={shares.least:g} is above the fixed weight of {name_components(low)}.")
    n_others, rest = len(weights) - len(fixed), 1.0 - sum(fixed.values())
    if n_others and rest <= 0:
        raise ValueError("The weights in fixed_weights sum to 1 and leave nothing for the other components.")
    if n_others and rest < n_others * shares.least:
        raise ValueError(
            f"fixed_weights leave {rest:.4g} for {n_others} components, less than min_weight={shares.least:g} for each."
        )
    return replace(shares, fixed=fixed)
