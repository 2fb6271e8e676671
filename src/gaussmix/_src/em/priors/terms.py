"""Priors and fixed parameters of a fit, from which the objective of EM is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.priors.posterior import ConjugatePrior, PosteriorObjective, WeightUpdate
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import name_components
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.priors import NormalInverseWishart
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import MAX_NARROW_FEATURES, Cells

# If values are missing and the smallest eigenvalue of the correlations is below `MIN_EIGENVALUE`, correlations of
# different rows contradict each other. They are then multiplied by a factor that raises the eigenvalue to
# `RAISED_EIGENVALUE`, because a nearly singular prior would not bound the likelihood.
MIN_EIGENVALUE, RAISED_EIGENVALUE = 0.01, 0.3


@dataclass(frozen=True, eq=False)
class PriorTerms:
    """Priors and fixed parameters of a fit.

    Parameters
    ----------
    prior : prior on means and covariances; None without a prior.
    weight_update : restrictions and prior on the weights; the concentration is a number of rows.
    fixed_mean_components, fixed_covariance_components : indices of components with fixed means, and with fixed
        covariances.
    initial_means, initial_covariances : initial means and covariances of all components; None if no mean, or no
        covariance, is fixed.
    """

    prior: NormalInverseWishart | None = None
    weight_update: WeightUpdate = field(default_factory=WeightUpdate)
    fixed_mean_components: Sequence[int] = ()
    fixed_covariance_components: Sequence[int] = ()
    initial_means: Array | None = None
    initial_covariances: Covariances | None = None

    @cached_property
    def is_empty(self) -> bool:
        has_weight_terms = not self.weight_update.is_unrestricted or np.any(self.weight_update.concentration)
        has_fixed = self.fixed_mean_components or self.fixed_covariance_components
        return not (self.prior is not None or has_fixed or has_weight_terms)

    @property
    def needs_moments(self) -> bool:
        """Return whether the objective depends on the moments of all rows."""
        return self.prior is not None

    @property
    def has_component_terms(self) -> bool:
        """Return whether any prior or fixed parameter concerns only one component."""
        has_weight_terms = self.weight_update.fixed_weights or np.ndim(self.weight_update.concentration)
        return bool(self.fixed_mean_components or self.fixed_covariance_components or has_weight_terms)

    def row_moments(
        self, source: Source, weight_unit: float, engine: Engine[Any], *, is_matrix: bool
    ) -> OverallMoments:
        """Compute the overall moments (of all rows) for `make_objective`; see `OverallMoments.from_source`."""
        return OverallMoments.from_source(source, weight_unit, engine, is_matrix=is_matrix)

    def with_initial_values(
        self, weights: Array | None, means: Array | None, covariances: Covariances | None
    ) -> PriorTerms:
        """Add initial values of fixed parameters, or raise ValueError if these values contradict other parameters."""
        return replace(
            self,
            weight_update=_with_fixed_weights(self.weight_update, weights),
            initial_means=means if self.fixed_mean_components else None,
            initial_covariances=covariances if self.fixed_covariance_components else None,
        )

    def make_objective(
        self, ridge: Array, weight_unit: float, n_components: int, family: Family, moments: OverallMoments | None
    ) -> Objective:
        """Make the objective of EM for row weights divided by `weight_unit`; a prior needs `moments`."""
        if self.is_empty:
            return Objective(ridge)
        prior = None
        if self.prior is not None:
            assert moments is not None, "a prior requires the moments of all rows"
            prior = _make_conjugate_prior(self.prior, family, n_components, moments, weight_unit)
        indices = list(self.fixed_mean_components)
        return PosteriorObjective(
            ridge,
            prior,
            replace(self.weight_update, concentration=np.asarray(self.weight_update.concentration) / weight_unit),
            None if self.initial_means is None else self.initial_means[indices],
            indices,
            self.initial_covariances,
            frozenset(self.fixed_covariance_components),
        )


@dataclass(frozen=True, eq=False)
class OverallMoments:
    """Mean (n_features,), in data units, and covariance (diagonal or matrix), in data units², of all rows.

    `total_weight` is the total row weight before division by `weight_unit`, and `empty_weight` is the part of it that
    belongs to rows without observed values. The function `automatic_ridge` returns the automatic ridge, (n_features,).
    """

    mean: Array
    covariance: Array
    total_weight: float
    empty_weight: float = 0.0
    automatic_ridge: Callable[[], Array] | None = None

    @classmethod
    def from_source(cls, source: Source, weight_unit: float, engine: Engine[Any], *, is_matrix: bool) -> OverallMoments:
        """Compute moments with Bessel's correction, for rows whose weights were divided by `weight_unit`.

        A column with the same value in every row gets a variance of exactly 0, because its computed variance would be
        only a rounding error. If values are missing, the mean and the variance of a feature are computed from its
        observed values, and the correlation of two features from the rows in which both are observed.
        """
        cells = source.collect(Cells)
        low, high = cells.ends
        is_varied = np.where(low == high, 0.0, 1.0)
        if is_matrix:
            is_varied = is_varied[:, None] * is_varied
        if not source.is_incomplete and (is_matrix or source.n_features <= MAX_NARROW_FEATURES):
            spread = source.collect(Spread)
            covariance = spread.covariance if is_matrix else np.diagonal(spread.covariance)
            weight = spread.weight * weight_unit
            return cls(spread.mean, is_varied * covariance * _bessel_correction(weight, 0, source), weight)
        spec = MomentSpec(Second.FULL if is_matrix else Second.DIAGONAL)
        # In sources with a column of labels, `Block.assignment` contains labels. `Partition()` would read the labels as
        # a partition, and leave out all rows without the first label.
        everything = Partition(responsibilities=_in_one_component)
        sums, means = InitialMoments(source, engine, 1, everything).sum_about_means(spec)
        about = sums.about(means)
        assert about.second is not None, "`spec` requests second moments"
        weight = sums.row_weight * weight_unit
        second, empty_weight = about.second[0], cells.empty_weight * weight_unit
        if is_matrix and source.may_miss:
            second = _with_correlations(second, source.sum_of(partial(_pair_squares, mean=means[0])))
        covariance = is_varied * second / sums.row_weight
        correction = _bessel_correction(weight - empty_weight, cells.n_empty, source)
        return cls(means[0], covariance * correction, weight, empty_weight)

    @property
    def variances(self) -> Array:
        return np.diagonal(self.covariance) if self.covariance.ndim == 2 else self.covariance


def _bessel_correction(weight: float, n_empty: int, source: Source) -> float:
    """Return Bessel's correction n / (n − 1) for rows with observed values; `weight` is their total weight."""
    # If the total weight is below 2, weights are probably fractions, so n is the number of rows.
    n_rows = weight if weight >= 2 else source.row_totals.n_positive - n_empty
    return n_rows / max(n_rows - 1.0, 1.0)


