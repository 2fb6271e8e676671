"""Triton kernels that compute the sums of an EM step for PyTorch tensors on a GPU, without storing the features φ.

An array library stores φ before it multiplies φ by θ, and φ of 16 features takes ten times the memory of the rows.
These kernels compute φ from the coordinates z in registers. In `_assign_rows`, one warp computes each block of rows,
because several warps would wait for each other. With `TRITON_INTERPRET=1` in the environment, Triton runs the kernels
in Python, without a GPU.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import triton
import triton.language as tl

from gaussmix._src.engines.base import NEGLIGIBLE_NATS
from gaussmix._src.engines.device.standardisation import Standardisation, pairs
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import DeviceArray

BLOCK_ROWS, ASSIGNMENT_TILE = 32, 16  # numbers of rows and of values in φ that `_assign_rows` multiplies at a time
SUM_BLOCK_ROWS, SUM_TILE = 16, 32  # numbers of rows and of values in φ that `_sum_products` multiplies at a time
SUM_ROWS = 8_192  # number of rows that one program of `_sum_products` sums
MIN_LIKELIHOOD: tl.constexpr = tl.constexpr(float(np.exp(-NEGLIGIBLE_NATS)))
PADDING = -1e300  # log density of columns without a component, whose likelihood is therefore 0


@triton.jit(do_not_specialize=["n_rows"])
def _standardise(
    rows_ptr: tl.tensor,
    row_stride: tl.tensor,
    column_stride: tl.tensor,
    centre_ptr: tl.tensor,
    inverse_ptr: tl.tensor,
    z_ptr: tl.tensor,
    z_stride: tl.tensor,
    n_rows: tl.tensor,
    n_features: tl.tensor,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write z = (y, 1) of a block of rows to columns of the table z, and zeros for rows after the last."""
    row, column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, SIZE).to(tl.int64)
    is_feature, is_row = column < n_features, row < n_rows
    cells = row[:, None].to(tl.int64) * row_stride + column[None, :] * column_stride
    is_cell = is_row[:, None] & is_feature[None, :]
    x = tl.load(rows_ptr + cells, is_cell, 0.0).to(tl.float64)
    offsets = tl.where(is_cell, x - tl.load(centre_ptr + column, is_feature, 0.0)[None, :], 0.0)
    inverse = tl.load(
        inverse_ptr + column[:, None] * n_features + column[None, :], is_feature[:, None] & is_feature[None, :], 0.0
    )
    y = tl.dot(offsets, inverse, out_dtype=tl.float64)
    tl.store(z_ptr + column[None, :] * z_stride + row[:, None], y, is_feature[None, :])
    tl.store(z_ptr + n_features * z_stride + row, is_row.to(tl.float64))


@triton.jit
def _load_offsets(offsets_ptr: tl.tensor, n_values: tl.tensor, value: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Return the offsets of z_i and z_j in the table z.

    `multiple_of` tells the compiler that they are multiples of 16, so that one instruction loads two rows.
    """
    left, right = tl.load(offsets_ptr + value), tl.load(offsets_ptr + n_values + value)
    return tl.multiple_of(left, 16), tl.multiple_of(right, 16)


@triton.jit(do_not_specialize=["n_rows"])
def _assign_rows(
    z_ptr: tl.tensor,
    offsets_ptr: tl.tensor,
    theta_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    log_density_ptr: tl.tensor,
    resp_ptr: tl.tensor,
    n_rows: tl.tensor,
    n_values: tl.tensor,
    HAS_WEIGHT: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Compute log p(x) and responsibilities times weights of a block of rows."""
    row, column, value = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, COLUMNS), tl.arange(0, TILE)
    joint = tl.zeros((BLOCK, COLUMNS), tl.float64)
    for first in tl.range(0, n_values, TILE, num_stages=2):
        left, right = _load_offsets(offsets_ptr, n_values, first + value)
        phi = tl.load(z_ptr + row[:, None] + left[None, :]) * tl.load(z_ptr + row[:, None] + right[None, :])
        theta = tl.load(theta_ptr + (first + value)[:, None] * COLUMNS + column[None, :])
        joint = tl.dot(phi, theta, joint, out_dtype=tl.float64)
    highest = tl.max(joint, 1)
    likelihoods = tl.exp(joint - highest[:, None])
    total = tl.sum(likelihoods, 1)
    tl.store(log_density_ptr + row, highest + tl.log(total))
    scale = 1.0 / total
    if HAS_WEIGHT:
        scale *= tl.load(weight_ptr + row, row < n_rows, 0.0).to(tl.float64)
    resp = tl.where(likelihoods > MIN_LIKELIHOOD, likelihoods, 0.0) * scale[:, None]
    tl.store(resp_ptr + row[:, None] * COLUMNS + column[None, :], resp)


