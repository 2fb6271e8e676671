"""The probability that a draw has a density below a given level, computed exactly or by quasi-Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammainccinv, gammaincinv, gammaln, ndtri

from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.mixture.masses.scrambles import N_SCRAMBLES, log_mean, scrambled
from gaussmix._src.mixture.parts.modality import modes
from gaussmix._src.mixture.sampling import cumulative_weights
from gaussmix._src.mixture.univariate.level_sets import LevelSets
from gaussmix._src.mixture.univariate.univariate_mixture import UnivariateMixture, increasing_roots
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.numerics.threads import cached_property, one_blas_thread

_LOG_DEEP = -650.0  # log tail probability, in nats, below which `scipy.special.gammaincc` is close to underflow
MAX_PEAKS = 256  # largest number of terms in the sum that `_log_bound` computes
_DEPTH = 10.0  # nats; half of the distant points of `_radii` have a tail probability above exp(−3 · _DEPTH)
_BOUND_STEP = 16  # number of levels in a group; a bound is first computed for the lowest level of each group
_MAX_DIRECT = 1024  # for more levels at once, looking up masses that are computed for all points is faster

MASS = 0.95  # default mass of the highest-density region; rows outside this region are outliers


@dataclass(frozen=True)
class LevelEllipsoid:
    """Level sets of a mixture with one component: the density is below a given level outside an ellipsoid.

    The attribute `highest` is the log density at the mean, in nats. The difference between `highest` and the log
    density at a row is half the squared Mahalanobis distance of the row. Therefore, for rows drawn from the mixture,
    twice the difference has a χ² distribution with `n_features` degrees of freedom.
    """

    highest: float
    n_features: int

    def log_mass_below(self, log_levels: Array) -> tuple[Array, Array]:
        """Return the log probability that a draw has a log density below each level, (n,), in nats, and errors of 0."""
        return log_tail(np.maximum(self.highest - log_levels, 0.0), self.n_features), np.zeros_like(log_levels)

    def level(self, log_masses: Array) -> tuple[Array, Array]:
        """Return levels below which a draw's log density lies with probability exp(`log_masses`), and errors of 0."""
        p = -np.expm1(log_masses)
        outside = half_square(log_masses, self.n_features)
        inside: Array = gammaincinv(0.5 * self.n_features, np.minimum(p, 0.5))
        return self.highest - np.where(p > 0.5, outside, inside), np.zeros_like(p)


def log_tails(levels: Levels, log_levels: Array) -> tuple[Array, Array]:
    """Return the log probabilities and errors of `levels.log_mass_below`, but −inf and 0 for levels of −inf."""
    logs, errors = np.full(len(log_levels), -np.inf), np.zeros(len(log_levels))
    is_finite = log_levels > -np.inf  # the level of a row whose squared distance overflows is −inf
    logs[is_finite], errors[is_finite] = levels.log_mass_below(log_levels[is_finite])
    return logs, errors


def level_quantiles(
    levels: Levels, log_masses: Array, model: Model, line: UnivariateMixture | None, engine: Engine[Any]
) -> tuple[Array, Array]:
    """Return levels below which the log density of a draw lies with probability exp(`log_masses`), and errors."""
    wanted = log_masses.ravel()
    level, error = levels.level(wanted)
    # No draw has a higher log density than the highest mode, whose log density is only approached by sampled points.
    if isinstance(levels, LevelSample) and (wanted == 0).any():
        top = wanted == 0
        level[top], error[top] = np.maximum(level[top], modes(model, line, engine).log_density[0]), 0.0
    return level.reshape(log_masses.shape)[()], error.reshape(log_masses.shape)[()]


