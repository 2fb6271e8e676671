"""Mixtures of t distributions, which are the predictive densities of variational Bayes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.elementary import log, log_gamma, log_sum
from gaussmix._src.numerics.rows import patterns

_MIN_ASYMPTOTIC_DISTANCE = 1e8  # for z above this value, log (1 + z²) equals 2 log z in float64
_MAX_LOG_SQUARED_DISTANCE = 600.0  # if the log of a squared distance exceeds this, rows are scaled before squaring
_SCALING_BITS = 600  # exponent of the power of 2 by which distant rows are divided to prevent overflow
LOG_PI = 1.1447298858494001741


@dataclass(frozen=True, eq=False)
class StudentMixture:
    """Mixture Σ_k π_k t(x | μ_k, f_k C_k, df_k) of multivariate t densities, or of products of univariate t densities.

    Parameters
    ----------
    weights : weights π_k with sum 1, (n_components,).
    means : locations μ_k of the components, (n_components, n_features), in data units.
    covariances : scale matrices C_k, in data units².
    scale_factors : factors f_k on the scale matrices, (n_components,).
    df : degrees of freedom, (n_components,).
    has_independent_features : whether a component is a product of univariate t distributions, one per feature.
    """

    weights: Array
    means: Array
    covariances: Covariances
    scale_factors: Array
    df: Array
    has_independent_features: bool

    def log_density(self, block: Block, engine: Engine[Any]) -> Array:
        """Return the log density of each row's observed values, in nats, (n_rows,)."""
        if not block.has_missing:
            return self._complete_log_density(np.asarray(block.rows, dtype=np.float64), engine)
        result = np.zeros(block.n_rows)
        for indices, seen in patterns(np.isnan(block.rows)):
            if seen.size:
                rows = block.rows[indices][:, seen].astype(np.float64)
                marginal = replace(self, means=self.means[:, seen], covariances=self.covariances.marginal(seen))
                result[indices] = marginal._complete_log_density(rows, engine)
        return result

    def _complete_log_density(self, rows: Array, engine: Engine[Any]) -> Array:
        d, df, scaled_df = rows.shape[1], self.df, self.scale_factors * self.df
        n_each, times = (1, d) if self.has_independent_features else (d, 1)
        constant = log_gamma(0.5 * (df + n_each)) - log_gamma(0.5 * df) - 0.5 * n_each * (log(scaled_df) + LOG_PI)
        log_weight = log(self.weights) + times * constant + self.covariances.whitening.log_abs_det
        result = np.empty(len(rows))
        for part in pieces((len(rows), len(df), d if self.has_independent_features else 1)):
            tails = self._log_distance_terms(np.ascontiguousarray(rows[part]), scaled_df, engine)
            result[part] = log_sum(log_weight - 0.5 * (df + n_each) * tails)
        return result

    def _log_distance_terms(self, rows: Array, scaled_df: Array, engine: Engine[Any]) -> Array:
        """Return log (1 + squared distance / (f df)), (n_rows, n_components), summed over independent features."""
        if self.has_independent_features:
            scale = np.sqrt(scaled_df[:, None] * self.covariances.variances())
            distances = np.abs(rows[:, None, :] - self.means) / scale
            small = np.log1p(np.minimum(distances, _MIN_ASYMPTOTIC_DISTANCE) ** 2)
            large = 2.0 * np.log(np.maximum(distances, _MIN_ASYMPTOTIC_DISTANCE))
            return np.asarray(np.where(distances < _MIN_ASYMPTOTIC_DISTANCE, small, large).sum(axis=2))
        unweighted = Parameters(np.zeros(len(scaled_df)), self.means, self.covariances.whitening)
        result = np.log1p(-2.0 * engine.component_log_density(Block(0, rows), unweighted) / scaled_df)
        distant = np.flatnonzero((result > _MAX_LOG_SQUARED_DISTANCE).any(axis=1))
        # Distances of very distant rows are computed in this function, because engines replace squared distances that
        # overflow with the largest float64.
        for row in distant.tolist():
            offsets = np.ldexp(rows[row], -_SCALING_BITS) - np.ldexp(self.means, -_SCALING_BITS)
            whitened = self.covariances.whitening.whiten_each(offsets)
            largest = np.abs(whitened).max(axis=1, keepdims=True)
            lengths = largest[:, 0] * np.linalg.norm(whitened / largest, axis=1)
            result[row] = 2.0 * (np.log(lengths) + _SCALING_BITS * np.log(2.0)) - np.log(scaled_df)
        return np.asarray(result)
