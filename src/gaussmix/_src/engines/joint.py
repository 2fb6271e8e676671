"""Densities, responsibilities and labels, computed from log p(x, k), with or without a noise component.

The C++ core computes these results for complete rows without prior information about components. This module evaluates
incomplete rows and rows with prior information.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import NOISE_LABEL
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import softmax, softmax_and_log_sum


def add_noise_column(log_joint: Array, block: Block, parameters: Parameters) -> Array:
    """Return log p(x, k), (n_rows, n_components), with a last column for the noise component if there is one."""
    if parameters.log_noise_density == -np.inf:
        return log_joint
    log_noise, prior = row_log_noise_density(block, parameters), block.row_log_prior(log_joint.shape[1] + 1)
    return np.column_stack((log_joint, log_noise if prior is None else log_noise + prior[:, -1]))


def row_log_noise_density(block: Block, parameters: Parameters) -> Array:
    """Return log(weight × density of the observed values) of the noise component for each row, (n_rows,)."""
    log_noise, missing = np.full(block.n_rows, parameters.log_noise_density), np.isnan(block.rows)
    if parameters.log_sides is not None and missing.any():
        log_noise += np.where(missing, parameters.log_sides, 0.0).sum(axis=1)
    return log_noise


def joint_log_density(log_joint: Array, block: Block, parameters: Parameters) -> Array:
    """Return log p(x) of each row, (n_rows,)."""
    return softmax_and_log_sum(add_noise_column(log_joint, block, parameters))[1]


def joint_responsibilities(log_joint: Array, block: Block, parameters: Parameters) -> Array:
    """Return p(k | x) for all components except the noise component, (n_rows, n_components)."""
    responsibilities = softmax(add_noise_column(log_joint, block, parameters))
    return np.ascontiguousarray(responsibilities[:, : log_joint.shape[1]])


def joint_labels(log_joint: Array, block: Block, parameters: Parameters) -> NDArray[np.int64]:
    """Return each row's most probable component (the first if tied), or `NOISE_LABEL` if noise is more probable."""
    likeliest = add_noise_column(log_joint, block, parameters).argmax(axis=1)
    return np.where(likeliest < log_joint.shape[1], likeliest, NOISE_LABEL)


def one_hot(labels: NDArray[Any], n_components: int) -> Array:
    """Convert labels (n_rows,) or responsibilities (n_rows, n_components) to float64 responsibilities."""
    resp = labels if labels.ndim == 2 else labels[:, None] == np.arange(n_components)
    return resp.astype(np.float64)
