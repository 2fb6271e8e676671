"""Mean, covariance and higher moments of a mixture as a whole."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_count
from gaussmix.mixture.parts.spread import mean_and_spread
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array, frozen

MOST_NUMBERS = 2**27  # of an array of moments: 1 GB

_quiet = np.errstate(over="ignore", invalid="ignore")  # `_in_range` says so instead


class Expectations(Values):
    """Moments."""

    @cached_property
    def mean(self) -> Array:
        """E[x] = Σ_k π_k μ_k, (n_features,), data units.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.75, 0.25], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.mean, m.covariance
        (array([1.]), array([[4.]]))
        """
        return frozen(self._mean_and_spread[0])

    @cached_property
    @_quiet
    def covariance(self) -> Array:
        """Cov[x] = Σ_k π_k (Σ_k + (μ_k − E[x])(μ_k − E[x])ᵀ), (n_features, n_features), data units²."""
        dense = self.model.covariances.dense()
        return frozen(_in_range(np.tensordot(self._shares, dense, axes=1) + self._mean_and_spread[1]))

    @_quiet
    def moments(self, order: int, about: ArrayLike | None = None) -> Array:
        """Joint moments E[Π_j (x_ij − a_ij)] of all features with each other, central ones by default.

        Parameters
        ----------
        order : of the moments, 0 or more; 2 is the covariance, 3 the skewness before standardisation …
        about : a, (n_features,), data units; the mean by default. Zeros give raw moments, which have fewer digits
            where the mean is many standard deviations from 0.

        Returns
        -------
        moments : `order` axes of n_features each, (n_features, …, n_features), symmetric in all; data units^order.

        Raises
        ------
        ValueError : order is negative, the array would have more than 2²⁷ numbers, a moment is beyond the range of
            float64, or `about` is not n_features finite numbers.
        TypeError : order is not an integer.

        Notes
        -----
        Isserlis (1918), Biometrika 12, in the recursion E[y_i Y] = δ_i E[Y] + Σ_j Σ_ij E[Y without y_j] of each
        component, with δ = μ_k − a; cf. Kan (2008), Journal of Multivariate Analysis 99, proposition 1.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.75, 0.25], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.moments(3)
        array([[[6.]]])
        >>> m.moments(1, about=[0.0])
        array([1.])
        """
        order = check_count("order", order, 0)
        if order * np.log2(self.n_features) > np.log2(MOST_NUMBERS):
            raise ValueError(
                f"Moments of order {order} of {self.n_features} features are {self.n_features}^{order} numbers: take "
                "the marginal of a few features first."
            )
        centre = self.mean if about is None else self._point(about)
        total = np.zeros(order * (self.n_features,))
        dense = self.model.covariances.dense()
        for k in np.flatnonzero(self._shares):
            total += self._shares[k] * _of_component(order, self.means[k] - centre, dense[k])
        return _in_range(total)

    @cached_property
    def _shares(self) -> Array:
        """Weights that sum to 1 to the last bits, as those a user typed need not."""
        shares: Array = self.weights / self.weights.sum()
        return shares

    @cached_property
    @_quiet
    def _mean_and_spread(self) -> tuple[Array, Array]:
        """The mean (n_features,) and the covariance of the μ_k, (n_features, n_features)."""
        means, spreads = mean_and_spread(self._shares[None], lambda k: self.means[k : k + 1])
        return means[0], spreads[0]

    def _point(self, about: ArrayLike) -> Array:
        if np.shape(about) != (self.n_features,):
            raise ValueError(f"about must have shape ({self.n_features},), not {np.shape(about)}.")
        point: Array = self._block(np.asarray(about)[None], "about").rows[0].astype(np.float64)
        return point


def _in_range(moments: Array) -> Array:
    if not np.isfinite(moments).all():
        raise ValueError("These moments are beyond the range of float64: rescale the features.")
    return moments


def _of_component(order: int, offset: Array, covariance: Array) -> Array:
    """E[y ⊗ … ⊗ y] of one component, `order` times, y = x − a with mean `offset`."""
    lower, moments = np.ones(()), offset
    if order == 0:
        return lower
    for n in range(2, order + 1):
        pairs = np.multiply.outer(covariance, lower)
        higher = np.multiply.outer(offset, moments)
        for j in range(1, n):
            higher += np.moveaxis(pairs, 1, j)
        lower, moments = moments, higher
    return moments
