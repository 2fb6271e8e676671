"""The volume of the noise component, computed from the rows."""

from __future__ import annotations

from functools import partial

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.device_array import DeviceArray, extreme_indices
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.threads import one_blas_thread
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells

EPS = float(np.finfo(np.float64).eps)


def noise_from_rows(fraction: float, source: Source) -> NoiseComponent:
    """Make a noise component with the smaller volume of two boxes around all rows: along features or principal axes.

    The function `hypvol` of mclust computes the same volume. The side lengths are stored only for a box along the
    features; for a box along the principal axes, only the volume is stored. If values are missing, the box along the
    features is used.
    """
    cells = source.collect(Cells)
    sides = cells.ends[1] - cells.ends[0]
    is_whole = cells.n_seen.min() == source.row_totals.n_positive
    principal, is_flat = None, not (sides > 0).all()
    if source.n_features > 1 and is_whole and not is_flat:
        principal = _principal_side_lengths(source)
        is_flat = principal is None and _is_flat(source)
    if is_flat:
        raise ValueError(
            "noise needs a volume, but the rows of X lie in a plane of volume 0. Leave out columns that are constant "
            "or determined by others, or set the volume: Noise(volume=…)."
        )
    if principal is None or log(sides).sum() <= log(principal).sum():
        return NoiseComponent.from_bounds(fraction, cells.ends)
    return NoiseComponent(fraction, float(log(principal).sum()))


@one_blas_thread()
def _principal_side_lengths(source: Source) -> Array | None:
    """Return side lengths of the box along principal axes, (n_features,), or None if a side is only rounding errors."""
    spread = source.collect(Spread)
    variances, axes = (result[0] for result in principal_axes(spread.covariance[None]))
    if not (variances > EPS * variances.max()).all():
        return None
    ends_along = partial(_extremes_along_axes, centre=spread.mean, axes=axes)
    ends = np.array([result for result in source.map_rows(ends_along) if result is not None])
    return ends[:, 1].max(axis=0) - ends[:, 0].min(axis=0)


def _is_flat(source: Source) -> bool:
    """Return whether the rows lie in a plane except for rounding errors, after scaling of the features."""
    covariance = source.collect(Spread).covariance
    deviations = np.sqrt(np.diagonal(covariance))
    variances = principal_axes((covariance / deviations[:, None] / deviations)[None])[0][0]
    return bool(variances.min() <= 4 * len(variances) * EPS * variances.max())


def _extremes_along_axes(block: Block, centre: Array, axes: Array) -> Array | None:
    """Return the minimum and the maximum of the rows along each axis, (2, n_features)."""
    if not block.total_weight:
        return None
    if isinstance(block.rows, DeviceArray):
        along = DeviceArray((block.rows.as_computing_type() - block.rows.send(centre)) @ block.rows.send(axes))
        return along[extreme_indices(along, block.row_weight)].reshape(2, len(centre), -1).diagonal(axis1=1, axis2=2)
    ends = np.array([np.full(len(centre), np.inf), np.full(len(centre), -np.inf)])
    indices = np.arange(block.n_rows) if block.row_weight is None else np.flatnonzero(block.row_weight)
    for part in pieces((len(indices), len(centre))):
        # `einsum` is used instead of BLAS, because the last bits of BLAS results depend on the processor.
        along = einsum("nd,de->ne", block.rows[indices[part]] - centre, axes)
        ends = np.array([np.minimum(ends[0], along.min(axis=0)), np.maximum(ends[1], along.max(axis=0))])
    return ends
