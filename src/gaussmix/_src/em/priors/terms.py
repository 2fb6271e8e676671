"""Priors and fixed parameters of a fit, and the objective that EM raises for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.priors.posterior import Conjugate, Posterior, Shares
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import name_components
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.need import Need, Second
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.priors import NormalInverseWishart
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.findings import NARROW, Cells


@dataclass(frozen=True, eq=False)
class Terms:
    """Priors and fixed parameters of a fit.

    Parameters
    ----------
    prior : of means and covariances; None if there is none.
    shares : restrictions and prior of the weights; the prior in rows.
    fixed_means, fixed_covariances : components with fixed means, and with fixed covariances.
    means, covariances : values of all components; None if nothing is fixed.
    """

    prior: NormalInverseWishart | None = None
    shares: Shares = field(default_factory=Shares)
    fixed_means: Sequence[int] = ()
    fixed_covariances: Sequence[int] = ()
    means: Array | None = None
    covariances: Covariances | None = None

    @cached_property
    def is_empty(self) -> bool:
        has_shares = not self.shares.is_free or np.any(self.shares.concentration)
        return not (self.prior is not None or self.fixed_means or self.fixed_covariances or has_shares)

    @property
    def needs_moments(self) -> bool:
        """Whether the objective depends on the moments of all rows."""
        return self.prior is not None

    @property
    def has_numbers(self) -> bool:
        """Whether some term is for a single component."""
        shares = self.shares
        return bool(self.fixed_means or self.fixed_covariances or shares.fixed or np.ndim(shares.concentration))

    def moments(self, source: Source, unit: float, engine: Engine[Any], *, is_matrix: bool) -> OverallMoments:
        """The moments of all rows that the objective depends on; parameters as for `OverallMoments.of`."""
        return OverallMoments.of(source, unit, engine, is_matrix=is_matrix)

    def with_values(self, weights: Array | None, means: Array | None, covariances: Covariances | None) -> Terms:
        """Add the values of fixed parameters; raise ValueError if they contradict other parameters."""
        return replace(
            self,
            shares=_with_weights(self.shares, weights),
            means=means if self.fixed_means else None,
            covariances=covariances if self.fixed_covariances else None,
        )

    def objective(
        self, ridge: Array, unit: float, n_components: int, family: Family, moments: OverallMoments | None
    ) -> Objective:
        """Make the objective of EM, for row weights divided by `unit`; a prior needs the moments of all rows."""
        if self.is_empty:
            return Objective(ridge)
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
class OverallMoments:
    """Mean (n_features,) and covariance of all rows, data units and their squares; a diagonal or a matrix.

    `row_weight` is their total weight, as the user gave it. `automatic_ridge` makes the automatic ridge, (n_features,).
    """

    mean: Array
    covariance: Array
    row_weight: float
    automatic_ridge: Callable[[], Array] | None = None

    @classmethod
    def of(cls, source: Source, unit: float, engine: Engine[Any], *, is_matrix: bool) -> OverallMoments:
        """Compute them, with Bessel's correction, for rows whose weights were divided by `unit`.

        A column with the same number in every row has a variance of exactly 0: the rest of the sums is rounding.
        """
        low, high = source.of_all(Cells).ends
        is_varied = np.where(low == high, 0.0, 1.0)
        if is_matrix:
            is_varied = is_varied[:, None] * is_varied
        if not source.is_incomplete and (is_matrix or source.n_features <= NARROW):
            spread = source.of_all(Spread)
            covariance = spread.covariance if is_matrix else np.diagonal(spread.covariance)
            weight = spread.weight * unit
            return cls(spread.mean, is_varied * covariance * _correction(weight, source), weight)
        need = Need(Second.FULL if is_matrix else Second.DIAGONAL)
        sums, means = InitialMoments(source, engine, 1, Partition()).about_means(need)
        about = sums.about(means)
        assert about.second is not None, "it was asked for"
        weight = sums.row_weight * unit
        covariance = is_varied * about.second[0] / sums.row_weight
        return cls(means[0], covariance * _correction(weight, source), weight)

    @property
    def variances(self) -> Array:
        return np.diagonal(self.covariance) if self.covariance.ndim == 2 else self.covariance


def _correction(total: float, source: Source) -> float:
    """Bessel's, n / (n − 1), for rows of this total weight."""
    n_rows = total if total >= 2 else source.profile.n_positive  # such small weights are shares
    return n_rows / max(n_rows - 1.0, 1.0)


def _conjugate(
    prior: NormalInverseWishart, family: Family, n_components: int, moments: OverallMoments, unit: float
) -> Conjugate:
    """The prior in the form of the sums of a structure, with the defaults of Fraley & Raftery (2007).

    Raises
    ------
    ValueError : the prior has another number of features, or too few degrees of freedom for the structure.
    """
    n_features, (mean, scale) = len(moments.mean), prior.arrays()
    for given in (mean, scale):
        if given is not None and given.ndim and len(given) != n_features:
            raise ValueError(f"prior has {len(given)} features, but X has {n_features}.")
    second = family.kind.second
    least = n_features - 1 if second is Second.FULL else 0
    dof = family.prior_dof(n_features) if prior.dof is None else prior.dof
    if dof <= least:
        raise ValueError(
            f"prior: dof={dof:g} must be above {least}, n_features − 1, for covariance_type={family.name!r}."
        )
    each, once = family.prior_degrees(dof, n_features, float(prior.shrinkage > 0))
    if scale is None:
        scale = _default_scale(family, n_components, moments)
    elif not scale.ndim:
        scale = np.full(n_features, float(scale))
    numbers = (prior.shrinkage / unit, _in_form(scale, second) / unit, each / unit, once / unit)
    return Conjugate(moments.mean if mean is None else mean, *numbers)


def _default_scale(family: Family, n_components: int, moments: OverallMoments) -> Array:
    """var(X) / K^(2/d), and the mean of its diagonal for structures without an orientation."""
    second, n_features = family.kind.second, len(moments.mean)
    share = n_components ** (-2.0 / n_features)
    if second is Second.FULL:
        return np.asarray(share * moments.covariance)
    if second is Second.PROJECTED:
        return np.asarray(share * moments.variances)
    return np.full(n_features, share * moments.variances.mean())


def _in_form(scale: Array, second: Second) -> Array:
    """A scale, (n_features,) or a matrix, in the form that `Conjugate` needs for a structure."""
    if second is Second.FULL:
        return scale if scale.ndim == 2 else np.diag(scale)
    diagonal = np.diagonal(scale) if scale.ndim == 2 else scale
    # For spheres a number: the likelihood has the sum of the variances, and the scale of one of them counts once.
    return np.asarray(diagonal.mean()) if second is Second.TRACE else np.array(diagonal)


def _with_weights(shares: Shares, weights: Array | None) -> Shares:
    """Add the values of fixed weights; raise ValueError if the start's weights are not allowed."""
    if weights is None:
        return shares
    lost = np.flatnonzero((weights == 0) & (np.broadcast_to(shares.concentration, weights.shape) > 0))
    if lost.size:
        which = name_components(lost.tolist())
        raise ValueError(f"weights_init is 0 for {which}, but the prior of the weights needs it above 0.")
    if shares.is_equal and not np.allclose(weights, 1 / len(weights), rtol=0, atol=1e-6):
        raise ValueError("equal_weights=True needs equal weights_init. Remove one of the two.")
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
