"""Fitted estimators of scikit-learn and ours, made of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture

    from gaussmix._src.mixture.mixture import Mixture

# The parameters and the facts of a run that mean the same in both libraries.
_PARAMETERS = ("tol", "max_iter", "n_init", "random_state", "warm_start", "verbose", "verbose_interval")
_OF_THE_START = ("init_params", "weights_init", "means_init", "precisions_init")
_OF_THE_RUN = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_")


def shared_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters of a mixture estimator of scikit-learn that have a meaning here."""
    names = "n_components", "covariance_type", "reg_covar", *_PARAMETERS, *_OF_THE_START
    values = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    return {name: values[name] for name in names if name in values}


def fit_facts(estimator: Any) -> dict[str, Any]:
    """How the fit of a mixture estimator went; of a Bayesian one not, whose bound is another quantity."""
    if hasattr(estimator, "weight_concentration_"):
        return {}
    return {name: getattr(estimator, name) for name in _OF_THE_RUN if hasattr(estimator, name)}


def to_sklearn(estimator: Any, mixture: Mixture) -> SklearnMixture:
    """A fitted estimator of scikit-learn with the mixture, and with the parameters that both know."""
    made = mixture.to_sklearn()
    values = {name: getattr(estimator, name) for name in ("reg_covar", *_PARAMETERS) if hasattr(estimator, name)}
    made.set_params(**{name: value for name, value in values.items() if not isinstance(value, str)})  # "auto" is ours
    for name, value in fit_facts(estimator).items():
        setattr(made, name, value)
    if estimator._fitted.dtype == np.float32:
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            setattr(made, name, getattr(made, name).astype(np.float32))
    return made
