"""Where the density of a single component is below a level: outside an ellipsoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from gaussmix.mixture.levels.chi_squared import half_square, log_tail
from gaussmix.numerics.arrays import Array


@dataclass(frozen=True)
class LevelEllipsoid:
    """Half the squared Mahalanobis distance is the height of the mean above a row, and half of a χ² variable.

    Parameters
    ----------
    highest : log density at the mean, nats.
    n_features : degrees of freedom.
    """

    highest: float
    n_features: int

    def log_mass_below(self, log_levels: Array) -> tuple[Array, Array]:
        """Log of the mass where the log density is below each of (n,), nats, and its error: 0."""
        return log_tail(np.maximum(self.highest - log_levels, 0.0), self.n_features), np.zeros_like(log_levels)

    def level(self, p: Array) -> tuple[Array, Array]:
        """Log density above which lies the mass p, (n,), nats, and its error: 0."""
        with np.errstate(divide="ignore"):
            outside = half_square(np.log1p(-p), self.n_features)
        inside: Array = gammaincinv(0.5 * self.n_features, np.minimum(p, 0.5))
        return self.highest - np.where(p > 0.5, outside, inside), np.zeros_like(p)
