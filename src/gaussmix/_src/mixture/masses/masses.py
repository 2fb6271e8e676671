"""The methods of `Mixture` that answer with masses, and with the points and levels that bound a mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import mixture
from gaussmix._src.checks import Rng, check_count, check_probabilities, generator
from gaussmix._src.mixture.base import MixtureBase, of_components
from gaussmix._src.mixture.compare.estimate import Estimate
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property

if TYPE_CHECKING:
    from gaussmix._src.mixture.levels import Levels, LevelSample

N_POINTS = 2**13
N_LEVEL_POINTS = 2**16


class Masses(MixtureBase):
    """Masses of rectangles and of regions of highest density, quantiles and levels.

    Masses of rectangles are exact for one feature, for two, and where the features are independent within every
    component. Levels are exact for one feature and for one component. Quasi-Monte Carlo finds the others.
    """

    @overload
    def cdf(
        self, rows: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[False] = ...
    ) -> Array: ...
    @overload
    def cdf(
        self, rows: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[True]
    ) -> Estimate[Array]: ...
    def cdf(
        self, rows: ArrayLike, *, n_points: int = N_POINTS, rng: Rng = None, return_error: bool = False
    ) -> Array | Estimate[Array]:
        """P(X ≤ x) of each row, in every feature at once.

        Parameters
        ----------
        rows : (n_rows, n_features), data units; ±inf is a limit like any other.
        n_points : of quasi-Monte Carlo for each row and component, where three or more features are correlated.
        rng : what scrambles them, or a seed; None for the same points at every call.
        return_error : give the standard error too.

        Returns
        -------
        mass : (n_rows,), from 0 to 1. With `return_error` an `Estimate` of it; the error is 0 where it is exact.

        Raises
        ------
        ValueError : rows hold NaN or are not of shape (n_rows, n_features); n_points is below 1.
        TypeError : rows are not real numbers, or n_points is not an integer.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.cdf([[0.0], [5.0], [10.0]]).round(4)
        array([0.25, 0.5 , 0.75])
        """
        upper = mixture.rectangles.check_upper(rows, self.n_features, self.feature_names)
        return _linear(*self._log_masses(np.full_like(upper, -np.inf), upper, n_points, rng), return_error)

    def log_cdf(self, rows: ArrayLike, *, n_points: int = N_POINTS, rng: Rng = None) -> Array:
        """Log of `cdf`, (n_rows,), nats: right where `cdf` is 0 or 1 to float64.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.log_cdf([[-40.0]]).round(3)
        array([-805.302])
        """
        upper = mixture.rectangles.check_upper(rows, self.n_features, self.feature_names)
        if self._line is not None and self.noise is None:
            return self._line.log_cdf(upper[:, 0])
        return self._log_masses(np.full_like(upper, -np.inf), upper, n_points, rng)[0]

    @overload
    def probability(
        self,
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        n_points: int = ...,
        rng: Rng = ...,
        return_error: Literal[False] = ...,
    ) -> Array: ...
    @overload
    def probability(
        self, lower: ArrayLike, upper: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[True]
    ) -> Estimate[Array]: ...
    def probability(
        self,
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        n_points: int = N_POINTS,
        rng: Rng = None,
        return_error: bool = False,
    ) -> Array | Estimate[Array]:
        """P(lower < X ≤ upper), in every feature at once.

        Parameters
        ----------
        lower, upper : (n_rows, n_features), or (n_features,) for one rectangle, or numbers for all features; data
            units, ±inf where there is no limit.
        n_points, rng, return_error : as in `cdf`.

        Returns
        -------
        mass : (n_rows,), or a number for one rectangle. With `return_error` an `Estimate` of it.

        Raises
        ------
        ValueError : limits hold NaN, are of no such shape, or a lower one is above its upper one.
        TypeError : limits are not real numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]], FAMILIES["full"])
        >>> m.probability([0.0, 0.0], np.inf).round(4)  # 1/4 + asin(1/2) / 2π
        np.float64(0.3333)
        """
        low, high, shape = mixture.rectangles.check_rectangles(lower, upper, self.n_features, self.feature_names)
        log_mass, error = self._log_masses(low, high, n_points, rng)
        return _linear(log_mass.reshape(shape), error.reshape(shape), return_error)

    def log_probability(
        self, lower: ArrayLike, upper: ArrayLike, *, n_points: int = N_POINTS, rng: Rng = None
    ) -> Array:
        """Log of `probability`, (n_rows,) or a number, nats: right far out, and for rectangles however small."""
        low, high, shape = mixture.rectangles.check_rectangles(lower, upper, self.n_features, self.feature_names)
        return self._log_masses(low, high, n_points, rng)[0].reshape(shape)[()]

    @of_components
    def quantile(self, p: ArrayLike) -> Array:
        """Where the distribution function of a mixture of one feature is p.

        Parameters
        ----------
        p : (n_p,) or any other shape, probabilities.

        Returns
        -------
        x : (n_p,) or the shape of p, data units; −inf for 0 and inf for 1.

        Raises
        ------
        ValueError : there are several features, or a probability is not between 0 and 1.
        TypeError : probabilities are not real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.quantile([0.0, 0.1, 0.5, 1e-300]).round(4)
        array([    -inf,  -0.8416,   5.    , -37.0284])
        """
        if self._line is None:
            raise ValueError(
                f"quantile needs one feature, and this mixture has {self.n_features}. Take a marginal first."
            )
        return self._line.quantile(p)

    @overload
    def density_p_value(
        self, rows: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[False] = ...
    ) -> Array: ...
    @overload
    def density_p_value(
        self, rows: ArrayLike, *, n_points: int = ..., rng: Rng = ..., return_error: Literal[True]
    ) -> Estimate[Array]: ...
    @of_components
    def density_p_value(
        self, rows: ArrayLike, *, n_points: int = N_LEVEL_POINTS, rng: Rng = None, return_error: bool = False
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
        TypeError : rows are not real numbers, or n_points is not an integer.

        Notes
        -----
        Some of the points lie far out and have small weights, so that a mass of 1e-15 has a relative error of some
        percent. A mass that they can't tell from 0 is given as its bound Σ_k π_k P(π_k N_k < level), with an error as
        large, and never as 0. Below 1e-308 float64 has no number for it: see `log_density_p_value`.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.density_p_value([[0.0], [2.0], [5.0]]).round(4)  # 5 lies in the middle and is an outlier
        array([1.    , 0.0455, 0.    ])
        """
        return _linear(*self._log_tails(rows, n_points, rng), return_error)

    @of_components
    def log_density_p_value(self, rows: ArrayLike, *, n_points: int = N_LEVEL_POINTS, rng: Rng = None) -> Array:
        """Log of `density_p_value`, (n_rows,), nats, however far out a row lies.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.log_density_p_value([[-60.0]]).round(3)
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
    @of_components
    def highest_density_level(
        self, p: ArrayLike, *, n_points: int = N_LEVEL_POINTS, rng: Rng = None, return_error: bool = False
    ) -> Array | Estimate[Array]:
        """Log density above which lies the mass p: the edge of the smallest region that holds p.

        Parameters
        ----------
        p : (n_p,) or any other shape, probabilities.
        n_points, rng, return_error : as in `density_p_value`.

        Returns
        -------
        level : (n_p,) or the shape of p, nats, on the scale of `log_density`; −inf for p = 1 and the highest of
            `modes` for p = 0. With `return_error` an `Estimate` of it.

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
        with np.errstate(divide="ignore"):
            log_masses = np.log1p(-check_probabilities("p", p))
        level, error = self._level_where(log_masses, n_points, rng)
        return Estimate(level, error) if return_error else level

    @of_components
    def in_highest_density_region(
        self, rows: ArrayLike, p: float, *, n_points: int = N_LEVEL_POINTS, rng: Rng = None
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

    def _log_masses(self, lower: Array, upper: Array, n_points: int, rng: Rng) -> tuple[Array, Array]:
        check_count("n_points", n_points, 1)
        self._check_box("a probability")
        model = self._model.without_noise
        log_mass, error = mixture.rectangles.log_masses(model, self._line, lower, upper, n_points, generator(rng, 0))
        if self.noise is None:
            return log_mass, error
        with np.errstate(divide="ignore"):
            log_mass = log_mass + np.log1p(-self.noise.weight)
        total = np.logaddexp(log_mass, self.noise.log_mass(lower, upper))
        return total, error * np.exp(log_mass - np.where(total > -np.inf, total, 0.0))

    def _log_tails(self, rows: ArrayLike, n_points: int, rng: Rng) -> tuple[Array, Array]:
        log_levels = self._log_levels(rows)
        return mixture.levels.log_tails(self._levels(n_points, rng), log_levels)

    def _log_mass_below(self, log_level: float) -> float:
        """Log of the mass where the log density is below a level, nats; `_level_above` gives the level back."""
        log_mass, _ = mixture.levels.log_tails(self._levels(N_LEVEL_POINTS, None), np.array([log_level]))
        return min(float(log_mass[0]), 0.0)

    def _level_above(self, log_mass: float) -> float:
        """The log density below which lies a mass whose log is given: it has digits where the rest rounds to 1."""
        return float(self._level_where(np.array(log_mass))[0])

    def _level_where(self, log_masses: Array, n_points: int = N_LEVEL_POINTS, rng: Rng = None) -> tuple[Array, Array]:
        arguments = self._levels(n_points, rng), log_masses, self._model, self._line, self._engine()
        return mixture.levels.level_above(*arguments)

    def _log_levels(self, rows: ArrayLike) -> Array:
        return self._engine().log_density(self._block(rows), self.parameters)

    def _levels(self, n_points: int, rng: Rng) -> Levels:
        check_count("n_points", n_points, 1)
        if self._exact_levels is not None:
            return self._exact_levels
        if rng is None and n_points == N_LEVEL_POINTS:
            return self._usual_levels
        return mixture.levels.LevelSample.draw(self._model, n_points, generator(rng, 0), self._engine())

    @cached_property
    def _exact_levels(self) -> Levels | None:
        """The levels of one feature or of one component; None where only sampling finds them."""
        if self._line is not None:
            return mixture.level_sets.LevelSets(self._line)
        if np.count_nonzero(self.weights) == 1:
            return mixture.levels.LevelEllipsoid(float(self.parameters.log_scale.max()), self.n_features)
        return None

    @cached_property
    def _usual_levels(self) -> LevelSample:
        return mixture.levels.LevelSample.draw(self._model, N_LEVEL_POINTS, np.random.default_rng(0), self._engine())


def _linear(log_mass: Array, error: Array, return_error: bool) -> Array | Estimate[Array]:
    """The mass of its logarithm; with its standard error where that is wanted."""
    mass = np.exp(log_mass)[()]
    return Estimate(mass, (mass * error)[()]) if return_error else mass
