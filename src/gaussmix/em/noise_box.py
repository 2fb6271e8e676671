"""The volume that rows take up."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gaussmix.em.accumulate import StepTask
from gaussmix.engines.base import Engine
from gaussmix.noise import Noise
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.blas import one_blas_thread
from gaussmix.numerics.pieces import pieces
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule, Second


def noise_of_rows(share: float, source: Source, engine: Engine[Any]) -> Noise:
    """The background in the smaller of two boxes around all rows: along the features, and along their principal axes.

    It is mclust's `hypvol`. A box along the features has a place; of the other only the volume is known. Where cells
    are missing, the box is along the features.
    """
    box = box_of(source)
    sides = [box[1] - box[0]]
    if source.n_features > 1 and (sides[0] > 0).all() and not any(source.map_rows(_has_holes)):
        sides.append(_principal_sides(source, engine))
    if not all((each > 0).all() for each in sides):
        raise ValueError("noise needs a volume, and the rows of X lie in a plane, which has none: give noise_volume.")
    along, *principal = (float(np.log(each).sum()) for each in sides)
    return Noise.of_box(share, box) if not principal or along <= principal[0] else Noise(share, principal[0])


def box_of(source: Source) -> Array:
    """The smallest and the largest number of each feature in rows of positive weight, (2, n_features)."""
    found = np.array([ends for ends in source.map_rows(_ends_of) if ends is not None])
    ends: Array = np.array([np.fmin.reduce(found[:, 0], axis=0), np.fmax.reduce(found[:, 1], axis=0)])
    return ends


def _ends_of(block: Block) -> Array | None:
    if not block.n_rows or (block.row_weight is not None and not block.row_weight.any()):
        return None
    ends = np.full((2, block.rows.shape[1]), np.nan)
    for part in block.cut():  # missing cells say nothing
        rows = _present(part)
        if len(rows):
            ends = np.array([np.fmin(ends[0], np.fmin.reduce(rows)), np.fmax(ends[1], np.fmax.reduce(rows))])
    return ends


def _has_holes(block: Block) -> bool:
    return any(bool(np.isnan(_present(part)).any()) for part in block.cut())


def _present(block: Block) -> Rows:
    """The rows of positive weight."""
    return block.rows if block.row_weight is None else block.rows[block.row_weight > 0]


@one_blas_thread()
def _principal_sides(source: Source, engine: Engine[Any]) -> Array:
    """The lengths of the box along the principal axes, (n_features,); 0 where the rows have no extent by rounding."""
    rough = StepTask(engine, 1, None, Need(Second.NONE), Rule.GIVEN).over(source)
    anchor = rough.means(rough.anchor)
    moments = StepTask(engine, 1, None, Need(Second.FULL), Rule.GIVEN, anchor).over(source)
    assert moments.second is not None, "it was asked for"
    variances, axes = np.linalg.eigh(moments.second[0] / moments.mass[0])
    found = [ends for ends in source.map_rows(partial(_ends_along, centre=anchor[0], axes=axes)) if ends is not None]
    ends = np.array(found)
    sides: Array = ends[:, 1].max(axis=0) - ends[:, 0].min(axis=0)
    return np.where(variances > np.finfo(np.float64).eps * variances[-1], sides, 0.0)


def _ends_along(block: Block, centre: Array, axes: Array) -> Array | None:
    """The smallest and the largest of the rows along each axis, (2, n_features)."""
    places = np.arange(block.n_rows) if block.row_weight is None else np.flatnonzero(block.row_weight)
    if not places.size:
        return None
    ends = np.array([np.full(len(centre), np.inf), np.full(len(centre), -np.inf)])
    for part in pieces((len(places), len(centre))):
        along = (block.rows[places[part]] - centre) @ axes
        ends = np.array([np.minimum(ends[0], along.min(axis=0)), np.maximum(ends[1], along.max(axis=0))])
    return ends
