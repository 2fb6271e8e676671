"""Masses of rectangles: the distribution function, and what lies between limits."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_count
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.features import check_order
from gaussmix.mixture.masses.rectangles import log_masses
from gaussmix.mixture.randomness import Rng, generator
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array

N_POINTS = 2**13


class Probabilities(Values):
    """The distribution function and probabilities of rectangles.

    They are exact where one feature, or features that are independent in every component (structures without
    correlations), reduce them to the normal distribution function; so are those of two features. Otherwise quasi-Monte
    Carlo finds them.
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
        self,
        rows: ArrayLike,
        *,
        n_points: int = N_POINTS,
        rng: Rng = None,
        return_error: bool = False,
    ) -> Array | Estimate[Array]:
        """P(X ≤ x) of each row, in every feature at once.

        Parameters
        ----------
        rows : (n_rows, n_features), data units; ±inf is a limit as any other.
        n_points : of quasi-Monte Carlo for each row and component, where three or more features are correlated.
        rng : what scrambles them, or a seed; None for the same points at every call.
        return_error : give the standard error too.

        Returns
        -------
        mass : (n_rows,), from 0 to 1. With `return_error` an `Estimate` of it; the error is 0 where it is exact.

        Raises
        ------
        ValueError : rows hold NaN or are not of shape (n_rows, n_features); n_points is below 1.
        TypeError : rows are not real numbers, or n_points is no integer.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.cdf([[0.0], [5.0], [10.0]]).round(4)
        array([0.25, 0.5 , 0.75])
        """
        upper = self._upper(rows)
        log_mass, error = self._log_masses(np.full_like(upper, -np.inf), upper, n_points, rng)
        return _linear(log_mass, error, return_error)

    def log_cdf(self, rows: ArrayLike, *, n_points: int = N_POINTS, rng: Rng = None) -> Array:
        """Log of `cdf`, (n_rows,), nats: right where `cdf` is 0 or 1 to float64.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.log_cdf([[-40.0]]).round(3)
        array([-805.302])
        """
        upper = self._upper(rows)
        if self.n_features == 1:
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
        n_points, rng, return_error : as for `cdf`.

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
        low, high, shape = self._pair(lower, upper)
        log_mass, error = self._log_masses(low, high, n_points, rng)
        return _linear(log_mass.reshape(shape), error.reshape(shape), return_error)

    def log_probability(
        self,
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        n_points: int = N_POINTS,
        rng: Rng = None,
    ) -> Array:
        """Log of `probability`, (n_rows,) or a number, nats: right far out, and for rectangles however small."""
        low, high, shape = self._pair(lower, upper)
        return self._log_masses(low, high, n_points, rng)[0].reshape(shape)[()]

    def _log_masses(self, lower: Array, upper: Array, n_points: int, rng: Rng) -> tuple[Array, Array]:
        check_count("n_points", n_points, 1)
        return log_masses(self, lower, upper, n_points, generator(rng, 0))

    def _pair(self, lower: ArrayLike, upper: ArrayLike) -> tuple[Array, Array, tuple[int, ...]]:
        """Both limits as rows (n, d), and the shape of what comes out."""
        low, high = self._limits(lower, "lower"), self._limits(upper, "upper")
        try:
            low, high, _ = np.broadcast_arrays(low, high, np.empty(self.n_features))
        except ValueError:
            low = np.empty(0)
        if low.ndim not in (1, 2) or low.shape[-1] != self.n_features:
            given = f"{np.shape(lower)} and {np.shape(upper)}"
            raise ValueError(f"lower and upper must have shape (n_rows, {self.n_features}), not {given}.")
        wrong = np.argwhere(low > high)
        if len(wrong):
            cell = tuple(wrong[0])
            raise ValueError(f"lower is {low[cell]} where upper is {high[cell]}, in column {cell[-1]}: swap them.")
        return np.atleast_2d(low), np.atleast_2d(high), low.shape[:-1]

    def _upper(self, rows: ArrayLike) -> Array:
        upper = self._limits(rows, "rows")
        if upper.ndim != 2 or upper.shape[1] != self.n_features:
            raise ValueError(f"rows must have shape (n_rows, {self.n_features}), not {upper.shape}.")
        return upper

    def _limits(self, values: ArrayLike, name: str) -> Array:
        check_order(values, self.feature_names, name)
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be real numbers, not {array.dtype}.")
        wrong = np.argwhere(np.isnan(array))
        if len(wrong):
            raise ValueError(f"{name} holds NaN at {tuple(int(place) for place in wrong[0])}: give numbers, or ±inf.")
        return array.astype(np.float64)


def _linear(log_mass: Array, error: Array, return_error: bool) -> Array | Estimate[Array]:
    mass = np.exp(log_mass)[()]
    return Estimate(mass, (mass * error)[()]) if return_error else mass