def _in_one_component(block: Block) -> Array:
    return np.ones((block.n_rows, 1))


def _pair_squares(leaf: Block, mean: Array) -> Array:
    """Return Σ_i s_i (x_ij − mean_j)² over the rows in which the features j and k are observed, for all j and k."""
    is_seen = ~np.isnan(leaf.rows)
    squares = leaf.weight[:, None] * np.where(is_seen, leaf.rows - mean, 0.0) ** 2
    return einsum("ij,ik->jk", squares, is_seen.astype(np.float64))


def _with_correlations(second: Array, pair_squares: Array) -> Array:
    """Return second moments whose correlations are not biased towards 0 by missing values.

    A product of two features is summed only over the rows in which both are observed. Therefore, each correlation is
    computed from squares that are summed over the same rows, and is then multiplied by the standard deviations. If the
    correlations contradict each other, they are multiplied by a common factor (see `MIN_EIGENVALUE`).
    """
    scale, roots = np.sqrt(np.diagonal(second)), np.sqrt(pair_squares)
    products = roots * roots.T
    correlation = second / np.where(products > 0, products, np.inf)
    np.fill_diagonal(correlation, 1.0)
    shift = len(correlation) * np.eye(len(correlation))  # makes the matrix positive, as `principal_axes` needs
    least = float(principal_axes((correlation + shift)[None])[0].min()) - len(correlation)
    if least < MIN_EIGENVALUE:
        correlation *= (1.0 - RAISED_EIGENVALUE) / (1.0 - least)
        np.fill_diagonal(correlation, 1.0)
    return scale[:, None] * correlation * scale


