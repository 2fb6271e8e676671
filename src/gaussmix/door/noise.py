"""The parameters `noise` and `noise_volume`, checked, and the volume that rows take up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gaussmix.door.parameters import check_numbers
from gaussmix.em.noise_box import noise_of_rows
from gaussmix.noise import NO_MARGINAL, Noise
from gaussmix.sources.base import Source
from gaussmix.sources.findings import Cells

SHARE = 0.1  # of the rows that are noise at first, where nothing says how many


def plain_noise(noise: Any) -> Any:
    """The parameter `noise`; False for words that were for factor analysers."""
    return False if noise in ("diagonal", "isotropic") else noise


def check_noise_share(noise: Any) -> float | None:
    """The share of noise to begin with; None for no noise."""
    if isinstance(noise, (bool, np.bool_)) or noise is None:
        return SHARE if noise else None
    if not isinstance(noise, (int, float, np.integer, np.floating)):
        raise TypeError(f"noise must be True, False or a share between 0 and 1, not {noise!r:.60}.")
    if not 0 < noise < 1:
        raise ValueError(f"noise={noise!r} must be True, False or a share between 0 and 1.")
    return float(noise)


def check_suits_noise(estimator: Any, *, has_noise: bool) -> None:
    """Raise ValueError for what an estimator says of weights that sum to 1, which those beside noise do not."""
    for name in ("fixed_weights", "min_weight"):
        value = getattr(estimator, name, None)
        if has_noise and not (value is None or not np.size(value) or (np.ndim(value) == 0 and value == 0)):
            raise ValueError(f"{name} is of weights that sum to 1, which those beside noise do not: leave one out.")


def check_noise(noise: Any, noise_volume: Any, source: Source) -> Noise | None:
    """The background that a fit begins with; None for none.

    Raises
    ------
    ValueError, TypeError : the share is not between 0 and 1, the volume is 0, the box is none or does not hold all
        rows, a volume is given without noise, or the rows take up none.
    """
    share = check_noise_share(noise)
    if share is None:
        if noise_volume is not None:
            raise ValueError("noise_volume says where noise is: give noise=True with it.")
        return None
    if noise_volume is None:
        return noise_of_rows(share, source)
    given = check_numbers("noise_volume", noise_volume)
    if given.ndim == 0:
        if not 0 < given < np.inf:
            raise ValueError(f"noise_volume={noise_volume!r} must be a finite number above 0.")
        if source.may_miss:
            raise ValueError(
                f"X has missing cells, and {NO_MARGINAL}: give noise_volume as a box {(2, source.n_features)}."
            )
        return Noise(share, math.log(given))
    shape = 2, source.n_features
    if given.shape != shape or not (np.isfinite(given).all() and (given[0] < given[1]).all()):
        raise ValueError(
            f"noise_volume must be a volume, or a box of shape {shape}: the smallest number of each feature and, above "
            f"it, the largest. It is {noise_volume!r:.80}."
        )
    ends = source.of_all(Cells).ends
    outside = np.flatnonzero((ends[0] < given[0]) | (ends[1] > given[1]))
    if outside.size:
        column = int(outside[0])
        raise ValueError(
            f"noise_volume is a box from {given[0, column]:.6g} to {given[1, column]:.6g} in column {column}, but X "
            f"has numbers from {ends[0, column]:.6g} to {ends[1, column]:.6g} there: the box must hold all rows."
        )
    return Noise.of_box(share, np.array(given))
