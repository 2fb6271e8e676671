"""Quantiles: the inverse of the distribution function of one feature."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.mixture.line.inverse_cdf import inverse_cdf
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces


class Quantiles(Values):
    """Where a mass lies below."""

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
        if self.n_features > 1:
            raise ValueError(
                f"quantile is of one feature, and here are {self.n_features}: take marginal(feature) first."
            )
        wanted = probabilities(p)
        flat, x = wanted.ravel(), np.empty(wanted.size)
        for part in pieces((len(x), self.n_components)):
            x[part] = inverse_cdf(self._line, flat[part])
        return x.reshape(wanted.shape)[()]


def probabilities(p: ArrayLike) -> Array:
    """Probabilities as an array of their shape; raises TypeError or ValueError where they are none."""
    array = np.asarray(p)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"p must be real numbers, not {array.dtype}.")
    array = array.astype(np.float64)
    wrong = ~((array >= 0) & (array <= 1))
    if wrong.any():
        raise ValueError(f"p holds {array[wrong][0]}: give probabilities, from 0 to 1.")
    return array
