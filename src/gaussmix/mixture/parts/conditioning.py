"""A mixture split into known and unknown features: factored once for each component, then asked for many rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.covariances import Covariances
from gaussmix.engines import choose
from gaussmix.families.base import Family
from gaussmix.mixture.parts.few_rows import few_rows
from gaussmix.mixture.parts.spread import mean_and_spread, weighted_mean
from gaussmix.mixture.values import Values
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places, Rows
from gaussmix.numerics.blas import one_blas_thread
from gaussmix.numerics.rows import first_beyond
from gaussmix.waist.block import Block
from gaussmix.waist.parameters import FARTHEST_MEAN
from gaussmix.waist.whitening.base import Whitening
from gaussmix.waist.whitening.spherical import SphericalWhitening

_quiet = np.errstate(over="ignore", invalid="ignore")  # `_in_range` says so instead


@dataclass(frozen=True, eq=False)
class Conditional:
    """p(u | x) = Σ_k γ_k(x) N(u | m_k(x), C_k) of unknown features u where x is known; m_k(x) = ν_k + B_k (x − μ_k).

    Bishop (2006) eq. 2.81–2.82 for each component, with γ_k(x) = p(k | x).

    Parameters
    ----------
    known : the mixture of the known features alone; its means are the μ_k.
    means : ν_k, (n_components, n_unknown), data units.
    regression : B_k, (n_components, n_unknown, n_known); or (1, n_unknown, n_known), one for all.
    covariances : C_k, data units².
    family : their structure.
    """

    known: Values
    means: Array
    regression: Array
    covariances: Covariances
    family: Family

    @classmethod
    def of(cls, mixture: Values, known: Places) -> Conditional:
        """Of a mixture whose features at `known` are known, in this order; the others are unknown, in theirs.

        Raises
        ------
        ValueError : no feature is known, or all are.
        SingularCovariance : a covariance has no Cholesky factor to working precision.
        """
        means, covariances, family = mixture.means, mixture.model.covariances, mixture.family
        unknown = np.delete(np.arange(mixture.n_features), known)
        if not len(known):
            raise ValueError("No feature is known: name at least one, or take the mixture as it is.")
        if not len(unknown):
            raise ValueError("All features are known, so none is left to tell: leave at least one out.")
        part = covariances.marginal(known)
        rest, regression = covariances.conditional(known, unknown)
        marginal = Values.of(Model(mixture.weights, means[:, known], part, family.relaxed(part)))
        return cls(marginal, means[:, unknown], regression, rest, family.relaxed(rest, is_conditional=True))

    @property
    def n_unknown(self) -> int:
        return int(self.means.shape[1])

    @property
    def whitening(self) -> Whitening:
        """Factors W_k with C_k⁻¹ = W_kᵀ W_k; raises `SingularCovariance`."""
        return self.covariances.whitening

    def weights_of(self, rows: ArrayLike, n_jobs: int | None = None) -> Array:
        """γ, (n_rows, n_components), of rows (n_rows, n_known)."""
        return choose(n_jobs).responsibilities(self._block(rows), self.known.parameters)

    def means_of(self, component: int, rows: Rows) -> Array:
        """m_k(x) of each row for one component, (n_rows, n_unknown)."""
        regression = self.regression[0 if len(self.regression) == 1 else component]
        means: Array = self.means[component] + (rows - self.known.means[component]) @ regression.T
        return means

    @_quiet
    def means_at(self, row: Array) -> Array:
        """m_k(x) of each component for one row (n_known,), (n_components, n_unknown)."""
        means: Array = self.means + np.matmul(self.regression, (row - self.known.means)[:, :, None])[:, :, 0]
        return means

    @_quiet
    def each_mean(self, rows: Array) -> Array:
        """m_k(x) of each row and component, (n_rows, n_components, n_unknown)."""
        means = np.empty((len(rows), *self.means.shape))
        for component in range(means.shape[1]):
            means[:, component] = self.means_of(component, rows)
        return _in_range(means)

    @_quiet
    def mean(self, rows: ArrayLike, n_jobs: int | None = None) -> Array:
        """E[u | x] = Σ_k γ_k m_k(x) of each row, (n_rows, n_unknown)."""
        block = self._block(rows)
        means = np.empty((block.n_rows, self.n_unknown))
        for part, values, shared in self._pieces(block, n_jobs):
            means[part] = self._mean(values, shared)
        return _in_range(means)

    @_quiet
    def covariance(self, rows: ArrayLike, n_jobs: int | None = None) -> Array:
        """Cov[u | x] of each row, (n_rows, n_unknown, n_unknown): Σ_k γ_k C_k and the spread of the m_k(x)."""
        within = self.covariances.dense()
        block = self._block(rows)
        covariances = np.empty((block.n_rows, self.n_unknown, self.n_unknown))
        for part, values, shared in self._pieces(block, n_jobs, self.n_unknown):
            between = mean_and_spread(shared, partial(self.means_of, rows=values))[1]
            covariances[part] = np.tensordot(shared, within, axes=1) + between
        return _in_range(covariances)

    @one_blas_thread()
    @_quiet
    def draw(self, rows: ArrayLike, rng: np.random.Generator, n_jobs: int | None = None) -> Array:
        """One draw of u for each row, (n_rows, n_unknown): a component by γ, then m_k(x) + W_k⁻¹ z."""
        block, key = self._block(rows), int(rng.integers(2**64, dtype=np.uint64))
        standard, origin = SphericalWhitening.of(np.ones(1), self.n_unknown), np.zeros((1, self.n_unknown))
        drawn, _ = choose(n_jobs).draw(block.n_rows, np.array([np.inf]), origin, standard, key)
        for part, values, shared in self._pieces(block, n_jobs):
            cumulative = shared.cumsum(axis=1)
            labels = (cumulative > rng.random((len(values), 1)) * cumulative[:, -1:]).argmax(axis=1)
            for k in np.unique(labels):
                mine = np.flatnonzero(labels == k)
                coloured = self.whitening.colour(int(k), drawn[part][mine])
                drawn[part][mine] = self.means_of(int(k), values[mine]) + coloured
        return _in_range(drawn)

    def _pieces(self, block: Block, n_jobs: int | None, each: int = 1) -> Iterator[tuple[slice, Rows, Array]]:
        """Rows and γ, a few rows at a time, for so many numbers of each unknown feature."""
        array = self.n_unknown * each
        product = max(array * self.known.n_components, self.n_unknown * self.known.n_features)
        return few_rows(self.known, block, n_jobs, product=product, array=array)

    def _block(self, rows: ArrayLike) -> Block:
        return self.known._block(rows, "X_known")

    @cached_property
    def _centre(self) -> Array:
        """A point among the means of the known features, (n_known,)."""
        centre: Array = self.known.weights @ self.known.means
        return centre

    @cached_property
    def _at_centre(self) -> Array | None:
        """m_k of the centre, (n_components, n_unknown); None where a sum about it would be inexact or slower."""
        n_regressions, _, n_known = self.regression.shape
        if n_known > n_regressions > 1:  # a product for each component takes fewer than one for each column
            return None
        with np.errstate(over="ignore"):
            whitened = self.known.whitening.whiten_each(self.known.means - self._centre)
            is_near = bool((whitened**2).sum(axis=1).max() <= FARTHEST_MEAN**2)
        return self.means_at(self._centre) if is_near else None

    def _mean(self, rows: Rows, shared: Array) -> Array:
        """Σ_k γ_k m_k(x) of a few rows: one product with all regressions where that is exact, else one for each."""
        if self._at_centre is None:
            return weighted_mean(shared, partial(self.means_of, rows=rows))
        offsets = (rows - self._centre).T
        summed: Array = self._at_centre.T @ shared.T  # rows on the last axis, along which NumPy is fast
        if len(self.regression) == 1:
            summed += self.regression[0] @ offsets
        else:
            for j, offset in enumerate(offsets):  # Σ_k γ_k B_k (x − centre), column by column
                summed += (self.regression[:, :, j].T @ shared.T) * offset
        return summed.T


def _in_range(values: Array) -> Array:
    """The values; raises ValueError that names the row where one is beyond the range of float64."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    cell = first_beyond(flat, float(np.finfo(np.float64).max))
    if cell is not None:
        raise ValueError(f"X_known row {cell[0]} is so far away that the answer is beyond the range of float64.")
    return values
