"""Methods of `Mixture` that return probabilities of regions, quantiles, and density levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import mixture
from gaussmix._src.checks import Rng, check_count, check_fraction, check_probabilities, generator
from gaussmix._src.mixture.base import MixtureBase, of_components
from gaussmix._src.mixture.compare.estimate import Estimate
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property

if TYPE_CHECKING:
    from gaussmix._src.mixture.levels import Levels, LevelSample

N_POINTS = 2**13
N_LEVEL_POINTS = 2**16


class Masses(MixtureBase):
    """A mixture with methods for quantiles, density levels, and probabilities of boxes and highest-density regions.

    Probabilities of boxes are exact for one or two features, and if the features are independent within every
    component. Density levels are exact if the mixture has one feature or one component. In all other cases
    probabilities and levels are estimated by quasi-Monte Carlo.
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
        """Return, for each row x, the probability that a draw X from the mixture has X ≤ x in every feature.

        Parameters
        ----------
        rows : points x, (n_rows, n_features), in data units; ±inf is allowed.
        n_points : number of quasi-Monte Carlo points per row and component. Points are used only if three or more
            features are correlated.
        rng : generator or seed for scrambling the points; with None every call uses the same points.
        return_error : whether to return an `Estimate`, which includes the standard error.

        Returns
        -------
        mass : probabilities, (n_rows,). If `return_error` is True, the result is an `Estimate`, whose error is 0 if the
            probability is exact.

        Raises
        ------
        ValueError : `rows` contains NaN or does not have shape (n_rows, n_features), or `n_points` is below 1.
        TypeError : `rows` does not contain real numbers, or `n_points` is not an integer.

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
        """Return the logarithm of `cdf`, (n_rows,), in nats, which is accurate even if `cdf` is rounded to 0 or 1.

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
        """Return the probability that lower < X ≤ upper in every feature, for one or several boxes.

        Parameters
        ----------
        lower, upper : limits of the boxes, (n_rows, n_features), or of one box, (n_features,), or one number for all
            features; in data units. Use ±inf if a feature has no limit.
        n_points, rng, return_error : the same parameters as in `cdf`.

        Returns
        -------
        mass : probabilities of the boxes, (n_rows,), or a number for one box; an `Estimate` if `return_error` is True.

        Raises
        ------
        ValueError : the limits contain NaN or have a shape not listed above, or a lower limit is above the upper limit.
        TypeError : the limits are not real numbers.

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
        """Return the logarithm of `probability`, in nats, which is accurate even if `probability` is rounded to 0."""
        low, high, shape = mixture.rectangles.check_rectangles(lower, upper, self.n_features, self.feature_names)
        return self._log_masses(low, high, n_points, rng)[0].reshape(shape)[()]

    @of_components
    def quantile(self, p: ArrayLike) -> Array:
        """Return quantiles of a mixture with one feature: the points at which the distribution function is p.

        Parameters
        ----------
        p : probabilities, in an array of any shape.

        Returns
        -------
        x : quantiles, in the shape of p, in data units. The quantile of 0 is −inf, and the quantile of 1 is inf.

        Raises
        ------
        ValueError : the mixture has several features, or a probability is not between 0 and 1.
        TypeError : `p` does not contain real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.quantile([0.0, 0.1, 0.5, 1e-300]).round(4)
        array([    -inf,  -0.8416,   5.    , -37.0284])
        """
        if self._line is None:
            raise ValueError(
                f"quantile needs one feature, but this mixture has {self.n_features}. Take a marginal first."
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
        """Return the p-value of each row: the probability that a row drawn from the mixture has a lower density.

        Parameters
        ----------
        rows : rows to evaluate, (n_rows, n_features), in data units.
        n_points : number of quasi-Monte Carlo points. Points are used only if there are several features and several
            components.
        rng : generator or seed for scrambling the points; with None every call uses the same points.
        return_error : whether to return an `Estimate`, which includes the standard error.

        Returns
        -------
        tail : p-values, (n_rows,), from 0 (far from all components) to 1 (at the highest mode). For rows drawn from the
            mixture, p-values are uniformly distributed. If `return_error` is True, the result is an `Estimate`, whose
            error is 0 if the values are exact.

        Raises
        ------
        ValueError : `rows` contains NaN or infinity or has a shape not listed above, or `n_points` is below 1.
        TypeError : `rows` does not contain real numbers, or `n_points` is not an integer.

        Notes
        -----
        Some of the quasi-Monte Carlo points lie far from all means and have small weights, so that even a p-value of
        1e-15 has a standard error of only a few percent for up to 10 components, and of about 10 percent for 50
        components. A p-value that the points cannot distinguish from 0 is replaced by the upper bound
        Σ_k π_k P(π_k N_k < level), with an error that is equal to this bound. For p-values below 1e-308 use
        `log_density_p_value`.

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
        """Return the logarithm of `density_p_value`, (n_rows,), in nats, which is accurate even for very distant rows.

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
        """Return the log density at the edge of the smallest region that has the probability p.

        Parameters
        ----------
        p : probabilities, in an array of any shape.
        n_points, rng, return_error : the same parameters as in `density_p_value`.

        Returns
        -------
        level : log densities, in the shape of p, in nats, which may be compared with the results of `log_density`. The
            level is −inf for p = 1, and the log density of the highest mode for p = 0. If `return_error` is True, the
            result is an `Estimate`.

        Raises
        ------
        ValueError : a probability is not between 0 and 1, or `n_points` is below 1.

        Notes
        -----
        The definition is eq. 1 of Hyndman (1996), "Computing and graphing highest density regions".

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
        >>> m.highest_density_level(0.95).round(4), m.log_density([[1.96]]).round(4)
        (np.float64(-2.8397), array([-2.8397]))
        """
        with np.errstate(divide="ignore"):
            log_masses = np.log1p(-check_probabilities("p", p))
        level, error = self._find_levels(log_masses, n_points, rng)
        return Estimate(level, error) if return_error else level

    @of_components
    def in_highest_density_region(
        self, rows: ArrayLike, p: float, *, n_points: int = N_LEVEL_POINTS, rng: Rng = None
    ) -> NDArray[np.bool_]:
        """Return whether each row lies in the smallest region that has the probability p, (n_rows,).

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.in_highest_density_region([[0.0], [1.9], [5.0]], 0.95)
        array([ True,  True, False])
        """
        level = self.highest_density_level(check_fraction("p", p), n_points=n_points, rng=rng)
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
        """Return the log probability, in nats, that the log density of a draw is below `log_level`."""
        log_mass, _ = mixture.levels.log_tails(self._levels(N_LEVEL_POINTS, None), np.array([log_level]))
        return min(float(log_mass[0]), 0.0)

    def _level_quantile(self, log_mass: float) -> float:
        """Return the level below which the log density of a draw lies with the probability exp(`log_mass`)."""
        return float(self._find_levels(np.array(log_mass))[0])

    def _find_levels(self, log_masses: Array, n_points: int = N_LEVEL_POINTS, rng: Rng = None) -> tuple[Array, Array]:
        arguments = self._levels(n_points, rng), log_masses, self._model, self._line, self._engine()
        return mixture.levels.level_quantiles(*arguments)

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
        """Return an object that computes exact levels for one feature or one component; otherwise None."""
        if self._line is not None:
            return mixture.level_sets.LevelSets(self._line)
        if np.count_nonzero(self.weights) == 1:
            return mixture.levels.LevelEllipsoid(float(self.parameters.log_scale.max()), self.n_features)
        return None

    @cached_property
    def _marginal_cache(self) -> dict[bytes, Self]:
        """Return a cache of the marginals that `Marginals` used last, by the bytes of the feature indices."""
        return {}

    @cached_property
    def _level_cache(self) -> dict[tuple[bytes, float], float]:
        """Return a cache of density levels of marginals, by feature indices and log mass."""
        return {}

    @cached_property
    def _usual_levels(self) -> LevelSample:
        return mixture.levels.LevelSample.draw(self._model, N_LEVEL_POINTS, np.random.default_rng(0), self._engine())


def _linear(log_mass: Array, error: Array, return_error: bool) -> Array | Estimate[Array]:
    """Return exp(`log_mass`), as an `Estimate` with the standard error if `return_error` is True."""
    mass = np.exp(log_mass)[()]
    return Estimate(mass, (mass * error)[()]) if return_error else mass
