"""Where the density of a mixture of one feature is below a level, and the mass there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussmix.mixture.line.bracketing import increasing_roots
from gaussmix.mixture.line.inverse_cdf import lower_quantile
from gaussmix.mixture.line.line import Line
from gaussmix.mixture.line.turns import turns
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log_sum
from gaussmix.numerics.pieces import pieces

_MANY = 1024  # crossings


@dataclass(frozen=True, eq=False)
class LevelSets:
    """The line, cut at the turns of the density. Between two cuts, a rise, the density passes through a level once.

    Parameters
    ----------
    line : the mixture.
    """

    line: Line

    @cached_property
    def turns(self) -> Array:
        """Modes and the minima between them, ascending."""
        return turns(self.line)

    @cached_property
    def highest(self) -> float:
        """Log density of the highest mode, nats."""
        return float(self.line.log_density(self.turns).max())

    def log_mass_below(self, log_levels: Array) -> tuple[Array, Array]:
        """Log of the mass where the log density is below each of (n,), nats, and its error: 0."""
        mass = np.empty(len(log_levels))
        for part in pieces((len(mass), len(self.line.means))):
            mass[part] = self._log_mass_and_slope(log_levels[part])[0]
        return mass, np.zeros_like(mass)

    def _log_mass_and_slope(self, log_levels: Array) -> tuple[Array, Array]:
        """As `log_mass_below`, and its derivative by the level."""
        masses = np.empty((len(self.turns) + 1, len(log_levels)))
        lengths = np.zeros(len(log_levels))
        for mass, rise in zip(masses, self._rises(), strict=True):
            mass[:], length = _below(*rise, log_levels)
            lengths += length
        total = log_sum(masses, axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.minimum(total, 0.0), np.exp(log_levels - total) * lengths

    def level(self, p: Array) -> tuple[Array, Array]:
        """Log density above which lies the mass p, (n,), nats, and its error: 0."""
        levels = np.where(p > 0, -np.inf, self.highest)
        inner = (p > 0) & (p < 1)
        log_rest = np.log1p(-p[inner])

        def excess(log_levels: Array, numbers: NDArray[np.intp]) -> tuple[Array, Array]:
            log_mass, slope = self._log_mass_and_slope(log_levels)
            return log_mass - log_rest[numbers], slope

        beyond = 0.5 * (1 - p[inner])  # outside either end: p lies between the ends, where the density is above `low`
        at_ends = (line.log_density(lower_quantile(line, beyond)) for line in (self.line, self.line.mirrored))
        low = np.minimum(np.minimum(*at_ends), self.line.log_density(self.turns).min())
        levels[inner] = increasing_roots(excess, low, np.full(len(low), self.highest), 1.0)
        return levels, np.zeros_like(levels)

    def _rises(self) -> Iterator[tuple[Line, float, float]]:
        """Every rise: those to the right, then those to the left as rises of the mirrored distribution."""
        for line, places in ((self.line, self.turns), (self.line.mirrored, -self.turns[::-1])):
            yield from ((line, *ends) for ends in zip([-np.inf, *places[1::2]], places[::2], strict=True))


def _below(line: Line, left: float, right: float, log_levels: Array) -> tuple[Array, Array]:
    """Log mass below each level on a rise from left to right, and the length by which it grows with the level."""
    lowest = -np.inf if left == -np.inf else line.log_density(np.array([left]))
    highest = line.log_density(np.array([right]))
    log_mass, lengths = np.full(len(log_levels), -np.inf), np.zeros(len(log_levels))
    log_mass[log_levels >= highest] = line.log_between(np.array([left]), np.array([right]))
    crosses = (log_levels > lowest) & (log_levels < highest)
    x, slope = _crossings(line, left, right, log_levels[crosses])
    log_mass[crosses] = line.log_cdf(x) if left == -np.inf else line.log_between(np.array([left]), x)
    with np.errstate(divide="ignore"):
        lengths[crosses] = 1 / np.abs(slope)
    return log_mass, lengths


def _crossings(line: Line, left: float, right: float, log_levels: Array) -> tuple[Array, Array]:
    """Where the density passes through each level on a rise, and the slope of its logarithm there."""
    slopes = np.empty_like(log_levels)

    def excess(x: Array, numbers: NDArray[np.intp]) -> tuple[Array, Array]:
        log_density, slopes[numbers] = line.log_density_and_slope(x)
        return log_density - log_levels[numbers], slopes[numbers]

    if left == -np.inf:
        low, high = _first_ends(line, log_levels, right)
    else:
        low, high = np.full(len(log_levels), left), np.full(len(log_levels), right)
    start = None
    if len(log_levels) > _MANY:
        nodes = np.linspace(low.min(), right, _MANY)
        heights = line.log_density(nodes)
        place = np.searchsorted(heights, log_levels).clip(1, _MANY - 1)
        low, high = np.maximum(low, nodes[place - 1]), np.minimum(high, nodes[place])
        start = np.interp(log_levels, heights, nodes).clip(low, high)
    return increasing_roots(excess, low, high, line.deviations.min(), start), slopes


def _first_ends(line: Line, log_levels: Array, right: float) -> tuple[Array, Array]:
    """Ends between which the density first rises to a level: it is max_k π_k N_k at least, K times that at most."""

    def first(excess: Array) -> Array:
        steps = line.deviations[:, None] * np.sqrt(2 * np.maximum(excess, 0.0))
        return np.asarray(np.where(excess > 0, line.means[:, None] - steps, np.inf).min(axis=0))

    excess = line.log_scale - log_levels
    low = first(excess + np.log(len(line.means)))
    slack = 4 * np.finfo(np.float64).eps * (np.abs(low) + line.deviations.max())
    return low - slack, np.minimum(first(excess) + slack, right)
