"""Conversion of fitted mixture estimators from scikit-learn to gaussmix, and from gaussmix to scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture

    from gaussmix._src.mixture.mixture import Mixture

# Names of parameters and attributes that have the same meaning in scikit-learn and gaussmix.
_PARAMETERS = ("tol", "max_iter", "n_init", "random_state", "warm_start", "verbose", "verbose_interval")
_OF_THE_START = ("init_params", "weights_init", "means_init", "precisions_init")
_OF_THE_RUN = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_")


def shared_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters of a scikit-learn mixture estimator that `GaussianMixture` of gaussmix also has."""
    names = "n_components", "covariance_type", "reg_covar", *_PARAMETERS, *_OF_THE_START
    values = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    return {name: values[name] for name in names if name in values}


def fit_attributes(estimator: Any) -> dict[str, Any]:
    """Return fit attributes such as `n_iter_`; empty for Bayesian mixtures, whose `lower_bound_` includes the prior."""
    if hasattr(estimator, "weight_concentration_"):
        return {}
    return {name: getattr(estimator, name) for name in _OF_THE_RUN if hasattr(estimator, name)}


def to_sklearn(estimator: Any, mixture: Mixture) -> SklearnMixture:
    """Return a fitted scikit-learn estimator with this mixture, and with the parameters that both libraries have."""
    result = mixture.to_sklearn()
    values = {name: getattr(estimator, name) for name in ("reg_covar", *_PARAMETERS) if hasattr(estimator, name)}
    result.set_params(**{name: value for name, value in values.items() if not isinstance(value, str)})  # omits "auto"
    for name, value in fit_attributes(estimator).items():
        setattr(result, name, value)
    if estimator._fitted.dtype == np.float32:
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            setattr(result, name, getattr(result, name).astype(np.float32))
    return result