@triton.jit
def _sum_products(
    z_ptr: tl.tensor,
    offsets_ptr: tl.tensor,
    resp_ptr: tl.tensor,
    sums_ptr: tl.tensor,
    n_padded_rows: tl.tensor,
    n_values: tl.tensor,
    N_ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Sum γ φ over `N_ROWS` rows, for one tile of the values in φ."""
    column, value = tl.arange(0, COLUMNS), tl.program_id(0) * TILE + tl.arange(0, TILE)
    left, right = _load_offsets(offsets_ptr, n_values, value)
    first = tl.program_id(1) * N_ROWS
    sums = tl.zeros((TILE, COLUMNS), tl.float64)
    for start in tl.range(first, min(first + N_ROWS, n_padded_rows), BLOCK, num_stages=3):
        row = start + tl.arange(0, BLOCK)
        phi = tl.load(z_ptr + row[None, :] + left[:, None]) * tl.load(z_ptr + row[None, :] + right[:, None])
        resp = tl.load(resp_ptr + row[:, None] * COLUMNS + column[None, :])
        sums = tl.dot(phi, resp, sums, out_dtype=tl.float64)
    cell = (tl.program_id(1) * n_values + value)[:, None] * COLUMNS + column[None, :]
    tl.store(sums_ptr + cell, sums)


class TritonKernels:
    """Kernels for the rows of an array on a GPU, which threads may share.

    Parameters
    ----------
    rows : the whole array.
    standardisation : standardisation of the rows, with arrays on the device.
    second : products in the features φ: all pairs (`Second.FULL`), or squares (`Second.DIAGONAL`).
    n_components : number of components K.
    has_noise : whether there is a noise component.
    max_values : maximum number of coordinates and responsibilities that a pass stores at a time.

    Attributes
    ----------
    n_part_rows : maximum number of rows of a part.
    """

    def __init__(
        self,
        rows: DeviceArray,
        standardisation: Standardisation,
        second: Second,
        n_components: int,
        has_noise: bool,
        max_values: int,
    ) -> None:
        self.second, self._K, self._n_used_columns = second, n_components, n_components + has_noise
        d = rows.shape[1]
        left, right = pairs(d, second)
        self._constant = int(np.flatnonzero((left == d) & (right == d))[0])  # index of the product 1 · 1
        self._n_used_values, self._n_columns = len(left), _padded_size(self._n_used_columns)
        self._n_values = -(-len(left) // SUM_TILE) * SUM_TILE
        n_parts = -(-len(rows) * (self._n_columns + d + 1) // max_values)
        self.n_part_rows = -(-len(rows) // n_parts)
        self._n_table_rows = -(-self.n_part_rows // BLOCK_ROWS) * BLOCK_ROWS
        offsets = np.zeros((2, self._n_values), np.int32)
        offsets[:, : len(left)] = self._n_table_rows * np.stack((left, right))
        self._offsets = torch.tensor(offsets, device=rows.values.device)
        self._centre = standardisation.centre
        is_full = second is Second.FULL
        inverse = standardisation.inverse if is_full else torch.diag(1 / standardisation.deviations)
        self._inverse = inverse.contiguous()
        tables = self.begin_pass(np.zeros((n_components, len(left))), 0.0)
        self.sum_features(tables, Block(0, rows[:1]), None)  # compiles the kernels, or fails before the first step

    def begin_pass(self, theta: Array, log_noise_density: float) -> tuple[Any, Any, Any]:
        """Return tables for one pass: natural parameters, and memory for coordinates z and for responsibilities.

        Parameters
        ----------
        theta : natural parameters θ of the components, (n_components, n_values).
        log_noise_density : log density of the noise component, in nats; ignored without noise.
        """
        table = np.zeros((self._n_values, self._n_columns))
        table[: self._n_used_values, : self._K] = theta.T
        table[self._constant, self._K : self._n_used_columns] = log_noise_density
        table[self._constant, self._n_used_columns :] = PADDING
        # A component of weight 0 has the constant −∞, whose product with the zeros after the last row would be NaN.
        table[self._constant] = np.maximum(table[self._constant], PADDING)
        sent, n_rows = torch.tensor(table, device=self._offsets.device), self._n_table_rows
        return sent, sent.new_empty((len(self._centre) + 1, n_rows)), sent.new_empty((n_rows, self._n_columns))

    def sum_features(self, tables: tuple[Any, Any, Any], part: Block, weight: Any) -> tuple[Any, Any, Any]:
        """Assign a part of the rows, and sum their features.

        Parameters
        ----------
        tables : tables that `begin_pass` returned.
        part : block of at most `n_part_rows` rows.
        weight : tensor of row weights, (n_rows,); None if all weights are 1.

        Returns
        -------
        log_density : log p(x) of each row, (n_rows,), in nats.
        noise_mass : sum of the noise component's responsibilities times weights.
        sums : sums of γ φ for responsibilities γ times weights, (n_components, n_values).
        """
        rows, (theta, z, resp) = cast(DeviceArray, part.rows).values.resolve_neg(), tables
        n_rows, d = rows.shape
        n_blocks, n_values, n_columns = -(-n_rows // BLOCK_ROWS), self._n_values, self._n_columns
        n_padded_rows = n_blocks * BLOCK_ROWS
        n_sums = -(-n_padded_rows // SUM_ROWS)
        log_density, sums = z.new_empty(n_padded_rows), z.new_empty((n_sums, n_values, n_columns))
        row_weight = rows if weight is None else weight.resolve_neg().contiguous()
        with torch.cuda.device_of(rows):
            row_arguments = rows, *rows.stride(), self._centre, self._inverse
            _standardise[n_blocks,](*row_arguments, z, z.stride(0), n_rows, d, _padded_size(d), BLOCK_ROWS, num_warps=2)
            pointers: tuple[Any, ...] = z, self._offsets, theta, row_weight, log_density, resp
            sizes = BLOCK_ROWS, ASSIGNMENT_TILE, n_columns
            _assign_rows[n_blocks,](*pointers, n_rows, n_values, weight is not None, *sizes, num_warps=1)
            pointers, grid = (z, self._offsets, resp, sums), (n_values // SUM_TILE, n_sums)
            sizes = SUM_BLOCK_ROWS, SUM_TILE, n_columns
            _sum_products[grid](*pointers, n_padded_rows, n_values, SUM_ROWS, *sizes, num_warps=2)
        total = sums.sum(0)
        return log_density[:n_rows], total[self._constant, self._K :].sum(), total[: self._n_used_values, : self._K].T


def _padded_size(n: int) -> int:
    """Return the size of a tile for `n` columns: a power of 2, and at least 16, as products of tiles need."""
    return max(16, int(triton.next_power_of_2(n)))
