"""Responsibilities as a sparse array, which is small even with thousands of components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gaussmix._src.engines.base import NEGLIGIBLE_NATS, Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, pieces

_MAX_DENSE_VALUES = 2**24  # largest number of dense values (128 MB) at a time; threads need several tiles of rows


def sparse_responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> csr_array:
    """Return a sparse array of the responsibilities above 2⁻⁶⁰ times the largest responsibility of the row."""
    K, parts = len(parameters.means), list[tuple[Array, NDArray[np.intp], NDArray[np.int32]]]()
    for part in block.split_by_values(K, _MAX_DENSE_VALUES):
        dense = engine.responsibilities(part, parameters)
        for tile in (dense[piece] for piece in pieces(dense.shape)):  # arrays that fit into the cache
            least = np.exp(-NEGLIGIBLE_NATS) * tile.max(axis=1, initial=0.0, keepdims=True)
            indices, columns = np.nonzero(tile > least)
            parts.append((tile[indices, columns], np.bincount(indices, minlength=len(tile)), columns.astype(np.int32)))
    values, n_retained, components = map(np.concatenate, zip(*parts, strict=True))
    ends = np.concatenate(([0], np.cumsum(n_retained)))
    return csr_array((values, components, ends.astype(np.int32 if ends[-1] < 2**31 else np.int64)), (block.n_rows, K))
