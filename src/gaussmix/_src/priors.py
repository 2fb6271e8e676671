"""What a user believes of the components before seeing rows: the prior that `GaussianMixture` takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_finite, check_positive, check_within
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.value import Value

SHRINKAGE = 0.01  # of `prior="default"`: Fraley & Raftery (2007)
_MAX_ASYMMETRY = 1e-8  # relative to the standard deviations


@dataclass(frozen=True, eq=False, repr=False)
class Dirichlet(Value):
    """A prior of the weights alone, as `GaussianMixture(prior=…)` takes it.

    Parameters
    ----------
    weights : float or array-like (n_components,)
        Concentration α ≥ 1: as if each component had α − 1 rows more.

    Raises
    ------
    ValueError : a number is below 1 or not finite, or there is more than one axis.
    TypeError : a value is neither a number nor an array of numbers.

    See Also
    --------
    gaussmix.NormalInverseWishart : a prior of means and covariances, and of weights if wanted.

    Examples
    --------
    >>> from gaussmix import Dirichlet, GaussianMixture
    >>> rows = [[0.0], [6.0], [7.0], [8.0]]
    >>> gm = GaussianMixture(2, prior=Dirichlet(3.0), reg_covar=0.1, random_state=0).fit(rows)
    >>> sorted(gm.weights_.round(3).tolist())
    [0.375, 0.625]
    """

    weights: float | ArrayLike

    def __post_init__(self) -> None:
        _check_concentration(self.weights)


@dataclass(frozen=True, eq=False, repr=False)
class NormalInverseWishart(Value):
    """A prior of means and covariances, and of weights if wanted, as `GaussianMixture(prior=…)` takes it.

    Means are normal about one place and covariances inverse Wishart::

        p(μ_k, Σ_k) ∝ |Σ_k|^(−(ν + d + 2) / 2) exp(−½ tr(Λ Σ_k⁻¹) − ½ κ (μ_k − μ_p)ᵀ Σ_k⁻¹ (μ_k − μ_p))

    Fits are then maxima of the posterior density. Whatever is None is found as Fraley & Raftery (2007) find it, so
    ``NormalInverseWishart()`` is the same as ``prior="default"``.

    Parameters
    ----------
    mean : array-like (n_features,), default None
        μ_p, data units: where means are drawn to. None is the mean of the rows.
    shrinkage : float, default 0.01
        κ ≥ 0: as many rows as `mean` counts for. 0 leaves the means to the rows.
    scale : float or array-like (n_features,) or (n_features, n_features), default None
        Λ, data units²: a number stands for as much in each feature, n_features numbers for a diagonal. Structures
        without an orientation take the diagonal, and spherical ones its mean. None is the covariance of the rows,
        divided by K^(2 / n_features); for structures without an orientation the mean of its diagonal, and for factor
        analysers its diagonal.
    dof : float, default None
        ν, degrees of freedom: above n_features − 1 for structures with matrices, above 0 for others. None is
        n_features + 2, and 3 for factor analysers.
    weights : float or array-like (n_components,), default None
        α ≥ 1 of a `Dirichlet` prior of the weights; None for no such prior.

    Raises
    ------
    ValueError : a number is not finite or out of its range, an array has the wrong shape, or `scale` is not a
        covariance.
    TypeError : a value is neither a number nor an array of numbers.

    See Also
    --------
    gaussmix.GaussianMixture : takes it.
    gaussmix.Dirichlet : a prior of the weights alone.

    Notes
    -----
    What ν adds to the rows of a component depends on the structure; `docs/guide/priors.md` has the table.

    References
    ----------
    Fraley & Raftery (2007), Bayesian regularization for normal mixture estimation and model-based clustering, Journal
    of Classification 24, 155–181.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture, NormalInverseWishart
    >>> X = np.random.default_rng(0).normal(size=(12, 2))
    >>> prior = NormalInverseWishart(mean=[0.0, 0.0], shrinkage=1.0, scale=1.0, dof=5)
    >>> gm = GaussianMixture(3, prior=prior, random_state=0).fit(X)
    >>> bool((np.linalg.eigvalsh(gm.covariances_) > 0.04).all())
    True
    """

    mean: ArrayLike | None = None
    shrinkage: float = SHRINKAGE
    scale: float | ArrayLike | None = None
    dof: float | None = None
    weights: float | ArrayLike | None = None

    def __post_init__(self) -> None:
        mean, scale = self._arrays()
        if mean is not None and (mean.ndim != 1 or not mean.size):
            raise ValueError(f"mean must have the shape (n_features,), not {mean.shape}.")
        check_within("shrinkage", self.shrinkage, "a finite number ≥ 0", lambda index: 0 <= index < np.inf)
        if scale is not None:
            _check_scale(scale)
        if self.dof is not None:
            check_positive("dof", self.dof)
        if mean is not None and scale is not None and scale.ndim and len(mean) != len(scale):
            raise ValueError(f"mean has {len(mean)} features, and scale has {len(scale)}.")
        if self.weights is not None:
            _check_concentration(self.weights)

    def _arrays(self) -> tuple[Array | None, Array | None]:
        """`mean` (n_features,) and `scale` (), (n_features,) or (n_features, n_features), or None, as arrays."""
        mean = None if self.mean is None else check_finite("mean", self.mean)
        return mean, None if self.scale is None else check_finite("scale", self.scale)


def _check_concentration(weights: float | ArrayLike) -> None:
    """Raise ValueError or TypeError for what is no α."""
    result = check_finite("weights", weights)
    if result.ndim > 1 or not result.size:
        raise ValueError(f"weights must be a number or have the shape (n_components,), not {result.shape}.")
    if result.min() < 1:
        raise ValueError(
            f"weights={result.min():g} must be at least 1: below 1 the density has no maximum, because it grows "
            "without bound where a weight goes to 0."
        )


def _check_scale(scale: Array) -> None:
    """Raise ValueError for numbers that are not a covariance; it may be singular where it is not a number."""
    shape = scale.shape
    if scale.ndim > 2 or not scale.size or (scale.ndim == 2 and shape[0] != shape[1]):
        raise ValueError(f"scale must be a number, (n_features,) or (n_features, n_features), not of shape {shape}.")
    variances = np.diagonal(scale) if scale.ndim == 2 else scale
    if not (variances > 0).all():
        raise ValueError("scale must have positive variances.")
    if scale.ndim == 2:
        roots = np.sqrt(variances)
        correlations = scale / (roots[:, None] * roots)
        if not (np.abs(correlations - correlations.T) <= _MAX_ASYMMETRY).all():
            raise ValueError("scale is not symmetric.")
        if np.linalg.eigvalsh(correlations)[0] <= 0:
            raise ValueError("scale is not positive definite.")


Dirichlet.__module__ = NormalInverseWishart.__module__ = "gaussmix"  # where users import them from
