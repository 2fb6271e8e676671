"""Responsibilities as a sparse array, which is small even with thousands of components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gaussmix._src.engines.base import NEGLIGIBLE_NATS, Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import PIECE_VALUES, Array


def sparse_responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> csr_array:
    """Return a sparse array of the responsibilities above 2⁻⁶⁰ times the largest responsibility of the row."""
    n_components, parts = len(parameters.means), list[tuple[Array, NDArray[np.intp], NDArray[np.int32]]]()
    for part in block.split_by_values(n_components, PIECE_VALUES):
        dense = engine.responsibilities(part, parameters)
        least = np.exp(-NEGLIGIBLE_NATS) * dense.max(axis=1, initial=0.0, keepdims=True)
        indices, components = np.nonzero(dense > least)
        n_retained = np.bincount(indices, minlength=part.n_rows)
        parts.append((dense[indices, components], n_retained, components.astype(np.int32)))
    values, n_retained, components = map(np.concatenate, zip(*parts, strict=True))
    ends = np.concatenate(([0], np.cumsum(n_retained)))
    shape = block.n_rows, n_components
    return csr_array((values, components, ends.astype(np.int32 if ends[-1] < 2**31 else np.int64)), shape)
