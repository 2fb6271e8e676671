"""How much mass lies where the density is below a level: exactly, or by quasi-Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaincinv

from gaussmix.engines.base import Engine
from gaussmix.mixture.levels.chi_squared import half_square, log_tail
from gaussmix.mixture.levels.level_sample import LevelSample
from gaussmix.mixture.line.level_sets import LevelSets
from gaussmix.mixture.line.line import Line
from gaussmix.mixture.parts.modality import modes
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array

MASS = 0.95  # rows outside of the smallest region that holds so much are outliers, if nobody says otherwise


@dataclass(frozen=True)
class LevelEllipsoid:
    """Of a single component: its density is below a level outside an ellipsoid.

    Half the squared Mahalanobis distance of a row is the log density at the mean minus that at the row, and half of a
    χ² variable.

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


def exact_levels(model: Model, line: Line | None) -> LevelSets | LevelEllipsoid | None:
    """The levels of one feature or of one component; None where only sampling finds them."""
    if line is not None:
        return LevelSets(line)
    if np.count_nonzero(model.weights) == 1:
        return LevelEllipsoid(float(model.parameters.log_scale.max()), model.n_features)
    return None


def log_tails(levels: LevelSets | LevelEllipsoid | LevelSample, log_levels: Array) -> tuple[Array, Array]:
    """Log of the mass below levels (n,), nats, and its relative standard error; −inf and 0 for a level of −inf."""
    logs, errors = np.full(len(log_levels), -np.inf), np.zeros(len(log_levels))
    known = log_levels > -np.inf  # a row farther out than squares of float64 reach has the level −inf
    logs[known], errors[known] = levels.log_mass_below(log_levels[known])
    return logs, errors


def highest_density_level(
    levels: LevelSets | LevelEllipsoid | LevelSample, p: Array, model: Model, line: Line | None, engine: Engine[Any]
) -> tuple[Array, Array]:
    """Log density above which lies the mass p, in the shape of p, nats, and its standard error."""
    wanted = p.ravel()
    level, error = levels.level(wanted)
    if isinstance(levels, LevelSample) and (wanted == 0).any():  # points lie beside the highest mode, not on it
        top = wanted == 0
        level[top], error[top] = np.maximum(level[top], modes(model, line, engine).log_density[0]), 0.0
    return level.reshape(p.shape)[()], error.reshape(p.shape)[()]
