"""A mixture of one feature: distribution function and density, to rounding in both tails."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import log_ndtr

from gaussmix.mixture.masses.normal_interval import log_interval
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log_sum
from gaussmix.waist.parameters import LOG_2PI


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
    def of(cls, model: Model) -> Line:
        """Make it of a model of one feature, whose weights may be 0 and whose components come in any order."""
        weights, means, deviations = model.weights, model.means[:, 0], np.sqrt(model.covariances.variances()[:, 0])
        order = np.argsort(means, kind="stable")
        order = order[weights[order] > 0]
        return cls(weights[order] / weights[order].sum(), means[order], deviations[order])

    @cached_property
    def mirrored(self) -> Line:
        """The distribution of −x."""
        return Line(self.weights[::-1], -self.means[::-1], self.deviations[::-1])

    @cached_property
    def log_weights(self) -> Array:
        """log π_k, (n_components, 1), nats."""
        return np.asarray(np.log(self.weights)[:, None])

    @cached_property
    def log_scale(self) -> Array:
        """log π_k N(μ_k | μ_k, σ_k²), (n_components, 1), nats."""
        return np.asarray(self.log_weights - np.log(self.deviations)[:, None] - 0.5 * LOG_2PI)

    def whiten(self, x: Array) -> Array:
        """(x − μ_k) / σ_k of each x (n,), (n_components, n): NumPy sums a few components fastest in this order."""
        return (x - self.means[:, None]) / self.deviations[:, None]

    def log_density(self, x: Array) -> Array:
        """log p(x) of each x (n,), nats."""
        return self.log_density_and_slope(x)[0]

    def log_density_and_slope(self, x: Array) -> tuple[Array, Array]:
        """log p(x) and its derivative, each (n,)."""
        whitened = self.whiten(x)
        largest, share, total = self._shares(whitened)
        return largest + np.log(total), -np.einsum("kn,kn,k->n", share, whitened, 1 / self.deviations) / total

    def slope_and_curvature(self, x: Array) -> tuple[Array, Array]:
        """First and second derivative of log p(x), each (n,)."""
        whitened = self.whiten(x)
        _, share, total = self._shares(whitened)
        whitened /= self.deviations[:, None]
        first = -np.einsum("kn,kn->n", share, whitened) / total
        second = np.einsum("kn,kn,kn->n", share, whitened, whitened) - self.deviations**-2 @ share
        return first, second / total - first**2

    def _shares(self, whitened: Array) -> tuple[Array, Array, Array]:
        """Log of the largest π_k N_k; all π_k N_k divided by the largest; and the sum of these quotients."""
        share = np.square(whitened)
        share *= -0.5
        share += self.log_scale
        largest = share.max(axis=0)
        share -= largest
        np.exp(share, out=share)
        return largest, share, share.sum(axis=0)

    def log_between(self, lower: Array, upper: Array) -> Array:
        """Log of the mass between lower and upper, each (n,) or (1,), nats."""
        log_parts = self.log_weights + log_interval(self.whiten(lower), self.whiten(upper))
        return np.minimum(log_sum(log_parts, axis=0), 0.0)

    def log_cdf(self, x: Array) -> Array:
        """Log of the mass below each x (n,), nats."""
        log_mass = log_sum(self.log_weights + log_ndtr(self.whiten(x)), axis=0)
        is_most = log_mass > -0.5
        rest = self.log_weights + log_ndtr(-self.whiten(x[is_most]))  # has digits where log 1 has none
        log_mass[is_most] = np.log1p(-np.exp(rest).sum(axis=0))
        return log_mass
