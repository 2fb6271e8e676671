"""Whether the digits of a double suffice for the covariances of a fit, and the sentence that says they do not."""

from __future__ import annotations

import numpy as np

from gaussmix.errors import name_components
from gaussmix.mixture.mixture import Mixture

ROUNDED = 1e-6  # nats of rounding in a log density that the user is told of


def rounding_sentence(mixture: Mixture) -> str | None:
    """Say which covariances are so nearly singular that log densities have lost digits; None where none is.

    The rounding of Σ is multiplied by Σ_jj (Σ⁻¹)_jj: by how much the variance of feature j exceeds what the other
    features leave of it.
    """
    family, shape = mixture.family, mixture.means.shape
    precisions = mixture.whitening.precision_diagonals()
    inflation = (family.variances(mixture.covariances, *shape) * precisions).max(axis=1)
    error = shape[1] * float(np.finfo(np.float64).eps) * inflation
    concerned = np.flatnonzero(error > ROUNDED)
    if not concerned.size:
        return None
    return (
        f"{name_components(concerned.tolist())}: nearly singular covariance, so that rounding changes log densities "
        f"by about {error.max():.1g} nats. Raise reg_covar, leave out columns that others determine or rows far from "
        "all others, or raise n_components."
    )