@dataclass(frozen=True, eq=False)
class LevelSample:
    """Points from several scrambled Sobol nets, with log densities and the log of the mass that each point represents.

    Parameters
    ----------
    log_levels : log densities at the points, in ascending order within each net, (N_SCRAMBLES, n_points), in nats.
    log_fractions : log of the mass that each point represents, (N_SCRAMBLES, n_points).
    log_masses : log of the cumulative mass of the points, from −inf to 0, (N_SCRAMBLES, n_points + 1). Entry i is the
        log of the total mass of the points before point i.
    log_weights, log_peaks : log π_k and log π_k N(μ_k | μ_k, Σ_k) of the components, (n_components,), in nats. If there
        are more than `MAX_PEAKS` components, components with similar peaks are joined into `MAX_PEAKS` groups, and the
        values are the total weight and the lowest peak of each group.
    n_features : the number d of features.
    """

    log_levels: Array
    log_fractions: Array
    log_masses: Array
    log_weights: Array
    log_peaks: Array
    n_features: int

    @classmethod
    def draw(cls, model: Model, n_points: int, rng: np.random.Generator, engine: Engine[Any]) -> LevelSample:
        return cls.from_points(StandardPoints.draw(model.weights, model.n_features, n_points, rng), model, engine)

    @classmethod
    def from_points(cls, points: StandardPoints, model: Model, engine: Engine[Any]) -> LevelSample:
        """Make a sample from standard points of a model with the same weights and number of features as `model`."""
        parameters, real = model.parameters, model.weights > 0
        rows = points.coloured(parameters)
        log_density = engine.log_density(Block(0, rows), parameters)[points.indices]
        order = np.argsort(log_density, axis=1)
        log_fractions = np.take_along_axis(points.log_mass, order, axis=1)
        below = np.logaddexp.accumulate(log_fractions, axis=1)
        return cls(
            np.take_along_axis(log_density, order, axis=1),
            log_fractions - below[:, -1:],
            np.concatenate([np.full((N_SCRAMBLES, 1), -np.inf), below - below[:, -1:]], axis=1),
            *_peaks(model.weights[real], parameters.log_scale[real]),
            model.n_features,
        )

    def log_mass_below(self, log_levels: Array) -> tuple[Array, Array]:
        """Return the log probability that the log density of a draw is below each level, (n,), and relative errors.

        If too few points lie below a level to estimate the mass, the result is the upper bound of `_log_bound`, with a
        relative error of 1.
        """
        indices = np.searchsorted(self._levels, log_levels)
        if len(indices) > _MAX_DIRECT:
            log_mass, error = (values[indices] for values in self._steps)
        else:  # A second level is appended, because NumPy sums a single column in a different order.
            log_mass, error = (values[:-1] for values in self._log_masses_below(self._levels[np.append(indices, -1)]))
        too_deep = error > 0.5
        log_mass[too_deep], error[too_deep] = self._log_bound(log_levels[too_deep]), 1.0
        return log_mass, error

    @cached_property
    def _levels(self) -> Array:
        """Return the sorted log densities of all points, followed by +inf, (N_SCRAMBLES · n_points + 1,)."""
        return np.append(np.sort(self.log_levels, axis=None, kind="stable"), np.inf)  # "stable" merges the sorted nets

    @cached_property
    def _steps(self) -> tuple[Array, Array]:
        """Return the log masses below `_levels`, and relative errors."""
        return self._log_masses_below(self._levels)

    def _log_masses_below(self, levels: Array) -> tuple[Array, Array]:
        """Return the log masses below some of `_levels`, and relative errors, (n,) each."""
        indices = np.array([np.searchsorted(own, levels) for own in self.log_levels])
        nearest = np.minimum(indices, self.log_levels.shape[1] - 1)
        log_fractions = np.take_along_axis(self.log_fractions, nearest, axis=1)
        log_mass, error = log_mean(np.take_along_axis(self.log_masses, indices, axis=1), log_fractions)
        # The bound rises with the level, so it can only matter where the mass exceeds the bound at a lower level.
        lower = np.minimum.reduceat(levels, np.arange(0, len(levels), _BOUND_STEP))
        near = log_mass > np.repeat(self._log_bound(lower), _BOUND_STEP)[: len(levels)]
        log_mass[near] = np.minimum(log_mass[near], self._log_bound(levels[near]))
        return log_mass, error

    def level(self, log_masses: Array) -> tuple[Array, Array]:
        """Return levels below which the log density of a draw lies with probability exp(`log_masses`), and errors."""
        level, error, part = np.full(len(log_masses), -np.inf), np.zeros(len(log_masses)), log_masses > -np.inf
        wanted, last = log_masses[part], self.log_levels.shape[1] - 1
        each = zip(self.log_levels, self.log_masses, strict=True)
        levels = np.array([own[np.minimum(np.searchsorted(masses[1:], wanted), last)] for own, masses in each])
        level[part], error[part] = levels.mean(axis=0), levels.std(axis=0, ddof=1) / np.sqrt(N_SCRAMBLES)
        return level, error

    def _log_bound(self, log_levels: Array) -> Array:
        """Return the upper bound log Σ_k π_k P(π_k N_k < level), which holds because no π_k N_k exceeds the density."""
        heights = np.maximum(self.log_peaks - log_levels[:, None], 0.0)
        log_tails = log_tail(heights.ravel(), self.n_features).reshape(heights.shape)
        return log_sum(log_tails + self.log_weights, axis=1)


def _peaks(weights: Array, log_peaks: Array) -> tuple[Array, Array]:
    """Return the log weights and log peaks of the components, or of groups if there are many components."""
    if len(weights) <= MAX_PEAKS:
        return np.log(weights), log_peaks
    groups = np.array_split(np.argsort(log_peaks), MAX_PEAKS)
    return np.log([weights[group].sum() for group in groups]), np.array([log_peaks[group[0]] for group in groups])


