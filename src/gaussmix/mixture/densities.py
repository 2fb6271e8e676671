"""Densities of rows, and the components they come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.engines import choose
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array
from gaussmix.waist.parameters import Parameters


class Densities(Values):
    """What an E-step answers."""

    def log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """log p(x) of each row.

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_jobs : threads; None for every processor.

        Returns
        -------
        log_density : (n_rows,), nats (per unit of data volume).

        Raises
        ------
        ValueError : rows are not finite numbers of shape (n_rows, n_features).
        TypeError : rows are not real numbers.
        """
        return choose(n_jobs).log_density(self._block(rows), self.parameters)

    def component_log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """log N(x | μ_k, Σ_k) of each row and component, without weights; (n_rows, n_components), nats."""
        equal = Parameters.of(np.ones(self.n_components), self.means, self.whitening)
        return choose(n_jobs).component_log_density(self._block(rows), equal)

    def responsibilities(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """p(k | x), Bishop (2006) eq. 9.13; (n_rows, n_components), rows sum to 1."""
        return choose(n_jobs).responsibilities(self._block(rows), self.parameters)

    def predict(self, rows: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.int64]:
        """The most probable component of each row, (n_rows,); the first of equals."""
        return choose(n_jobs).labels(self._block(rows), self.parameters)
