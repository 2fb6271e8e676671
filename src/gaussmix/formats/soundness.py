"""Whether numbers make a mixture."""

from __future__ import annotations

import numpy as np

from gaussmix.errors import SingularCovariance, name_components
from gaussmix.mixture.mixture import Mixture
from gaussmix.waist.arrays import Array

# Weights that a user typed with seven digits pass, as at the façade; weights from EM sum to 1 within K·ε.
_SUM_TOLERANCE = 1e-6
# Relative to the standard deviations; sums in another order differ by n·ε at most, far less.
_ASYMMETRY = 1e-8


def flaw(mixture: Mixture) -> str | None:
    """Say what keeps a mixture from being one, as the end of a sentence; None where nothing does."""
    weights, means, covariances = mixture.weights, mixture.means, mixture.covariances
    if weights.ndim != 1 or means.ndim != 2 or len(weights) != len(means) or not means.size:
        return f"weights of shape {weights.shape} don't go with means of shape {means.shape}"
    shape = mixture.family.shape(*means.shape)
    if covariances.shape != shape:
        return f"its covariances have shape {covariances.shape}, not {shape}"
    for name in ("weights", "means", "covariances"):
        if not np.isfinite(getattr(mixture, name)).all():
            return f"its {name} hold NaN or infinity"
    if (weights < 0).any():
        return f"weight {int((weights < 0).argmax())} is negative"
    if abs(weights.sum() - 1) > _SUM_TOLERANCE:
        return f"its weights sum to {weights.sum():.7g}, not to 1"
    with np.errstate(all="ignore"):
        return _covariance_flaw(mixture)


def _covariance_flaw(mixture: Mixture) -> str | None:
    if "symmetric" in mixture.family.requirement and not _symmetric(mixture.covariances):
        return "a covariance matrix is not symmetric"
    try:
        usable = np.isfinite(mixture.whitening.log_abs_det).all()
    except SingularCovariance as error:
        return f"the covariance of {name_components(error.components)} is not positive definite"
    return None if usable else "its covariances are beyond the range of float64"


def _symmetric(matrices: Array) -> bool:
    scale = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    allowed = _ASYMMETRY * scale[..., :, None] * scale[..., None, :]
    return bool((np.abs(matrices - matrices.swapaxes(-1, -2)) <= allowed).all())