@dataclass(frozen=True, eq=False)
class StandardPoints:
    """Points of standardised components, from which draws of components with any means and covariances are made.

    A mixture and all its marginals of one size have the same standard points, because they have the same weights.

    Parameters
    ----------
    rows : standardised rows in the order of their components, (n, n_features).
    ends : index of the row after the last row of each component, (n_components,).
    indices : index in `rows` of each point of each net, (N_SCRAMBLES, n_points).
    log_mass : log of the mass that each point represents, (N_SCRAMBLES, n_points).
    """

    rows: Array
    ends: Indices
    indices: Indices
    log_mass: Array

    @classmethod
    def draw(cls, weights: Array, n_features: int, n_points: int, rng: np.random.Generator) -> StandardPoints:
        """Map a net of about `n_points` points in the unit cube of dimension d + 1 to standardised rows.

        The first coordinate selects the component: half of the points are distributed among the components by weight,
        and half evenly, because a wide component with a small weight may dominate the density far from all means. The
        position of the first coordinate within the interval of the component determines the radius, and the other
        coordinates determine the direction.
        """
        net = scrambled(n_features + 1, n_points, rng).reshape(-1, n_features + 1)
        proportions = 0.5 * (weights + (weights > 0) / np.count_nonzero(weights))
        ends = cumulative_weights(proportions)
        component = np.searchsorted(ends, net[:, 0], side="right")
        starts = np.concatenate([[0.0], ends])[component]
        half_squares, log_mass = _radii((net[:, 0] - starts) / proportions[component], n_features)
        rows = ndtri(net[:, 1:])
        rows *= np.sqrt(2 * half_squares / (rows**2).sum(axis=1))[:, None]
        log_mass += np.log(weights[component] / proportions[component])
        order = np.argsort(component, kind="stable")
        indices, counts = np.argsort(order), np.bincount(component, minlength=len(weights))
        shape = N_SCRAMBLES, -1
        return cls(rows[order], counts.cumsum(), indices.reshape(shape), log_mass.reshape(shape))

    @one_blas_thread()
    def coloured(self, parameters: Parameters) -> Array:
        """Return the rows with the means and covariances of their components, (n, n_features)."""
        rows = np.empty_like(self.rows)
        for k, own in enumerate(map(slice, [0, *self.ends[:-1]], self.ends)):
            np.add(parameters.whitening.colour(k, self.rows[own]), parameters.means[k], out=rows[own])
        return rows


def _radii(fraction: Array, n_features: int) -> tuple[Array, Array]:
    """Return half of the squared radius for each fraction in (0, 1), and the log mass of each point.

    Let y be half of a squared radius and t = −log P(½χ² > y). For half of the points, t has the density exp(−t), as for
    draws from the component. For the other half of the points, t has the density √D / 2 (D + t)^(−3/2), where D is
    `_DEPTH`. The second density falls slowly, so that some points lie far from the mean, where there is hardly any
    probability.
    """
    is_central = fraction < 0.5
    depth = np.where(is_central, -np.log(2 * fraction), _DEPTH * ((2 - 2 * fraction) ** -2.0 - 1))
    log_distant = np.log(0.5 * np.sqrt(_DEPTH)) - 1.5 * np.log(_DEPTH + depth)
    return half_square(-depth, n_features), np.log(2.0) - np.logaddexp(0.0, log_distant + depth)


def log_tail(half_squares: Array, n_features: int) -> Array:
    """Return log P(½χ² > y) for each y ≥ 0, (n,), in nats, where χ² has `n_features` degrees of freedom.

    Very small tail probabilities are computed with an asymptotic series of the incomplete gamma function, DLMF 8.11.2.
    """
    order = 0.5 * n_features
    with np.errstate(divide="ignore"):
        log_tails: Array = np.log(gammaincc(order, half_squares))
    deep = (log_tails < _LOG_DEEP) & (half_squares < np.inf)
    log_tails[deep] = _log_deep(half_squares[deep], order)
    return log_tails


def half_square(log_tails: Array, n_features: int) -> Array:
    """Return the inverse of `log_tail`: for each log tail t ≤ 0, the y with log P(½χ² > y) = t, (n,)."""
    order = 0.5 * n_features
    result: Array = gammainccinv(order, np.exp(np.maximum(log_tails, _LOG_DEEP)))
    result[log_tails == -np.inf] = np.inf
    deep = (log_tails < _LOG_DEEP) & (log_tails > -np.inf)
    wanted = log_tails[deep]

    def excess(y: Array, indices: NDArray[np.intp]) -> tuple[Array, Array]:
        log_tail = _log_deep(y, order)
        return wanted[indices] - log_tail, np.exp((order - 1) * np.log(y) - y - gammaln(order) - log_tail)

    # By lemma 1 of Laurent & Massart (2000), P(χ² ≥ d + 2√(d t) + 2 t) ≤ exp(−t), which gives the upper limit `high`.
    high = order - wanted + np.sqrt(-2 * order * wanted)
    result[deep] = increasing_roots(excess, result[deep], high, 1.0)
    return result


def _log_deep(y: Array, order: float) -> Array:
    """Return log P(½χ² > y) for large y by the asymptotic series, where `order` is half the degrees of freedom."""
    term, total = np.ones_like(y), np.ones_like(y)
    step = 1
    while term.size and np.abs(term).max() > np.finfo(np.float64).eps:
        term = term * (order - step) / y
        total += term
        step += 1
    return np.asarray((order - 1) * np.log(y) - y - gammaln(order) + np.log(total))


Levels = LevelSets | LevelEllipsoid | LevelSample
