"""Density p-values of rows with missing values, and imputation of missing values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array, Indices, Rows, narrowed
from gaussmix._src.numerics.rows import patterns


def density_p_value(rows: Rows, mixture: Mixture) -> Array:
    """Return the density p-value of each row, (n_rows,), under the marginal mixture of the observed features."""
    result = np.ones(len(rows))
    for indices, seen in patterns(np.isnan(rows)):
        if seen.size:
            of_seen = mixture if seen.size == mixture.n_features else mixture.marginal(seen)
            result[indices] = of_seen.density_p_value(rows[np.ix_(indices, seen)])
    return result


@dataclass(frozen=True)
class Filling:
    """A task that fills missing values with random draws if `seed` is given, otherwise with conditional means."""

    mixture: Mixture
    n_jobs: int | None
    seed: int | None

    def __call__(self, block: Block) -> Rows:
        rows, rng = block.rows, None if self.seed is None else np.random.default_rng([self.seed, block.first_row])
        filled = rows.astype(np.float64, order="C")
        for indices, known in patterns(np.isnan(rows)):
            unknown = np.delete(np.arange(rows.shape[1]), known)
            if unknown.size:
                filled[np.ix_(indices, unknown)] = self._values(filled[np.ix_(indices, known)], known, rng)
        return narrowed(filled, rows.dtype)

    def _values(self, values: Array, known: Indices, rng: np.random.Generator | None) -> Array:
        """Return values (n_rows, n_unknown) to fill in, given the observed `values` (n_rows, n_known) of each row."""
        mixture, n_jobs = self.mixture, self.n_jobs
        if rng is not None:
            if not known.size:
                return mixture.sample(len(values), rng, n_jobs=n_jobs)[0]
            return mixture.sample_conditional(values, known, rng, n_jobs=n_jobs)
        if not known.size:
            return np.tile(mixture.weights @ mixture.means, (len(values), 1))
        return mixture.conditional_mean(values, known, n_jobs=n_jobs)
