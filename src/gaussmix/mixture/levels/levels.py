"""Density levels as probabilities: how much mass is less likely than a row."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.checks import check_count
from gaussmix.engines import choose
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.levels.level_ellipsoid import LevelEllipsoid
from gaussmix.mixture.levels.level_sample import LevelSample
from gaussmix.mixture.line.level_sets import LevelSets
from gaussmix.mixture.line.quantiles import probabilities
from gaussmix.mixture.parts.modality import Modality
from gaussmix.mixture.randomness import Rng, generator
from gaussmix.numerics.arrays import Array

N_POINTS = 2**16


class Levels(Modality):
    """Highest density regions (Hyndman 1996) and the mass outside them.

    One feature or one component is exact. Otherwise quasi-Monte Carlo says how much mass lies below a level.
    """

    @overload
    def tail_probability(
        self, rows: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[False] = ...
    ) -> Array: ...
    @overload
    def tail_probability(
        self, rows: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[True]
    ) -> Estimate[Array]: ...
    def tail_probability(
        self,
        rows: ArrayLike,
        *,
        n_points: int = N_POINTS,
        rng: Rng = None,
        return_error: bool = False,
    ) -> Array | Estimate[Array]:
        """Mass where the density is lower than at each row: the p-value of "this row comes from the mixture".

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_points : of quasi-Monte Carlo, where there are several features and several components.
        rng : what scrambles them, or a seed; None for the same points at every call.
        return_error : give the standard error too.

        Returns
        -------
        tail : (n_rows,), from 0 (nothing is less likely) to 1 (the highest mode), uniform on draws of the mixture. With
            `return_error` an `Estimate` of it; the error is 0 where the mass is exact.

        Raises
        ------
        ValueError : rows are not finite numbers of shape (n_rows, n_features); n_points is below 1.
        TypeError : rows are not real numbers, or n_points is no integer.

        Notes
        -----
        Some of the points lie far out, with weights to match, so that a mass of 1e-15 has a relative error of some
        percent. A mass that they can't tell from 0 is given as its bound Σ_k π_k P(π_k N_k < level), with an error as
        large: never as 0. Only below 1e-308 float64 has no number for it: see `log_tail_probability`.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.tail_probability([[0.0], [2.0], [5.0]]).round(4)  # 5 lies in the middle, and is an outlier all the same
        array([1.    , 0.0455, 0.    ])
        """
        log_tail, error = self._log_tails(rows, n_points, rng)
        tail = np.exp(log_tail)
        return Estimate(tail, tail * error) if return_error else tail

    def log_tail_probability(self, rows: ArrayLike, *, n_points: int = N_POINTS, rng: Rng = None) -> Array:
        """Log of `tail_probability`, (n_rows,), nats, however far out a row lies.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.log_tail_probability([[-60.0]]).round(3)
        array([-1805.014])
        """
        return self._log_tails(rows, n_points, rng)[0]

    @overload
    def highest_density_level(
        self, p: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[False] = ...
    ) -> Array: ...
    @overload
    def highest_density_level(
        self, p: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[True]
    ) -> Estimate[Array]: ...
    def highest_density_level(
        self,
        p: ArrayLike,
        *,
        n_points: int = N_POINTS,
        rng: Rng = None,
        return_error: bool = False,
    ) -> Array | Estimate[Array]:
        """Log density above which lies the mass p: the edge of the smallest region that holds p.

        Parameters
        ----------
        p : (n_p,) or any other shape, probabilities.
        n_points, rng, return_error : as for `tail_probability`.

        Returns
        -------
        level : (n_p,) or the shape of p, nats, to be compared with `log_density`; −inf for p = 1 and the highest
            of `modes` for p = 0. With `return_error` an `Estimate` of it.

        Raises
        ------
        ValueError : a probability is not between 0 and 1; n_points is below 1.

        Notes
        -----
        Hyndman (1996), Computing and graphing highest density regions, eq. 1.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
        >>> m.highest_density_level(0.95).round(4), m.log_density([[1.96]]).round(4)
        (np.float64(-2.8397), array([-2.8397]))
        """
        wanted = probabilities(p)
        level, error = self._levels(n_points, rng).level(wanted.ravel())
        if self._exact_levels is None and (wanted == 0).any():  # points lie beside the highest mode, not on it
            top = wanted.ravel() == 0
            level[top], error[top] = np.maximum(level[top], self.modes().log_density[0]), 0.0
        level, error = level.reshape(wanted.shape)[()], error.reshape(wanted.shape)[()]
        return Estimate(level, error) if return_error else level

    def in_highest_density_region(
        self, rows: ArrayLike, p: float, *, n_points: int = N_POINTS, rng: Rng = None
    ) -> NDArray[np.bool_]:
        """Whether each row lies in the smallest region that holds the mass p, (n_rows,).

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.in_highest_density_region([[0.0], [1.9], [5.0]], 0.95)
        array([ True,  True, False])
        """
        level = self.highest_density_level(float(p), n_points=n_points, rng=rng)
        return np.asarray(self._log_levels(rows) >= level)

    def _log_tails(self, rows: ArrayLike, n_points: int, rng: Rng) -> tuple[Array, Array]:
        log_levels = self._log_levels(rows)
        log_tails, errors = np.full(len(log_levels), -np.inf), np.zeros(len(log_levels))
        known = log_levels > -np.inf  # farther out than squares of float64 reach
        log_tails[known], errors[known] = self._levels(n_points, rng).log_mass_below(log_levels[known])
        return log_tails, errors

    def _log_levels(self, rows: ArrayLike) -> Array:
        return choose(None).log_density(self._block(rows), self.parameters)

    def _levels(self, n_points: int, rng: Rng) -> LevelSets | LevelEllipsoid | LevelSample:
        check_count("n_points", n_points, 1)
        if self._exact_levels is not None:
            return self._exact_levels
        if rng is None and n_points == N_POINTS:
            return self._usual_levels
        return LevelSample.of(self.weights, self.parameters, n_points, generator(rng, 0))

    @cached_property
    def _exact_levels(self) -> LevelSets | LevelEllipsoid | None:
        if self.n_features == 1:
            return LevelSets(self._line)
        if np.count_nonzero(self.weights) == 1:
            return LevelEllipsoid(float(self.parameters.log_scale.max()), self.n_features)
        return None

    @cached_property
    def _usual_levels(self) -> LevelSample:
        return LevelSample.of(self.weights, self.parameters, N_POINTS, np.random.default_rng(0))
