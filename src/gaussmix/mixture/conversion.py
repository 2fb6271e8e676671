"""A model from known parameters, and from and to scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_real
from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Family, family_named, unconstrained
from gaussmix.model import Model, flaw
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import copied

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

_FITTED = ("covariance_type", "weights_", "means_", "covariances_")


def from_parameters(
    weights: ArrayLike,
    means: ArrayLike,
    covariances: ArrayLike | None,
    precisions: ArrayLike | None,
    covariance_type: str | Family,
) -> Model:
    """A model of known parameters; raises ValueError where they make none, TypeError where they are not real."""
    family = covariance_type if isinstance(covariance_type, Family) else family_named(covariance_type)
    if (covariances is None) == (precisions is None):
        raise ValueError("Give covariances or precisions, one of the two.")
    shares, centres = copied(check_real("weights", weights)), copied(check_real("means", means))
    if precisions is None:
        matrices = copied(check_real("covariances", covariances))
    else:
        given = copied(check_real("precisions", precisions))
        _check(flaw(shares, centres, given, family, noun="precision"))
        matrices = family.covariances(_symmetric(family, given), *centres.shape).inverse().array
    _check(flaw(shares, centres, matrices, family))
    return Model(shares, centres, family.covariances(_symmetric(family, matrices), *centres.shape), family)


def from_sklearn(estimator: Any) -> tuple[Model, tuple[str, ...] | None]:
    """The model that an estimator of scikit-learn has fitted, and the names of its features."""
    missing = [name for name in _FITTED if not hasattr(estimator, name)]
    if missing:
        what = f"{type(estimator).__name__} has no {missing[0]}"
        raise TypeError(f"{what}: give a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn.")
    covariances = np.asarray(estimator.covariances_)
    if covariances.dtype == np.float32:  # a matrix is symmetric to seven digits only
        covariances = _symmetric(family_named(estimator.covariance_type), covariances)
    model = from_parameters(estimator.weights_, estimator.means_, covariances, None, estimator.covariance_type)
    names = getattr(estimator, "feature_names_in_", None)
    return model, None if names is None else tuple(names)


def to_sklearn(model: Model, names: tuple[str, ...] | None) -> GaussianMixture:
    """A fitted estimator of scikit-learn that has the distribution."""
    from sklearn.mixture import GaussianMixture

    covariances = _as_sklearn_has_it(model.covariances.simple())
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


def _as_sklearn_has_it(covariances: Covariances) -> Covariances:
    """The covariances in a form that scikit-learn has: it shares matrices only."""
    if isinstance(covariances, Dense) or not covariances.is_shared:
        return covariances
    each = np.broadcast_to(covariances.each, (covariances.n_components, *covariances.each.shape[1:]))
    return replace(covariances, each=each, is_shared=False)


def _symmetric(family: Family, matrices: Array) -> Array:
    """The matrices, equal to the bit on both sides of the diagonal where rounding left a difference."""
    return 0.5 * matrices + 0.5 * matrices.swapaxes(-1, -2) if family.kind.is_matrix else matrices


def _check(wrong: str | None) -> None:
    if wrong is not None:
        raise ValueError(f"This is no mixture: {wrong}.")
