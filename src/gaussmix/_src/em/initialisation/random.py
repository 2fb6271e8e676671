"""Random initialisations, which draw rows as centres, or draw random responsibilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition, nearest_centre
from gaussmix._src.em.initialisation.outliers import separate_outliers
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.hashing import mix, uniform


@separate_outliers
def random_centres(sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Assign each row to the nearest of K distinct rows, drawn without replacement with probability ∝ weight.

    The K rows with the largest log(u) / weight are chosen, where u is uniform; Efraimidis & Spirakis (2006).
    """
    keys = log(rng.random(len(sample.weight))) / sample.weight
    chosen = np.argsort(-keys, kind="stable")[:n_components]
    return nearest_centre(sample.imputed[np.resize(chosen, n_components)])


@separate_outliers
def random_responsibilities(
    sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator
) -> Partition:
    """Draw uniform random responsibilities, with sum 1 in each row. Equal rows get equal responsibilities."""
    key = int(rng.integers(2**63))
    return Partition(responsibilities=HashedResponsibilities(n_components, key, sample.distinct_index))


@dataclass(frozen=True)
class HashedResponsibilities:
    """Random responsibilities, computed as a hash of `hash_key` and of the row.

    The hash of a row uses the row's index among the distinct rows, which does not depend on the units and the origin of
    the features. If `distinct_index` is None, the hash uses the row's values.
    """

    n_components: int
    hash_key: int
    distinct_index: NDArray[np.intp] | None

    def __call__(self, block: Block) -> Array:
        streams: NDArray[np.uint64] = np.arange(1, self.n_components + 1, dtype=np.uint64)
        responsibilities = uniform(mix(self._row_hash(block)[:, None] + streams))
        return responsibilities / responsibilities.sum(axis=1, keepdims=True)

    def _row_hash(self, block: Block) -> NDArray[np.uint64]:
        row_hash = np.full(block.n_rows, self.hash_key, dtype=np.uint64)
        if self.distinct_index is not None:
            return mix(row_hash ^ self.distinct_index[block.first_row :][: block.n_rows].astype(np.uint64))
        columns: NDArray[np.uint64] = (block.rows.astype(np.float64) + 0.0).view(np.uint64)  # adding 0 converts −0 to 0
        for column in columns.T:
            row_hash = mix(row_hash ^ column)
        return row_hash
