"""Reciprocal standard deviations, checked."""

from __future__ import annotations

import numpy as np

from gaussmix.errors import SingularCovariance
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces


def inverse_root(variances: Array) -> Array:
    """v^(−½) of variances whose first axis is the component.

    Raises
    ------
    SingularCovariance : some are not positive, finite numbers, or so small that digits are missing (below
        2.2e-308); the message names their components.
    """
    roots, wrong = np.empty(variances.shape), []
    for part in pieces(variances.shape):
        usable = (variances[part] >= np.finfo(np.float64).tiny) & np.isfinite(variances[part])
        if usable.all():
            roots[part] = 1.0 / np.sqrt(variances[part])
        else:
            wrong.extend(part.start + np.flatnonzero(~usable.reshape(len(usable), -1).all(axis=1)))
    if wrong:
        raise SingularCovariance(wrong)
    return roots
