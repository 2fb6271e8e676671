"""Derivatives of the log density."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.mixture.parts.few_rows import few_rows
from gaussmix.mixture.parts.spread import mean_and_spread, weighted_mean
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array, Rows


class Derivatives(Values):
    """Gradient and Hessian."""

    def gradient(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """∇ log p(x) = Σ_k γ_k Σ_k⁻¹ (μ_k − x) of each row, with γ_k = p(k | x).

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_jobs : threads; None for every processor.

        Returns
        -------
        gradient : (n_rows, n_features), nats per data unit. In log space, right however far away a row is.

        Raises
        ------
        ValueError : rows are not finite numbers of shape (n_rows, n_features).
        TypeError : rows are not real numbers.

        Notes
        -----
        Carreira-Perpiñán (2000), IEEE Transactions on Pattern Analysis and Machine Intelligence 22, section 3.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.gradient([[2.0], [1e6]])
        array([[      0.],
               [-999996.]])
        """
        block = self._block(rows)
        gradient = np.zeros(block.rows.shape)
        for part, values, shared in few_rows(self, block, n_jobs, product=self.n_features**2, array=self.n_features):
            gradient[part] = weighted_mean(shared, partial(self._pull, rows=values))
        return gradient

    def hessian(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """Second derivatives of log p(x), Σ_k γ_k (g_k − g)(g_k − g)ᵀ − Σ_k γ_k Σ_k⁻¹, of each row.

        With g_k = Σ_k⁻¹ (μ_k − x) and the gradient g. Parameters and errors as of `gradient`.

        Returns
        -------
        hessian : (n_rows, n_features, n_features), nats per data unit², symmetric.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.hessian([[2.0], [1e6]])
        array([[[ 3.]],
        <BLANKLINE>
               [[-1.]]])
        """
        block, precisions = self._block(rows), self.model.covariances.inverse().dense()
        hessian = np.empty((block.n_rows, self.n_features, self.n_features))
        for part, values, shared in few_rows(self, block, n_jobs, product=precisions.size, array=precisions[0].size):
            spread = mean_and_spread(shared, partial(self._pull_apart, rows=values))[1]
            hessian[part] = spread - np.tensordot(shared, precisions, axes=1)
        return hessian

    def _pull(self, component: int, rows: Rows) -> Array:
        """g_k = Σ_k⁻¹ (μ_k − x) of each row, (n_rows, n_features)."""
        return self.whitening.precision_times(component, self.means[component] - rows)

    def _pull_apart(self, component: int, rows: Rows) -> Array:
        """g_k but for what all components have in common: with one covariance, all but its mean."""
        if not self.whitening.is_shared:
            return self._pull(component, rows)
        apart = self.whitening.precision_times(component, (self.means[component] - self.means[0])[None])
        return np.broadcast_to(apart, rows.shape)
