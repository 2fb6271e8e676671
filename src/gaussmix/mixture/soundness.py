"""Whether numbers make a mixture."""

from __future__ import annotations

import numpy as np

from gaussmix.errors import SingularCovariance, name_components
from gaussmix.families.base import Family
from gaussmix.numerics.arrays import Array

# Weights that a user typed with seven digits pass, as at the façade; weights from EM sum to 1 within K·ε.
SUM_TOLERANCE = 1e-6
# Relative to the standard deviations; sums in another order differ by n·ε at most, far less.
_ASYMMETRY = 1e-8


def flaw(weights: Array, means: Array, covariances: Array, family: Family, noun: str = "covariance") -> str | None:
    """Say what keeps numbers from being a mixture of a family, as the end of a sentence; None if they are one.

    `noun` is what to call the matrices: precisions have the same flaws.
    """
    wrong = flaw_at_sight(weights, means, covariances, family, noun)
    if wrong is not None:
        return wrong
    with np.errstate(all="ignore"):
        return _matrix_flaw(covariances, family, means.shape[1], noun)


def flaw_at_sight(
    weights: Array, means: Array, covariances: Array, family: Family, noun: str = "covariance"
) -> str | None:
    """As `flaw`, without factoring the covariances."""
    if weights.ndim != 1 or means.ndim != 2 or len(weights) != len(means) or not means.size:
        return f"weights of shape {weights.shape} don't go with means of shape {means.shape}"
    shape = family.shape(*means.shape)
    if covariances.shape != shape:
        return f"its {noun}s have shape {covariances.shape}, not {shape}"
    for name, values in (("weights", weights), ("means", means), (f"{noun}s", covariances)):
        if not np.isfinite(values).all():
            return f"its {name} hold NaN or infinity"
    if (weights < 0).any():
        return f"weight {int((weights < 0).argmax())} is negative"
    if abs(weights.sum() - 1) > SUM_TOLERANCE:
        return f"its weights sum to {weights.sum():.7g}, not to 1"
    return None


def _matrix_flaw(covariances: Array, family: Family, n_features: int, noun: str) -> str | None:
    if family.is_matrix and not is_symmetric(covariances):
        return f"a {noun} matrix is not symmetric"
    try:
        usable = np.isfinite(family.whitening(covariances, n_features).log_abs_det).all()
    except SingularCovariance as error:
        return f"the {noun} of {name_components(error.components)} is not positive definite"
    return None if usable else f"its {noun}s are beyond the range of float64"


def is_symmetric(matrices: Array) -> bool:
    """Whether matrices (…, d, d) are, but for rounding and a few digits that were typed."""
    scale = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    allowed = _ASYMMETRY * scale[..., :, None] * scale[..., None, :]
    return bool((np.abs(matrices - matrices.swapaxes(-1, -2)) <= allowed).all())
