"""Modes and minima of a univariate density, and the probability that the density is below a level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.mixture.univariate.univariate_mixture import MAX_DEVIATIONS, UnivariateMixture, increasing_roots
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.numerics.threads import cached_property

# Length, in units of the smallest σ, within which the density changes by less than its rounding error.
_MIN_RELATIVE_WIDTH = 1e-6
_LEVEL_ROUNDING = 8 * float(np.finfo(np.float64).eps)  # rounding error of log densities, in nats

_EDGES = np.sqrt([0.0, 1.0, 3.0])  # distances from the mean, in σ, at which a derivative of order 1 to 3 changes sign


@dataclass(frozen=True, eq=False)
class LevelSets:
    """The intervals between the modes and minima of a univariate density, in which the density is monotone."""

    line: UnivariateMixture

    @cached_property
    def extrema(self) -> Array:
        """Return the modes and the minima between the modes, in ascending order."""
        return extrema(self.line)

    @cached_property
    def highest(self) -> float:
        """Return the log density of the highest mode, in nats."""
        return float(self.line.log_density(self.extrema).max())

    def log_mass_below(self, log_levels: Array) -> tuple[Array, Array]:
        """Return the log probability that a draw has a log density below each level, (n,), in nats, and errors of 0."""
        parts = pieces((len(log_levels), len(self.line.means)))
        log_mass = np.concatenate([self._log_mass_and_slope(log_levels[part])[0] for part in parts])
        return log_mass, np.zeros_like(log_mass)

    def _log_mass_and_slope(self, log_levels: Array) -> tuple[Array, Array]:
        """Return the log probabilities of `log_mass_below`, and the derivatives with respect to the log levels."""
        masses = np.empty((len(self.extrema) + 1, len(log_levels)))
        lengths = np.zeros(len(log_levels))
        for mass, rise in zip(masses, self._rises(), strict=True):
            mass[:], length = _below(*rise, log_levels)
            lengths += length
        total = log_sum(masses, axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.minimum(total, 0.0), np.exp(log_levels - total) * lengths

    def level(self, log_masses: Array) -> tuple[Array, Array]:
        """Return levels below which a draw's log density lies with probability exp(`log_masses`), and errors of 0."""
        levels = np.where(log_masses < 0, -np.inf, self.highest)
        inner = (log_masses < 0) & (log_masses > -np.inf)
        wanted = log_masses[inner]

        def excess(log_levels: Array, indices: NDArray[np.intp]) -> tuple[Array, Array]:
            log_mass, slope = self._log_mass_and_slope(log_levels)
            return log_mass - wanted[indices], slope

        # The mass below a level l is at most Σ_k π_k P(π_k N_k < l). Because P(½χ² > y) ≤ exp(−y), this sum is at most
        # exp(l) Σ_k √(2π) σ_k.
        low = wanted - np.log(self.line.deviations.sum()) - 0.5 * LOG_2PI
        levels[inner] = increasing_roots(excess, low, np.full(len(low), self.highest), 1.0)
        return levels, np.zeros_like(levels)

    def _rises(self) -> Iterator[tuple[UnivariateMixture, float, float]]:
        """Yield all intervals in which the density rises, then the mirror images of all intervals in which it falls."""
        for line, positions in ((self.line, self.extrema), (self.line.mirrored, -self.extrema[::-1])):
            yield from ((line, *ends) for ends in zip([-np.inf, *positions[1::2]], positions[::2], strict=True))


def _below(line: UnivariateMixture, left: float, right: float, log_levels: Array) -> tuple[Array, Array]:
    """Return the log mass below each level in an interval with rising density, and dx / d(log level) at crossings x."""
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


def _crossings(line: UnivariateMixture, left: float, right: float, log_levels: Array) -> tuple[Array, Array]:
    """Return the points at which a rising density reaches each level, and slopes of the log density at the points."""
    slopes = np.empty_like(log_levels)

    def excess(x: Array, indices: NDArray[np.intp]) -> tuple[Array, Array]:
        log_density, slopes[indices] = line.log_density_and_slope(x)
        return log_density - log_levels[indices], slopes[indices]

    if left == -np.inf:
        low, high = _first_ends(line, log_levels, right)
    else:
        low, high = np.full(len(log_levels), left), np.full(len(log_levels), right)
    return increasing_roots(excess, low, high, line.deviations.min()), slopes


def _first_ends(line: UnivariateMixture, log_levels: Array, right: float) -> tuple[Array, Array]:
    """Return brackets of the leftmost point at each level, using that the density is 1 to K times max_k π_k N_k."""

    def first(excess: Array) -> Array:
        steps = line.deviations[:, None] * np.sqrt(2 * np.maximum(excess, 0.0))
        return np.asarray(np.where(excess > 0, line.means[:, None] - steps, np.inf).min(axis=0))

    excess = line.log_scale - log_levels
    low = first(excess + np.log(len(line.means)))
    slack = 4 * np.finfo(np.float64).eps * (np.abs(low) + line.deviations.max())
    return low - slack, np.minimum(first(excess) + slack, right)


