"""Conditional distributions of unknown features given known features; covariances are factorised once for many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_range
from gaussmix._src.covariances import Covariances
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.complete.distant import component_log_odds, log_probabilities
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.interfaces.whitening.diagonal import SphericalWhitening
from gaussmix._src.mixture.features import Feature, as_block
from gaussmix._src.mixture.parts.expectations import mean_and_spread, quiet, row_pieces, weighted_mean
from gaussmix._src.model import Model
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array, Indices, Rows
from gaussmix._src.numerics.threads import one_blas_thread

CONDITION_OVERFLOW = "Row {row} is so far from the means that the result is beyond the range of float64."


@dataclass(frozen=True, eq=False)
class Conditional:
    """Conditional distribution p(u | x) = Σ_k γ_k(x) N(u | m_k(x), C_k) of unknown features u given known features x.

    In this formula, γ_k(x) = p(k | x) and m_k(x) = ν_k + B_k (x − μ_k); Bishop (2006), eq. 2.81–2.82.

    Parameters
    ----------
    known : marginal model of the known features, with the means μ_k.
    means : means ν_k of the unknown features, (n_components, n_unknown), in data units.
    regression : regression matrices B_k, (n_components, n_unknown, n_known), or (1, n_unknown, n_known) if all
        components have the same matrix.
    covariances : conditional covariances C_k, in data units².
    family : covariance structure of the conditional covariances C_k.
    noise : marginal noise component of the unknown features; None if the model has no noise.
    """

    known: Model
    means: Array
    regression: Array
    covariances: Covariances
    family: Family
    noise: NoiseComponent | None = None

    @classmethod
    def from_model(cls, model: Model, known: Indices) -> Conditional:
        """Make the conditional distribution of a model, given the features at the indices `known`, in this order.

        All other features are unknown and keep their order. Raises ValueError if no feature or all features are known,
        and `SingularCovarianceError` if a covariance has no Cholesky factor to working precision.
        """
        unknown = np.delete(np.arange(model.n_features), known)
        if not len(known):
            raise ValueError("No feature is known. Pass at least one known feature.")
        if not len(unknown):
            raise ValueError("All features are known. Leave at least one feature out.")
        rest, regression = model.covariances.conditional(known, unknown)
        family = model.family.relaxed(rest, is_conditional=True)
        noise = None if model.noise is None else model.noise.marginal(unknown)
        return cls(model.marginal(known), model.means[:, unknown], regression, rest, family, noise)

    @property
    def n_unknown(self) -> int:
        return int(self.means.shape[1])

    @property
    def whitening(self) -> Whitening:
        """Return factors W_k with C_k⁻¹ = W_kᵀ W_k; raises `SingularCovarianceError` if a C_k is singular."""
        return self.covariances.whitening

    def at(self, row: Array, engine: Engine[Any]) -> Model:
        """Return the model of the unknown features given one row of known features, (n_known,)."""
        weights, means = self.responsibilities(row[None], engine)[0], self.means_at(row)
        if not np.isfinite(means).all():
            raise ValueError("These values are so far from the means that the result is beyond the range of float64.")
        noise = None if self.noise is None else self.noise.with_weight(max(0.0, 1.0 - float(weights.sum())))
        return Model(weights, means, self.covariances, self.family, noise)

    def responsibilities(self, rows: ArrayLike, engine: Engine[Any]) -> Array:
        """Return the responsibilities γ_k(x), (n_rows, n_components), for rows x (n_rows, n_known)."""
        return engine.responsibilities(self._block(rows), self.known.parameters)

    def log_responsibilities(self, rows: ArrayLike, engine: Engine[Any]) -> Array:
        """Return log γ_k(x), (n_rows, n_components), in nats, which is −inf only if component k has weight 0."""
        return log_probabilities(component_log_odds(self._block(rows), self.known.parameters, engine))

    def component_means(self, component: int, rows: Rows) -> Array:
        """Return the conditional mean m_k(x) of one component for each row, (n_rows, n_unknown)."""
        regression = self.regression[0 if len(self.regression) == 1 else component]
        return np.asarray(self.means[component] + (rows - self.known.means[component]) @ regression.T)

    @quiet
    def means_at(self, row: Array) -> Array:
        """Return the conditional mean m_k(x) of each component for one row (n_known,), (n_components, n_unknown)."""
        return np.asarray(self.means + np.matmul(self.regression, (row - self.known.means)[:, :, None])[:, :, 0])

    @quiet
    def each_mean(self, rows: Array) -> Array:
        """Return the conditional mean m_k(x) of each row and component, (n_rows, n_components, n_unknown)."""
        means = np.empty((len(rows), *self.means.shape))
        for component in range(means.shape[1]):
            means[:, component] = self.component_means(component, rows)
        return check_range(means, CONDITION_OVERFLOW)

    @quiet
    def mean(self, rows: ArrayLike, engine: Engine[Any]) -> Array:
        """Return the conditional mean E[u | x] = Σ_k γ_k m_k(x) for each row x, (n_rows, n_unknown)."""
        block = self._block(rows)
        means = np.empty((block.n_rows, self.n_unknown))
        for part, values, responsibilities in self._pieces(block, engine):
            means[part] = weighted_mean(responsibilities, partial(self.component_means, rows=values))
        return check_range(means, CONDITION_OVERFLOW)

    @quiet
    def covariance(self, rows: ArrayLike, engine: Engine[Any]) -> Array:
        """Return Cov[u | x], the mean of C_k plus the covariance of m_k(x) over k, (n_rows, n_unknown, n_unknown)."""
        within = self.covariances.dense()
        block = self._block(rows)
        covariances = np.empty((block.n_rows, self.n_unknown, self.n_unknown))
        for part, values, responsibilities in self._pieces(block, engine, self.n_unknown):
            between = mean_and_spread(responsibilities, partial(self.component_means, rows=values))[1]
            covariances[part] = np.tensordot(responsibilities, within, axes=1) + between
        return check_range(covariances, CONDITION_OVERFLOW)

    @one_blas_thread()
    @quiet
    def draw(self, rows: ArrayLike, rng: np.random.Generator, engine: Engine[Any]) -> Array:
        """Draw u for each row x, (n_rows, n_unknown): first k with probability γ_k(x), then u = m_k(x) + W_k⁻¹ z."""
        block, key = self._block(rows), int(rng.integers(2**64, dtype=np.uint64))
        standard, origin = SphericalWhitening.from_variances(np.ones(1), self.n_unknown), np.zeros((1, self.n_unknown))
        drawn, _ = engine.draw(block.n_rows, np.array([np.inf]), origin, standard, key)
        for part, values, responsibilities in self._pieces(block, engine):
            cumulative = responsibilities.cumsum(axis=1)
            labels = (cumulative > rng.random((len(values), 1)) * cumulative[:, -1:]).argmax(axis=1)
            for k in np.unique(labels):
                mine = np.flatnonzero(labels == k)
                coloured = self.whitening.colour(int(k), drawn[part][mine])
                drawn[part][mine] = self.component_means(int(k), values[mine]) + coloured
        return check_range(drawn, CONDITION_OVERFLOW)

    def _pieces(self, block: Block, engine: Engine[Any], each: int = 1) -> Iterator[tuple[slice, Rows, Array]]:
        """Yield pieces (slice, rows, responsibilities) of a block, for `each` results per row and feature."""
        array = self.n_unknown * each
        product = max(array * self.known.n_components, self.n_unknown * self.known.n_features)
        return row_pieces(self.known.parameters, block, engine, product=product, array=array)

    def _block(self, rows: ArrayLike) -> Block:
        return as_block(rows, self.known.n_features, called="X_known")


def condition_values(values: Mapping[Feature, float]) -> Array:
    """Return the values of known features, (n_known,); an error reports the feature whose value is not valid."""
    return np.array([_finite_value(feature, value) for feature, value in values.items()])


def _finite_value(feature: Feature, value: object) -> float:
    number = np.asarray(value)
    if number.dtype.kind not in "fiub" or number.ndim:
        raise ParameterTypeError(f"The value of feature {feature!r:.60} must be a number, not {value!r:.60}.")
    if not np.isfinite(number):
        raise ValueError(f"The value of feature {feature!r:.60} is {value}: pass a finite number or omit the feature.")
    return float(number)
