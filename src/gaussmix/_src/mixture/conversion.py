"""Conversion of known parameters and of fits by other libraries to a `Model`, and conversion to scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_names, check_real
from gaussmix._src.covariances import Covariances, Dense, LowRank
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.families.base import Family, family_named, unconstrained
from gaussmix._src.model import Model, invalid_reason
from gaussmix._src.numerics.arrays import FLOAT32_ERROR, Array, copied, is_symmetric

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

_FITTED = ("covariance_type", "weights_", "means_", "covariances_")
_OF_TORCH = ("covariance_type", "component_probs", "means", "precisions_cholesky")


def from_parameters(
    weights: ArrayLike,
    means: ArrayLike,
    covariances: ArrayLike | None,
    precisions: ArrayLike | None,
    covariance_type: str | Family,
) -> Model:
    """Make a model from known parameters; raises ValueError or TypeError if the parameters are not valid."""
    family = covariance_type if isinstance(covariance_type, Family) else family_named(covariance_type)
    if (covariances is None) == (precisions is None):
        raise ValueError("Pass either covariances or precisions, and not both.")
    if precisions is not None and family.kind is LowRank:
        raise ValueError(
            f"covariance_type={family.name!r} does not support precisions. Pass covariances of shape (n_components, "
            "n_features, n_factors + 1): the loadings, followed by a column of noise variances."
        )
    proportions, centres = copied(check_real("weights", weights)), copied(check_real("means", means))
    if precisions is None:
        matrices = copied(check_real("covariances", covariances))
    else:
        precision_array = copied(check_real("precisions", precisions))
        _check(invalid_reason(proportions, centres, precision_array, family, noun="precision"))
        matrices = family.covariances(_symmetric(family, precision_array), *centres.shape).inverse().array
    _check(invalid_reason(proportions, centres, matrices, family))
    return Model.from_arrays(proportions, centres, _symmetric(family, matrices), family)


def from_sklearn(estimator: Any) -> tuple[Model, tuple[str, ...] | None]:
    """Return the model that a scikit-learn estimator has fitted, and the feature names or None."""
    _check_attributes(estimator, _FITTED, "a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn")
    covariances = np.asarray(estimator.covariances_)
    if covariances.dtype == np.float32:  # rounding errors make float32 matrices slightly asymmetric
        covariances = _symmetric(family_named(estimator.covariance_type), covariances)
    model = from_parameters(estimator.weights_, estimator.means_, covariances, None, estimator.covariance_type)
    names = getattr(estimator, "feature_names_in_", None)
    return model, None if names is None else check_names(names, model.n_features)


def from_torch(estimator: Any) -> Model:
    """Convert a fit of torchgmm or pycave, which store factors U of precisions U Uᵀ in float32, to a float64 model."""
    module = getattr(estimator, "model_", estimator)
    _check_attributes(module, _OF_TORCH, "a fitted GaussianMixture of torchgmm or pycave, or its model_")
    weights, means, factors = (_doubles(name, getattr(module, name)) for name in _OF_TORCH[1:])
    family = family_named(module.covariance_type)
    _check(_invalid_factors(means, factors, family))
    return from_parameters(_scaled(weights), means, _symmetric(family, of_factors(factors, family)), None, family)


def _check_attributes(fitted: Any, names: tuple[str, ...], wanted: str) -> None:
    """Raise TypeError with the advice to pass `wanted` if `fitted` lacks one of the attributes."""
    missing = [name for name in names if not hasattr(fitted, name)]
    if missing:
        raise ParameterTypeError(f"{type(fitted).__name__} has no {missing[0]}: pass {wanted}.")


def of_factors(factors: Array, family: Family) -> Array:
    """Return covariances, given the upper triangular factors U of precisions U Uᵀ, in the shape of `covariances_`."""
    if not family.kind.is_matrix:
        return factors**-2.0
    roots = np.linalg.inv(factors)
    return np.asarray(roots.swapaxes(-1, -2) @ roots)


def _invalid_factors(means: Array, factors: Array, family: Family) -> str | None:
    """Return why factors of precisions are not valid, as the end of a sentence; None if the factors are valid."""
    if means.ndim != 2 or factors.shape != family.shape(*means.shape):
        return f"precisions_cholesky of shape {factors.shape} does not match means of shape {means.shape}"
    if not np.isfinite(factors).all():
        return "precisions_cholesky contains NaN or infinity"
    diagonals = np.diagonal(factors, axis1=-2, axis2=-1) if family.kind.is_matrix else factors
    return None if (diagonals != 0).all() else "a factor has a zero on its diagonal"


def from_cuvs(weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, covariance_type: str) -> Model:
    """Convert arrays of cuVS to a model; the covariances are one flat array, usually in float32."""
    family, proportions, centres = family_named(covariance_type), _doubles("weights", weights), _doubles("means", means)
    flat = _doubles("covariances", covariances)
    if centres.ndim != 2 or flat.size != math.prod(shape := family.shape(*centres.shape)):
        raise ValueError(
            f"means of shape {centres.shape} and covariances with {flat.size} numbers do not match for "
            f"covariance_type={covariance_type!r}."
        )
    matrices = flat.reshape(shape)
    if family.kind.is_matrix and np.isfinite(matrices).all() and not is_symmetric(matrices, FLOAT32_ERROR).all():
        _check("a covariance is not symmetric")
    return from_parameters(_scaled(proportions), centres, _symmetric(family, matrices), None, family)


def _scaled(weights: Array) -> Array:
    """Scale weights so that they sum to 1 up to rounding; return the weights unchanged if their sum is not positive."""
    rounded = np.ldexp(weights, -int(np.frexp(weights.max(initial=0.0))[1]))  # exact scaling; the sum cannot overflow
    return rounded / rounded.sum() if rounded.sum() > 0 else weights


def _doubles(name: str, values: Any) -> Array:
    return np.asarray(check_real(name, values), dtype=np.float64)


def to_sklearn(model: Model, names: tuple[str, ...] | None) -> GaussianMixture:
    """Return a fitted scikit-learn estimator with the distribution of the model."""
    from sklearn.mixture._gaussian_mixture import GaussianMixture  # the original class, even after `patch_sklearn`

    covariances = _repeat_unless_full(model.covariances.to_simple_form())
    family, whitening = unconstrained(covariances), covariances.whitening
    factors = whitening.factors.swapaxes(1, 2) if covariances.is_matrix else whitening.factors
    estimator = GaussianMixture(model.n_components, covariance_type=family.name)
    estimator.weights_, estimator.means_ = np.array(model.weights), np.array(model.means)
    estimator.covariances_ = np.array(covariances.array)
    estimator.precisions_cholesky_ = np.array(replace(covariances, each=factors).array)
    estimator.precisions_ = np.array(covariances.inverse().array)
    estimator.n_features_in_ = model.n_features
    estimator.converged_, estimator.n_iter_, estimator.lower_bound_ = True, 0, -np.inf
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def _repeat_unless_full(covariances: Covariances) -> Covariances:
    """Repeat shared covariances per component unless they are full; scikit-learn's only shared structure is full."""
    if isinstance(covariances, Dense) or not covariances.is_shared:
        return covariances
    return replace(covariances, each=covariances.for_all(covariances.each), is_shared=False)


def _symmetric(family: Family, matrices: Array) -> Array:
    """Make matrices exactly symmetric, because rounding may have left small differences."""
    return 0.5 * matrices + 0.5 * matrices.swapaxes(-1, -2) if family.kind.is_matrix else matrices


def _check(wrong: str | None) -> None:
    if wrong is not None:
        raise ValueError(f"Not a valid mixture: {wrong}.")
