"""Estimate the difference between the log-likelihood and the free energy of truncated EM, from some of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.objective.trace import PosteriorGap
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.survey import are_drawn, hashes

N_SAMPLED_ROWS = 4096
# Number of rows whose gaps are always computed: the rows that are most distant from their best candidate. If the search
# for candidates has missed all near components of a row, its gap is so large that a few such rows determine the mean.
N_DISTANT_ROWS = 1024
# A gap below this multiple of the log density counts as 0, because it may be a rounding error.
GAP_ROUNDING = 1e-13
MAX_PART_VALUES = 2**20  # approximate maximum number of values in memory at a time (8 MB)


@dataclass(frozen=True, eq=False)
class GapTask:
    """Task that sums weights and gaps of the most distant rows, and weights, gaps and squared gaps of sampled rows.

    The gap of a row is log p(x) minus the log density under the candidate components only.

    Parameters
    ----------
    engine, parameters : engine and parameters of the fit.
    drawn_weight : weight that a sampled row represents, unless its own weight is larger.
    distant_fraction : fraction of the rows of each leaf that count as distant.
    """

    engine: Any  # a `TruncatedEngine`, which modules of `em` cannot import
    parameters: Parameters
    drawn_weight: float
    distant_fraction: float

    @property
    def key(self) -> tuple[Any, int]:
        return self.engine, len(self.parameters.means)

    def open(self, block: Block) -> BlockState:
        return self.engine.make_state(block, len(self.parameters.means))

    def call(self, block: Block, state: Any) -> Sums:
        stored = state.candidates
        return block.sum_of(
            lambda leaf: self._sum_leaf(leaf, None if stored is None else stored[leaf.first_row - block.first_row :])
        )

    def _sum_leaf(self, block: Block, candidates: NDArray[np.int32] | None) -> Sums:
        """Return the sums over the distant rows of a leaf, and then the sums over its sampled rows."""
        drawn = np.flatnonzero(are_drawn(hashes(block), block.row_weight, self.drawn_weight))
        distant = np.empty(0, np.intp) if candidates is None else self._find_distant(block, candidates[: block.n_rows])
        drawn = np.setdiff1d(drawn, distant, assume_unique=True)
        weight = np.maximum(block.weight[drawn] / self.drawn_weight, 1.0)
        gaps, distant_gaps = (self._gaps(block.take(indices, 0), candidates, indices) for indices in (drawn, distant))
        distant_sums = float(block.weight[distant].sum()), float(block.weight[distant] @ distant_gaps)
        return Sums([*distant_sums, float(weight.sum()), float(weight @ gaps), float(weight @ gaps**2)])

    def _find_distant(self, block: Block, candidates: NDArray[np.int32]) -> Indices:
        """Return the rows with the largest distances from their best candidates, relative to conditional deviations."""
        means, precisions = self.parameters.means, self.parameters.whitening.precision_diagonals()
        precisions, best = np.broadcast_to(precisions, means.shape), candidates[:, 0]
        distances = np.zeros(block.n_rows)
        for j in range(means.shape[1]):  # with few features, faster than a sum over an axis
            distances += (block.rows[:, j] - means[best, j]) ** 2 * precisions[best, j]
        n_distant = ceil(self.distant_fraction * block.n_rows)
        least = np.partition(distances, -n_distant)[-n_distant]
        farther = np.flatnonzero(distances > least)
        # The first of several equally distant rows are chosen, because `partition` leaves them in an arbitrary order.
        return np.concatenate((farther, np.flatnonzero(distances == least)[: n_distant - len(farther)]))

    def _gaps(self, rows: Block, candidates: NDArray[np.int32] | None, indices: Indices) -> Array:
        """Return the gaps of rows, whose candidates are at `indices`, (n_rows,)."""
        # Candidates are missing if no step was run with these components, or if the process that stored them was lost.
        own = self.engine.find_candidates(rows, self.parameters) if candidates is None else candidates[indices]
        total = self._log_density(rows)
        gaps = total - self._log_density_of_candidates(rows, own)
        return np.where(gaps > GAP_ROUNDING * np.abs(total), gaps, 0.0)

    def _log_density(self, rows: Block) -> Array:
        """Return log Σ_k p(x, k) of each row, in nats, (n_rows,)."""
        engine: Engine[Any] = self.engine.complete_engine
        if rows.log_prior is None:
            return engine.log_density(rows, self.parameters)
        parts = _split(rows.n_rows, len(self.parameters.means))  # the engine stores all p(x, k) of labelled rows
        return np.concatenate([engine.log_density(rows.take(part, 0), self.parameters) for part in parts])

    def _log_density_of_candidates(self, rows: Block, candidates: NDArray[np.int32]) -> Array:
        """Return log Σ_{k ∈ candidates} p(x, k) of each row, plus the noise component if any, in nats, (n_rows,)."""
        parameters, (K, d) = self.parameters, self.parameters.means.shape
        components = candidates.ravel().astype(np.intp)
        row_indices = np.repeat(np.arange(rows.n_rows), candidates.shape[1])
        log_terms = parameters.log_scale[components]
        for part in _split(len(row_indices), d**2):
            offsets = np.asarray(rows.rows[row_indices[part]], dtype=np.float64) - parameters.means[components[part]]
            whitened = parameters.whitening.take(components[part]).whiten_each(offsets)
            log_terms[part] -= 0.5 * (whitened**2).sum(axis=1)
        # An index of −1 fills the place of a missing candidate.
        log_terms = np.where(components < 0, -np.inf, log_terms).reshape(candidates.shape)
        if parameters.log_noise_density > -np.inf:
            log_terms = np.column_stack((log_terms, np.full(rows.n_rows, parameters.log_noise_density)))
            candidates = np.column_stack((candidates, np.full(rows.n_rows, K)))
        if rows.log_prior is not None:
            index = np.arange(rows.n_rows) if rows.prior_indices is None else np.asarray(rows.prior_indices)
            index, n_columns = index[:, None], rows.log_prior.shape[1]
            log_prior = rows.log_prior[index, np.clip(candidates, 0, n_columns - 1)]
            log_terms += np.where((index < 0) | (candidates >= n_columns), 0.0, log_prior)
        return log_sum(log_terms)


def _split(count: int, n_values: int) -> list[NDArray[np.intp]]:
    """Divide `count` indices into parts of at most about `MAX_PART_VALUES` values, with `n_values` values per index."""
    return np.array_split(np.arange(count), 1 + count * n_values // MAX_PART_VALUES)


def estimate_gap(source: Source, engine: Any, parameters: Parameters) -> PosteriorGap:
    """Estimate the difference between the log-likelihood and the free energy, with a standard error."""
    total_weight = source.row_totals.total_weight
    drawn_weight = max(1.0, source.n_rows / N_SAMPLED_ROWS) * total_weight / source.n_rows
    distant_fraction = min(1.0, N_DISTANT_ROWS / source.n_rows)
    sums = source.map_merge(GapTask(engine, parameters, drawn_weight, distant_fraction))
    distant_weight, distant_gap, count, first, second = sums
    mean = first / count if count else 0.0
    variance, rest = max(second / count - mean**2, 0.0) if count else 0.0, 1 - distant_weight / total_weight
    gap, error = distant_gap / total_weight + rest * mean, rest * (variance / max(count, 1.0)) ** 0.5
    return PosteriorGap(min(engine.n_candidates, len(parameters.means)), engine.n_drawn, gap, error)
