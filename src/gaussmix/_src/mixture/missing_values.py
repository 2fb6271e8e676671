"""Density p-values of rows with missing values, and imputation of missing values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gaussmix._src.engines import count_threads
from gaussmix._src.engines.incomplete import IncompleteEngine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.levels import LevelSample, StandardPoints
from gaussmix._src.mixture.masses.masses import N_LEVEL_POINTS
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array, Indices, Rows, narrowed
from gaussmix._src.numerics.rows import patterns

# Largest value of n_rows · n_features², for the rows with the same missing features, at which the core fills the rows.
_MAX_RARE_SIZE = 10_000
_MAX_CACHED = 16  # number of marginals in the cache of a mixture; a marginal with its 65,536 points has 2 to 3 MB


@dataclass(frozen=True, eq=False)
class Marginals:
    """The marginals of a mixture for the observed features of rows.

    Successive marginals with the same number of features share the random points for density levels, because drawing
    these points takes most of the time. The mixture caches the most recently used marginals. Results are the same as
    results of `mixture.marginal(seen)`.
    """

    mixture: Mixture
    _points: dict[int, StandardPoints] = field(default_factory=dict, init=False)  # for the last number of features

    def of_features(self, seen: Indices) -> Mixture:
        """Return the marginal mixture of the features `seen`, or the mixture itself if `seen` contains all features."""
        if seen.size == self.mixture.n_features:
            return self.mixture
        cache, key = self.mixture._marginal_cache, seen.tobytes()
        if (marginal := cache.pop(key, None)) is None:
            marginal = self.mixture.marginal(seen)
            if marginal._exact_levels is None:
                vars(marginal)["_usual_levels"] = self._levels(marginal)
            for oldest in list(cache)[: 1 - _MAX_CACHED]:  # a list, because another thread may change the cache
                cache.pop(oldest, None)
        cache[key] = marginal  # the last key of the cache is the most recently used one
        return marginal

    def _levels(self, marginal: Mixture) -> LevelSample:
        if (points := self._points.get(marginal.n_features)) is None:
            rng = np.random.default_rng(0)
            points = StandardPoints.draw(marginal.weights, marginal.n_features, N_LEVEL_POINTS, rng)
            self._points.clear()
            self._points[marginal.n_features] = points
        return LevelSample.from_points(points, marginal._model, marginal._engine())


def density_p_value(rows: Rows, mixture: Mixture) -> Array:
    """Return the density p-value of each row, (n_rows,), under the marginal mixture of the observed features."""
    result, marginals = np.ones(len(rows)), Marginals(mixture)
    for indices, seen in sorted(patterns(np.isnan(rows)), key=lambda pattern: pattern[1].size):
        if seen.size:
            result[indices] = marginals.of_features(seen).density_p_value(rows[np.ix_(indices, seen)])
    return result


@dataclass(frozen=True)
class Filling:
    """A task that fills missing values with random draws if `seed` is given, otherwise with conditional means.

    The result has the shape (n_rows, *copies, n_features). All copies of a row are drawn together, because computing
    the conditional distributions takes most of the time.
    """

    mixture: Mixture
    n_jobs: int | None
    seed: int | None
    copies: tuple[int, ...] = ()

    def __call__(self, block: Block) -> Rows:
        rows, rng = block.rows, None if self.seed is None else np.random.default_rng([self.seed, block.first_row])
        filled = np.repeat(rows.astype(np.float64, copy=False), math.prod(self.copies), axis=0)
        if rng is None and self.mixture.noise is None:  # with noise, `_values` raises an error
            self._fill_rare(filled)
        for indices, known in patterns(np.isnan(filled)):
            unknown = np.delete(np.arange(rows.shape[1]), known)
            if unknown.size:
                filled[np.ix_(indices, unknown)] = self._values(filled[np.ix_(indices, known)], known, rng)
        return narrowed(filled.reshape(len(rows), *self.copies, rows.shape[1]), rows.dtype)

    def _fill_rare(self, filled: Array) -> None:
        """Fill, in place, the rows whose set of missing features occurs in few rows.

        The core computes the conditional means of each row alone. For many rows with the same missing features, or many
        features, a regression on the observed features is faster. Rows far from every mean are left to the regression,
        because it is more accurate for them.
        """
        n_values = filled.shape[1] ** 2
        each = [indices for indices, _ in patterns(np.isnan(filled)) if indices.size * n_values <= _MAX_RARE_SIZE]
        rare = np.concatenate([np.empty(0, np.intp), *each])
        engine, parameters = IncompleteEngine(count_threads(self.n_jobs)), self.mixture.parameters
        rare = rare[engine.log_density(Block(0, filled[rare]), parameters) > parameters.distant_limit]
        filled[rare] = engine.filled_rows(filled[rare], parameters)

    def _values(self, values: Array, known: Indices, rng: np.random.Generator | None) -> Array:
        """Return values (n_rows, n_unknown) to fill in, given the observed `values` (n_rows, n_known) of each row."""
        mixture, n_jobs, n = self.mixture, self.n_jobs, len(values)
        if not known.size:
            return np.tile(mixture.mean, (n, 1)) if rng is None else mixture.sample(n, rng, n_jobs=n_jobs)[0]
        if rng is None:
            return mixture.conditional_mean(values, known, n_jobs=n_jobs)
        return mixture.sample_conditional(values, known, rng, n_jobs=n_jobs)
