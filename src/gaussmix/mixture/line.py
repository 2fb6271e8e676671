"""A mixture of one feature: distribution function, density and quantiles, each to rounding in both tails."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from gaussmix.mixture.bracketing import increasing_roots
from gaussmix.mixture.normal_interval import log_interval, log_sum
from gaussmix.waist.arrays import Array
from gaussmix.waist.parameters import LOG_2PI

_MANY = 1024  # quantiles


@dataclass(frozen=True, eq=False)
class Line:
    """Σ_k π_k N(x | μ_k, σ_k²) without components of weight 0, in the order of the means.

    Parameters
    ----------
    weights : (n_components,), positive; sum to 1.
    means, deviations : (n_components,), μ_k and σ_k, data units.
    """

    weights: Array
    means: Array
    deviations: Array

    @classmethod
    def of(cls, weights: Array, means: Array, deviations: Array) -> Line:
        """From weights that may be 0 and components in any order."""
        order = np.argsort(means, kind="stable")
        order = order[weights[order] > 0]
        return cls(weights[order] / weights[order].sum(), means[order], deviations[order])

    @cached_property
    def mirrored(self) -> Line:
        """The distribution of −x."""
        return Line(self.weights[::-1], -self.means[::-1], self.deviations[::-1])

    @cached_property
    def log_scale(self) -> Array:
        """Log π_k N(μ_k | μ_k, σ_k²), nats."""
        scale: Array = np.log(self.weights) - np.log(self.deviations) - 0.5 * LOG_2PI
        return scale

    def whiten(self, x: Array) -> Array:
        """(x − μ_k) / σ_k, in the shape of x and a last axis for components."""
        return (x[..., None] - self.means) / self.deviations

    def log_density(self, x: Array) -> Array:
        """log p(x), nats, in the shape of x."""
        return self.log_density_and_slope(x)[0]

    def log_density_and_slope(self, x: Array) -> tuple[Array, Array]:
        """log p(x) and its derivative, in the shape of x."""
        whitened = self.whiten(x)
        largest, share, total = self._shares(whitened)
        return largest + np.log(total), -np.einsum("...k,...k,k->...", share, whitened, 1 / self.deviations) / total

    def slope_and_curvature(self, x: Array) -> tuple[Array, Array]:
        """First and second derivative of log p(x), in the shape of x."""
        whitened = self.whiten(x) / self.deviations
        _, share, total = self._shares(whitened * self.deviations)
        first = -np.einsum("...k,...k->...", share, whitened) / total
        second = np.einsum("...k,...k,...k->...", share, whitened, whitened) - share @ self.deviations**-2
        return first, second / total - first**2

    def _shares(self, whitened: Array) -> tuple[Array, Array, Array]:
        """Log of the largest π_k N_k, all of them as parts of that, and their sum."""
        share = np.square(whitened)
        share *= -0.5
        share += self.log_scale
        largest = share.max(axis=-1)
        share -= largest[..., None]
        np.exp(share, out=share)
        return largest, share, share.sum(axis=-1)

    def log_between(self, lower: Array, upper: Array) -> Array:
        """Log of the mass between lower and upper, of one shape, nats."""
        log_parts = np.log(self.weights) + log_interval(self.whiten(lower), self.whiten(upper))
        return np.minimum(log_sum(log_parts), 0.0)

    def log_cdf(self, x: Array) -> Array:
        """Log of the mass below x, nats, in the shape of x."""
        log_mass = log_sum(np.log(self.weights) + log_ndtr(self.whiten(x)))
        is_most = log_mass > -0.5
        rest = self.mirrored.whiten(-x[is_most])  # of which the logarithm keeps its digits where that of 1 has none
        log_mass[is_most] = np.log1p(-np.exp(np.log(self.mirrored.weights) + log_ndtr(rest)).sum(axis=-1))
        return log_mass

    def quantile(self, p: Array) -> Array:
        """Where the mass below is p, (n,); ∓inf for 0 and 1."""
        upper = p > 0.5
        x = np.empty(len(p))
        x[~upper] = self._lower_quantile(p[~upper])
        x[upper] = -self.mirrored._lower_quantile(1 - p[upper])
        return x

    def _lower_quantile(self, p: Array) -> Array:
        """As `quantile`, to rounding for p up to ½.

        With the components left of x and those right of it, (mass below) = p reads

            Σ_right π_k Φ(−|z_k|) + (Σ_left π_k − p)₊ = Σ_left π_k Φ(−|z_k|) + (p − Σ_left π_k)₊,

        of which no side cancels: the left one of Σ π_k Φ(z_k) = p is p to the last digit all the way between
        components that lie far apart.
        """
        x = np.full(len(p), -np.inf)
        positive = p > 0
        p = p[positive]
        log_weights = np.log(self.weights)
        below = np.concatenate([[0.0], np.cumsum(self.weights)])

        def excess(at: Array, numbers: NDArray[np.intp]) -> tuple[Array, Array]:
            """Log of the ratio of the two sides, and its slope."""
            whitened = self.whiten(at)
            log_tails = log_weights + log_ndtr(-np.abs(whitened))
            whole = below[np.searchsorted(self.means, at)] - p[numbers]
            log_whole = np.log(np.abs(whole))
            largest = np.maximum(log_tails.max(axis=-1), log_whole)[:, None]
            tails = np.exp(log_tails - largest)
            slopes = np.exp(self.log_scale - 0.5 * whitened**2 - largest)
            is_left = whitened > 0
            whole = np.copysign(np.exp(log_whole - largest[:, 0]), whole)
            left = np.einsum("nk,nk->n", tails, is_left) + np.maximum(-whole, 0)
            right = np.einsum("nk,nk->n", tails, ~is_left) + np.maximum(whole, 0)
            left_slope = np.einsum("nk,nk->n", slopes, is_left)
            return np.log(right / left), left_slope / left + (slopes.sum(axis=-1) - left_slope) / right

        low, high = self._quantile_bounds(p)
        x[positive] = increasing_roots(excess, low, high, self.deviations.max())
        return x

    def _quantile_bounds(self, p: Array) -> tuple[Array, Array]:
        """Ends between which the quantiles of p > 0 lie: of many, those of a few bound the others."""
        if len(p) > _MANY:
            ends = np.sort(p)[:: _MANY // 8]
            x = np.concatenate([self._lower_quantile(ends), self._bounds_alone(p.max(keepdims=True))[1]])
            place = np.searchsorted(ends, p, side="right")
            low, high = x[place - 1], x[place]
        else:
            low, high = self._bounds_alone(p)
        slack = 4 * np.finfo(np.float64).eps * (np.abs(low) + np.abs(high) + self.deviations.max())
        return low - slack, high + slack

    def _bounds_alone(self, p: Array) -> tuple[Array, Array]:
        """Between max_k π_k Φ_k and the least of max_k Φ_k and K max_k π_k Φ_k lies the mass below."""

        def least(log_masses: Array) -> Array:
            where = self.means + self.deviations * ndtri_exp(np.minimum(log_masses, 0.0))
            return np.asarray(where.min(axis=-1))

        log_p = np.log(p)
        log_masses = log_p[:, None] - np.log(self.weights)
        alone = self.means + self.deviations * ndtri_exp(log_p)[:, None]
        low = np.maximum(alone.min(axis=-1), least(log_masses - np.log(len(self.weights))))
        return low, np.minimum(alone.max(axis=-1), least(log_masses))