def extrema(line: UnivariateMixture) -> Array:
    """Return the modes and the minima between the modes, (2 n_modes − 1,), in ascending order.

    Raises ValueError if components are so far apart that the density between them is too small for float64.
    """
    with np.errstate(over="ignore"):
        reach = (line.means[-1] - line.means[0]) / line.deviations.min()
    if not reach < MAX_DEVIATIONS:
        raise ValueError(
            f"The outermost means, {line.means[0]:.3g} and {line.means[-1]:.3g}, are {reach:.3g} standard deviations "
            "apart, so the density between them is too small for float64. Evaluate the components one by one."
        )
    low, high = _monotone_cells(line)
    # A derivative of 0 is treated as positive, so that no mode or minimum is found twice. Signs are computed in log
    # space, because the terms could underflow.
    rises, rises_after = (np.where(_scaled_sum(*_derivatives(line, ends)[0]) >= 0, 1.0, -1.0) for ends in (low, high))
    has_turn = rises_after != rises
    low, high, rises = low[has_turn], high[has_turn], rises[has_turn]

    def descent(x: Array, indices: NDArray[np.intp]) -> tuple[Array, Array]:
        first, second = line.slope_and_curvature(x)
        return -rises[indices] * first, -rises[indices] * second

    return _without_flat(line, increasing_roots(descent, low, high, line.deviations.min()))


def _without_flat(line: UnivariateMixture, positions: Array) -> Array:
    """Remove pairs of a mode and the adjacent minimum that are due to rounding errors, the flattest pair first."""
    while len(positions) > 1:
        heights = np.abs(np.diff(line.log_density(positions)))
        flattest = int(heights.argmin())
        if heights[flattest] > _LEVEL_ROUNDING:
            break
        positions = np.delete(positions, [flattest, flattest + 1])
    return positions


def _monotone_cells(line: UnivariateMixture) -> tuple[Array, Array]:
    """Return intervals that contain all extrema (modes and minima), at most one in each interval.

    Between two neighbouring edges, the first and second derivatives of each component's density are monotone. Therefore
    the derivatives of the mixture density are bounded by sums of the components' derivatives at both ends. An interval
    is halved until the bounds show that the first or the second derivative of the density does not change its sign. If
    the sign of the first derivative does not change, the interval contains no extremum and is left out.
    """
    steps = _EDGES * line.deviations[:, None]
    margin = line.deviations.min()
    lowest = min(line.means[0] - margin, np.nextafter(line.means[0], -np.inf))  # the density still rises here
    highest = max(line.means[-1] + margin, np.nextafter(line.means[-1], np.inf))
    edges = np.concatenate([line.means[:, None] - steps, line.means[:, None] + steps]).ravel()
    edges = np.unique(np.concatenate([edges[(edges > lowest) & (edges < highest)], [lowest, highest]]))
    cells = np.stack([edges[:-1], edges[1:]])
    open_cells = []
    while cells.size:
        has_one_sign, is_monotone = (_has_one_sign(*terms) for terms in _derivatives(line, cells.ravel()))
        middle = cells[0] + 0.5 * (cells[1] - cells[0])
        is_narrow = (cells[1] - cells[0] <= _MIN_RELATIVE_WIDTH * margin) | (middle <= cells[0]) | (middle >= cells[1])
        open_cells.append(cells[:, ~has_one_sign & (is_monotone | is_narrow)])
        halved = ~(has_one_sign | is_monotone | is_narrow)
        cells = np.stack([np.append(cells[0, halved], middle[halved]), np.append(middle[halved], cells[1, halved])])
    low, high = np.concatenate(open_cells, axis=1)
    order = np.argsort(low)
    return low[order], high[order]


def _derivatives(line: UnivariateMixture, x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the components' terms of the density's first and second derivative, as signs and logarithms (K, n)."""
    whitened = np.clip(line.whiten(x), -MAX_DEVIATIONS, MAX_DEVIATIONS)
    log_deviations = np.log(line.deviations / line.deviations.min())[:, None]
    log_parts = line.log_scale - 0.5 * whitened**2
    bend = (whitened - 1) * (whitened + 1)
    with np.errstate(divide="ignore"):
        first = np.log(np.abs(whitened)) - log_deviations + log_parts
        second = np.log(np.abs(bend)) - 2 * log_deviations + log_parts
    return (-np.sign(whitened), first), (np.sign(bend), second)


def _has_one_sign(signs: Array, logs: Array) -> NDArray[np.bool_]:
    """Return whether sums of sign · exp(log) certainly keep their sign between the ends of each interval, (n,).

    `signs` and `logs`, (n_terms, 2 n), contain the terms at the lower ends and then at the upper ends of all intervals.
    Because each term is monotone within each interval, the sums of its smaller and of its larger values are bounds. The
    sums are computed in log space, because even a term that falls below the range of float64 within a long interval may
    determine the sign.
    """
    (sign, other_sign), (log, other_log) = (np.split(terms, 2, axis=1) for terms in (signs, logs))
    with np.errstate(invalid="ignore"):  # 0 · −inf is NaN, which occurs if both terms are 0
        other_is_less = np.where(sign == other_sign, sign * log > sign * other_log, sign > other_sign)
    least = _scaled_sum(np.where(other_is_less, other_sign, sign), np.where(other_is_less, other_log, log))
    largest = _scaled_sum(np.where(other_is_less, sign, other_sign), np.where(other_is_less, log, other_log))
    return np.asarray((least > 0) | (largest < 0))


def _scaled_sum(signs: Array, logs: Array) -> Array:
    """Return Σ_k sign_k exp(log_k) / max_k exp(log_k) at each position, (n,)."""
    largest = logs.max(axis=0)
    return np.asarray((signs * np.exp(logs - np.where(largest > -np.inf, largest, 0.0))).sum(axis=0))
