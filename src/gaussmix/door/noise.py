"""The parameter `noise`, checked, and the volume that rows take up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gaussmix.background import NO_MARGINAL, Background
from gaussmix.em.noise_box import noise_of_rows
from gaussmix.noise import Noise
from gaussmix.sources.base import Source
from gaussmix.sources.findings import Cells


def noise_of(noise: Any) -> Noise | None:
    """The parameter `noise` as a value; None for no noise. Raises TypeError or ValueError."""
    if isinstance(noise, Noise):
        return noise
    if isinstance(noise, (bool, np.bool_)) or noise is None:
        return Noise() if noise else None
    if not isinstance(noise, (int, float, np.integer, np.floating)):
        raise TypeError(f"noise must be True, False, a weight between 0 and 1 or a Noise, not {noise!r:.60}.")
    if not 0 < noise < 1:
        raise ValueError(f"noise={noise!r} must be True, False, a weight between 0 and 1 or a Noise.")
    return Noise(float(noise))


def check_background(noise: Noise | None, source: Source) -> Background | None:
    """The background that a fit begins with; None for none.

    Raises
    ------
    ValueError : the box has another number of features or does not hold all rows, or the rows take up no volume.
    """
    if noise is None:
        return None
    if noise.volume is None:
        return noise_of_rows(float(noise.weight), source)
    box = noise.box
    if box is None:
        if source.may_miss:
            raise ValueError(
                f"X has missing cells, and {NO_MARGINAL}: give the volume of noise as a box {(2, source.n_features)}."
            )
        return Background(float(noise.weight), math.log(float(noise.volume)))  # type: ignore[arg-type]
    if box.shape[1] != source.n_features:
        raise ValueError(f"The volume of noise is a box of {box.shape[1]} features, and X has {source.n_features}.")
    ends = source.of_all(Cells).ends
    outside = np.flatnonzero((ends[0] < box[0]) | (ends[1] > box[1]))
    if outside.size:
        column = int(outside[0])
        raise ValueError(
            f"The volume of noise is a box from {box[0, column]:.6g} to {box[1, column]:.6g} in column {column}, but X "
            f"has numbers from {ends[0, column]:.6g} to {ends[1, column]:.6g} there: the box must hold all rows."
        )
    return Background.of_box(float(noise.weight), box)
