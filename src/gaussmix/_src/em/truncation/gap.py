"""Estimate, from sampled rows, the difference between the log-likelihood and the free energy of truncated EM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.objective.trace import PosteriorGap
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.survey import are_drawn, hashes

N_SAMPLED_ROWS = 4096
MAX_DENSITIES = 2**20  # maximum number of densities in memory at a time (8 MB)


@dataclass(frozen=True, eq=False)
class GapTask:
    """Task that sums, over sampled rows, log p(x) minus the log density under the candidate components only.

    Parameters
    ----------
    engine, parameters : engine and parameters of the fit.
    fair : row weight that each sampled row represents.
    """

    engine: Engine[Any]
    parameters: Parameters
    fair: float

    @property
    def key(self) -> tuple[Engine[Any], int]:
        return self.engine, len(self.parameters.means)

    def open(self, block: Block) -> BlockState:
        return self.engine.make_state(block, len(self.parameters.means))

    def call(self, block: Block, state: Any) -> Sums:
        candidates = state.candidates
        # Candidate components are missing if the process that stored them was lost.
        if candidates is None:
            return Sums([0.0, 0.0, 0.0])
        return block.sum_of(lambda leaf: self._sum_leaf(leaf, candidates[leaf.first_row - block.first_row :]))

    def _sum_leaf(self, block: Block, candidates: NDArray[np.int32]) -> Sums:
        total = Sums([0.0, 0.0, 0.0])
        drawn = np.flatnonzero(are_drawn(hashes(block), block.row_weight, self.fair))
        for some in np.array_split(drawn, 1 + len(drawn) * len(self.parameters.means) // MAX_DENSITIES):
            rows = block.take(some, 0)
            weight = np.maximum(rows.weight / self.fair, 1.0)
            gaps = self._gaps(rows, candidates[some])
            total += Sums([float(weight.sum()), float(weight @ gaps), float(weight @ gaps**2)])
        return total

    def _gaps(self, rows: Block, candidates: Any) -> Array:
        """Return log Σ_k p(x, k) − log Σ_{k ∈ candidates} p(x, k) for each row, in nats."""
        engine, K = self.engine.complete_engine, len(self.parameters.means)
        joint = engine.component_log_density(rows, self.parameters)
        if self.parameters.log_background > -np.inf:
            known = rows.row_log_prior(K + 1)
            background = self.parameters.log_background + (0.0 if known is None else known[:, K])
            joint = np.column_stack((joint, np.broadcast_to(background, rows.n_rows)))
            candidates = np.column_stack((candidates, np.full(rows.n_rows, K)))
        own = np.where(candidates < 0, -np.inf, np.take_along_axis(joint, np.maximum(candidates, 0), axis=1))
        return engine.log_density(rows, self.parameters) - log_sum(own)


def estimate_gap(source: Source, engine: Any, parameters: Parameters) -> PosteriorGap:
    """Estimate the difference between the log-likelihood and the free energy, with a standard error."""
    fair = max(1.0, source.n_rows / N_SAMPLED_ROWS) * source.row_totals.total_weight / source.n_rows
    count, first, second = source.map_merge(GapTask(engine, parameters, fair))
    mean = first / count if count else float("nan")
    variance = max(second / count - mean**2, 0.0) if count else float("nan")
    return PosteriorGap(engine.n_candidates, mean, (variance / max(count, 1.0)) ** 0.5)
