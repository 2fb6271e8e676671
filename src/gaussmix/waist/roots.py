"""Reciprocal standard deviations, checked."""

from __future__ import annotations

import numpy as np

from gaussmix.errors import SingularCovariance
from gaussmix.waist.arrays import Array


def inverse_root(variances: Array) -> Array:
    """v^(−½) of variances whose first axis is the component.

    Raises
    ------
    SingularCovariance : some are not positive, finite numbers, or so small that digits are missing (below
        2.2e-308); the message names their components.
    """
    usable = (variances >= np.finfo(np.float64).tiny) & np.isfinite(variances)
    if not usable.all():
        raise SingularCovariance(np.flatnonzero(~usable.reshape(len(usable), -1).all(axis=1)))
    roots: Array = 1.0 / np.sqrt(variances)
    return roots
