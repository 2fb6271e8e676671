"""What the mixtures of scikit-learn have, by their names, and what it is here; fitted estimators made of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gaussmix.mixture.mixture import Mixture

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture

# What programs call of scikit-learn's private methods, and what to call here.
PRIVATE = {
    "_estimate_log_prob": "mixture_.component_log_density(X)",
    "_estimate_weighted_log_prob": "mixture_.component_log_density(X) + np.log(weights_)",
    "_estimate_log_weights": "np.log(weights_)",
    "_estimate_log_prob_resp": "score_samples(X) and predict_proba(X)",
    "_estimate_log_gaussian_prob": "mixture_.component_log_density(X)",
    "_get_parameters": "mixture_, or weights_, means_, covariances_ and precisions_cholesky_",
    "_e_step": "score(X) and predict_proba(X)",
    "_m_step": "fit(X) with init_params=responsibilities and max_iter=0",
    "_initialize_parameters": "fit(X) with max_iter=0, which returns the start",
    "_compute_precision_cholesky": "precisions_cholesky_",
    "_compute_lower_bound": "lower_bound_",
    "_check_parameters": "Mixture.from_parameters(weights, means, covariances), which checks them",
    "_check_X": "predict(X), which checks X",
}
# What people ask of a fitted estimator by the names of other packages.
INSTEAD = {
    "aic_": "aic(X)",
    "bic_": "bic(X), or results_ of a GaussianMixtureIC",
    "best_estimator_": "GaussianMixtureIC itself, which is the best after fit",
    "cluster_centers_": "means_",
    "covariance_": "covariances_",
    "covars_": "covariances_",
    "inertia_": "lower_bound_",
    "n_clusters": "n_components",
    "n_components_": "mixture_.n_components",
    "probabilities_": "predict_proba(X)",
    "responsibilities_": "predict_proba(X)",
    "results_": "GaussianMixtureIC, which compares several candidates",
    "transform": "predict_proba(X), or GaussianMixtureReducer",
}
_STARTS = "init_params, which takes a function (X, n_components, rng), or means_init and weights_init"
_STRUCTURE = "a covariance_type of your own (a gaussmix.families.base.Family)"
_STEPS = "callbacks, max_time or verbose"
# What programs override of them, and what does it here.
HOOKS = {
    "_m_step": f"restrictions, prior, covariance_type=Full(max_condition=…), or {_STRUCTURE}",
    "_e_step": "labels or X_error in fit, trim or noise",
    "_estimate_log_prob": _STRUCTURE,
    "_estimate_log_weights": "restrictions=Restrictions(equal_weights=True) or prior=Dirichlet(…)",
    "_estimate_weighted_log_prob": f"labels in fit, restrictions, or {_STRUCTURE}",
    "_estimate_log_prob_resp": "labels in fit, trim or noise",
    "_initialize": _STARTS,
    "_initialize_parameters": _STARTS,
    "_compute_lower_bound": 'callbacks, which can end a fit, or tol="auto"',
    "_check_parameters": "a fit of your own, which calls super().fit",
    "_print_verbose_msg_init_beg": _STEPS,
    "_print_verbose_msg_iter_end": _STEPS,
    "_print_verbose_msg_init_end": _STEPS,
    "_get_parameters": "mixture_",
    "_set_parameters": "mixture_, which can be set",
    "_n_parameters": "n_parameters_",
}
# The parameters and the facts of a run that mean the same in both libraries.
_PARAMETERS = ("tol", "max_iter", "n_init", "random_state", "warm_start", "verbose", "verbose_interval")
_OF_THE_START = ("init_params", "weights_init", "means_init", "precisions_init")
_OF_THE_RUN = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_")


def instead_of(kind: str, name: str) -> AttributeError:
    """The error for a private method of scikit-learn."""
    return AttributeError(f"{kind} has no {name}, which is private in scikit-learn: use {PRIVATE[name]}.")


def parameters_of(estimator: Any) -> dict[str, Any]:
    """The parameters of a mixture estimator of scikit-learn that have a meaning here."""
    names = "n_components", "covariance_type", "reg_covar", *_PARAMETERS, *_OF_THE_START
    given = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    return {name: given[name] for name in names if name in given}


def facts_of(estimator: Any) -> dict[str, Any]:
    """How the fit of a mixture estimator went; of a Bayesian one not, whose bound is another quantity."""
    if hasattr(estimator, "weight_concentration_"):
        return {}
    return {name: getattr(estimator, name) for name in _OF_THE_RUN if hasattr(estimator, name)}


def to_sklearn(estimator: Any, mixture: Mixture) -> SklearnMixture:
    """A fitted estimator of scikit-learn with the mixture, and with the parameters that both know."""
    made = mixture.to_sklearn()
    given = {name: getattr(estimator, name) for name in ("reg_covar", *_PARAMETERS) if hasattr(estimator, name)}
    made.set_params(**{name: value for name, value in given.items() if not isinstance(value, str)})  # "auto" is ours
    for name, value in facts_of(estimator).items():
        setattr(made, name, value)
    if estimator._fitted.dtype == np.float32:
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            setattr(made, name, getattr(made, name).astype(np.float32))
    return made
