"""Prior distributions of the parameters, which `GaussianMixture` accepts as `prior`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_finite, check_nonnegative, check_positive
from gaussmix._src.numerics.arrays import Array, is_symmetric
from gaussmix._src.value import Value

SHRINKAGE = 0.01  # default κ of Fraley & Raftery (2007), also for prior="default"


@dataclass(frozen=True, eq=False, repr=False)
class Dirichlet(Value):
    """Dirichlet prior on the weights, for `GaussianMixture(prior=…)`.

    Parameters
    ----------
    weights : float or array-like (n_components,)
        Concentration α ≥ 1. The prior acts like α − 1 additional rows in each component, so α = 1 has no effect.

    Raises
    ------
    ValueError : if a value is below 1 or not finite, or `weights` has more than one axis.
    TypeError : if `weights` is neither a number nor an array of numbers.

    See Also
    --------
    gaussmix.NormalInverseWishart : prior on means and covariances, and optionally on weights.

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
    """Normal inverse Wishart prior on means and covariances, and optionally on weights, for `GaussianMixture(prior=…)`.

    The means are normally distributed about a common centre, and the covariances have an inverse Wishart distribution::

        p(μ_k, Σ_k) ∝ |Σ_k|^(−(ν + d + 2) / 2) exp(−½ tr(Λ Σ_k⁻¹) − ½ κ (μ_k − μ_p)ᵀ Σ_k⁻¹ (μ_k − μ_p))

    Fits with this prior maximise the posterior density. Parameters that are None get the values of Fraley & Raftery
    (2007), so that ``NormalInverseWishart()`` is the same as ``prior="default"``.

    Parameters
    ----------
    mean : array-like (n_features,), default None
        Point μ_p, in data units, to which means are shrunk. By default, μ_p is the mean of the rows.
    shrinkage : float, default 0.01
        Weight κ ≥ 0 of `mean`, as a number of rows. With ``shrinkage=0``, means are not shrunk.
    scale : float or array-like (n_features,) or (n_features, n_features), default None
        Scale Λ, in data units². A number stands for the same value for every feature, and n_features values stand for
        a diagonal matrix. Structures without orientation and factor analysers use only the diagonal of Λ. For
        "spherical" and EII, the prior of the variance σ² is ∝ … exp(−λ / (2 σ²)), where λ is the mean of the diagonal.
        By default, Λ is the covariance of the rows divided by K^(2 / n_features): only the diagonal for factor
        analysers, and the mean of the diagonal for structures without orientation.
    dof : float, default None
        Degrees of freedom ν, above n_features − 1 for structures with covariance matrices, and above 0 for other
        structures. By default, ν is n_features + 2, or 3 for factor analysers.
    weights : float or array-like (n_components,), default None
        Concentration α ≥ 1 of an additional `Dirichlet` prior on the weights. By default, the weights have no prior.

    Raises
    ------
    ValueError : if a value is not finite or out of its range, an array has the wrong shape, or `scale` is not a
        covariance.
    TypeError : if a value is neither a number nor an array of numbers.

    See Also
    --------
    gaussmix.GaussianMixture : the estimator that has the parameter `prior`.
    gaussmix.Dirichlet : prior on the weights only.

    Notes
    -----
    The degrees of freedom ν act like additional rows in a component. The number of additional rows depends on the
    covariance structure; see the table in `docs/guide/priors.md`.

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
            raise ValueError(f"mean must have shape (n_features,), but has shape {mean.shape}.")
        check_nonnegative("shrinkage", self.shrinkage)
        if scale is not None:
            _check_scale(scale)
        if self.dof is not None:
            check_positive("dof", self.dof)
        if mean is not None and scale is not None and scale.ndim and len(mean) != len(scale):
            raise ValueError(f"mean has {len(mean)} features, but scale has {len(scale)}.")
        if self.weights is not None:
            _check_concentration(self.weights)

    def _arrays(self) -> tuple[Array | None, Array | None]:
        """Return `mean` and `scale`, each as an array or None; `scale` is a number, variances or a matrix."""
        mean = None if self.mean is None else check_finite("mean", self.mean)
        return mean, None if self.scale is None else check_finite("scale", self.scale)


def _check_concentration(weights: float | ArrayLike) -> None:
    """Raise ValueError or TypeError if `weights` is not a valid Dirichlet concentration α."""
    result = check_finite("weights", weights)
    if result.ndim > 1 or not result.size:
        raise ValueError(f"weights must be a number or have shape (n_components,), but has shape {result.shape}.")
    if result.min() < 1:
        raise ValueError(
            f"weights={result.min():g} must be at least 1. Below 1, the prior density has no maximum, because it "
            "grows without bound as a weight goes to 0."
        )


def _check_scale(scale: Array) -> None:
    """Raise ValueError if `scale` is not a valid covariance; a matrix must be positive definite."""
    shape = scale.shape
    if scale.ndim > 2 or not scale.size or (scale.ndim == 2 and shape[0] != shape[1]):
        raise ValueError(f"scale must be a number, (n_features,) or (n_features, n_features), not of shape {shape}.")
    variances = np.diagonal(scale) if scale.ndim == 2 else scale
    if not (variances > 0).all():
        raise ValueError("scale must have positive variances.")
    if scale.ndim == 2:
        if not is_symmetric(scale):
            raise ValueError("scale is not symmetric.")
        roots = np.sqrt(variances)
        if np.linalg.eigvalsh(scale / (roots[:, None] * roots))[0] <= 0:
            raise ValueError("scale is not positive definite.")


Dirichlet.__module__ = NormalInverseWishart.__module__ = "gaussmix"  # the module from which users import the classes
