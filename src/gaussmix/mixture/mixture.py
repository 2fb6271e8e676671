"""A Gaussian mixture as an immutable value."""

from __future__ import annotations

from gaussmix.mixture.compare.distances import Distances
from gaussmix.mixture.compare.divergences import Divergences
from gaussmix.mixture.compare.entropy import Entropy
from gaussmix.mixture.compare.ordering import Ordering
from gaussmix.mixture.compare.reduction import Reduction
from gaussmix.mixture.conversion import Conversion
from gaussmix.mixture.densities import Densities
from gaussmix.mixture.levels.levels import Levels
from gaussmix.mixture.line.quantiles import Quantiles
from gaussmix.mixture.masses.probabilities import Probabilities
from gaussmix.mixture.parts.combining import Combining
from gaussmix.mixture.parts.derivatives import Derivatives
from gaussmix.mixture.parts.expectations import Expectations
from gaussmix.mixture.parts.modality import Modality
from gaussmix.mixture.parts.parts import Parts
from gaussmix.mixture.sampling import Sampling
from gaussmix.mixture.storage import Storage


class Mixture(
    Combining,
    Conversion,
    Densities,
    Derivatives,
    Distances,
    Divergences,
    Entropy,
    Expectations,
    Levels,
    Modality,
    Ordering,
    Parts,
    Probabilities,
    Quantiles,
    Reduction,
    Sampling,
    Storage,
):
    """p(x) = Σ_k π_k N(x | μ_k, Σ_k), Bishop (2006) eq. 9.7.

    Parameters
    ----------
    weights : (n_components,), π_k; sum to 1.
    means : (n_components, n_features), μ_k, data units.
    covariances : Σ_k in the compact form of the family (`family.shape`), data units².
    family : the covariance structure, a member of `gaussmix.families.FAMILIES`.
    feature_names : one for each feature, by which it can be called; None where they have none.

    Raises
    ------
    ValueError
        Shapes or names don't go together, a number is not finite, a weight is negative or they don't sum to 1.
    TypeError
        `family` is not a `Family`.
    SingularCovariance
        At the first use of a density, where a covariance is not positive definite.

    Notes
    -----
    The arrays are read-only: a changed mixture is a new one.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import Mixture, FAMILIES
    >>> m = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [4.0]]), np.array([1.0, 1.0]), FAMILIES["spherical"])
    >>> m.predict([[0.3], [3.0]])
    array([0, 1])
    >>> m.log_density([[2.0]]).round(4)
    array([-2.9189])
    """