def _make_conjugate_prior(
    prior: NormalInverseWishart, family: Family, n_components: int, moments: OverallMoments, weight_unit: float
) -> ConjugatePrior:
    """Convert a prior to the form that a covariance structure needs. Fraley & Raftery (2007) define the default values.

    Raises
    ------
    ValueError : the prior and X have different numbers of features, or the covariance structure needs more degrees of
        freedom.
    """
    n_features, (mean, scale) = len(moments.mean), prior._arrays()
    for values in (mean, scale):
        if values is not None and values.ndim and len(values) != n_features:
            raise ValueError(f"prior has {len(values)} features, but X has {n_features}.")
    second = family.kind.second
    lower_limit = n_features - 1 if second is Second.FULL else 0
    dof = family.prior_dof(n_features) if prior.dof is None else prior.dof
    if dof <= lower_limit:
        raise ValueError(f"prior: dof={dof:g} must be above {lower_limit} for covariance_type={family.name!r}.")
    dof_each, dof_total = family.prior_degrees(dof, n_features, float(prior.shrinkage > 0))
    if scale is None:
        scale = _default_scale(family, n_components, moments)
    elif not scale.ndim:
        scale = np.full(n_features, float(scale))
    scale, mean = _scale_in_structure_form(scale, second) / weight_unit, moments.mean if mean is None else mean
    return ConjugatePrior(mean, prior.shrinkage / weight_unit, scale, dof_each / weight_unit, dof_total / weight_unit)


def _default_scale(family: Family, n_components: int, moments: OverallMoments) -> Array:
    """Return var(X) / K^(2/d), where var(X) has the form that the covariance structure needs.

    For structures with covariance matrices, var(X) is the covariance matrix of the rows, and for diagonal and spherical
    structures, it is the mean variance of the features; see Fraley & Raftery (2007). For factor analysers, the prior
    has a scale for each feature's variance, so var(X) consists of the variances.
    """
    second, n_features = family.kind.second, len(moments.mean)
    fraction = n_components ** (-2.0 / n_features)
    if second is Second.FULL:
        return np.asarray(fraction * moments.covariance)
    if second is Second.PROJECTED:
        return np.asarray(fraction * moments.variances)
    return np.full(n_features, fraction * moments.variances.mean())


def _scale_in_structure_form(scale: Array, second_form: Second) -> Array:
    """Convert a scale, (n_features,) or a matrix, to the form that `ConjugatePrior` needs for the structure."""
    if second_form is Second.FULL:
        return scale if scale.ndim == 2 else np.diag(scale)
    diagonal = np.diagonal(scale) if scale.ndim == 2 else scale
    # For spherical structures, the prior adds its scale once to the sum of squares over all features. Therefore, the
    # scale is the mean of the diagonal entries, not the sum of the diagonal entries.
    return np.asarray(diagonal.mean()) if second_form is Second.TRACE else np.array(diagonal)


def _with_fixed_weights(update: WeightUpdate, weights: Array | None) -> WeightUpdate:
    """Add the values of fixed weights, or raise ValueError if the initial weights violate a restriction."""
    if weights is None:
        return update
    lost = np.flatnonzero((weights == 0) & (np.broadcast_to(update.concentration, weights.shape) > 0))
    if lost.size:
        which = name_components(lost.tolist())
        raise ValueError(f"weights_init is 0 for {which}, but the prior on the weights requires weights above 0.")
    if update.is_equal and not np.allclose(weights, 1 / len(weights), rtol=0, atol=1e-6):
        raise ValueError("equal_weights=True requires equal weights in weights_init. Remove one of the two.")
    if not update.fixed_weights:
        return update
    fixed = {component: float(weights[component]) for component in update.fixed_weights}
    low = [component for component, weight in fixed.items() if weight < update.min_weight]
    if low:
        raise ValueError(f"min_weight={update.min_weight:g} is above the fixed weight of {name_components(low)}.")
    n_others, rest = len(weights) - len(fixed), 1.0 - sum(fixed.values())
    if n_others and rest <= 0:
        raise ValueError("The weights in fixed_weights sum to 1 and leave nothing for the other components.")
    if n_others and rest < n_others * update.min_weight:
        needed = f"min_weight={update.min_weight:g} requires at least {n_others * update.min_weight:.4g}"
        raise ValueError(f"fixed_weights leaves a weight of {rest:.4g} for all other components, but {needed}.")
    return replace(update, fixed_weights=fixed)
