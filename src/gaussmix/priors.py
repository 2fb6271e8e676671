"""What a user believes of the components before seeing rows: the prior that `GaussianMixture` takes."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_finite
from gaussmix.numerics.arrays import Array, frozen

SHRINKAGE = 0.01  # of `prior="default"`: Fraley & Raftery (2007)
_ASYMMETRY = 1e-8  # relative to the standard deviations


class NormalInverseWishart:
    """A prior of the means and covariances of all components, as `GaussianMixture(prior=…)` takes it.

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

    Raises
    ------
    ValueError : a number is not finite or out of its range, an array has the wrong shape, or `scale` is not a
        covariance.
    TypeError : a value is no number and no array of numbers.

    See Also
    --------
    gaussmix.GaussianMixture : takes it.

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

    def __init__(
        self,
        mean: ArrayLike | None = None,
        shrinkage: float = SHRINKAGE,
        scale: float | ArrayLike | None = None,
        dof: float | None = None,
    ) -> None:
        self.mean = None if mean is None else _numbers("mean", mean)
        if self.mean is not None and (self.mean.ndim != 1 or not self.mean.size):
            raise ValueError(f"mean must have the shape (n_features,), not {self.mean.shape}.")
        self.shrinkage = _number("shrinkage", shrinkage)
        if self.shrinkage < 0:
            raise ValueError(f"shrinkage={shrinkage!r} must be a number ≥ 0.")
        self.scale = None if scale is None else _numbers("scale", scale)
        if self.scale is not None:
            _check_scale(self.scale)
        self.dof = None if dof is None else _number("dof", dof)
        if self.dof is not None and self.dof <= 0:
            raise ValueError(f"dof={dof!r} must be a number above 0.")
        if self.mean is not None and self.scale is not None and self.scale.ndim and len(self.mean) != len(self.scale):
            raise ValueError(f"mean has {len(self.mean)} features, and scale has {len(self.scale)}.")

    @property
    def n_features(self) -> int | None:
        """Number of features; None where it goes with any."""
        if self.mean is not None:
            return len(self.mean)
        return len(self.scale) if self.scale is not None and self.scale.ndim else None

    def values(self) -> dict[str, Any]:
        """The parameters by name, as plain values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    def __eq__(self, other: object) -> bool:
        return self.values() == other.values() if isinstance(other, NormalInverseWishart) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        default = {"mean": None, "shrinkage": SHRINKAGE, "scale": None, "dof": None}
        given = (f"{name}={value!r}" for name, value in self.values().items() if value != default[name])
        return f"{type(self).__name__}({', '.join(given)})"


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}.")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name}={value!r} must be a finite number.")
    return number


def _numbers(name: str, values: Any) -> Array:
    return frozen(np.array(check_finite(name, values)))


def _check_scale(scale: Array) -> None:
    """Raise ValueError for numbers that are no covariance; it may be singular where it is no number."""
    shape = scale.shape
    if scale.ndim > 2 or not scale.size or (scale.ndim == 2 and shape[0] != shape[1]):
        raise ValueError(f"scale must be a number, (n_features,) or (n_features, n_features), not of shape {shape}.")
    variances = np.diagonal(scale) if scale.ndim == 2 else scale
    if not (variances > 0).all():
        raise ValueError("scale must have positive variances.")
    if scale.ndim == 2:
        roots = np.sqrt(variances)
        correlations = scale / (roots[:, None] * roots)
        if not (np.abs(correlations - correlations.T) <= _ASYMMETRY).all():
            raise ValueError("scale is not symmetric.")
        if np.linalg.eigvalsh(correlations)[0] <= 0:
            raise ValueError("scale is not positive definite.")
