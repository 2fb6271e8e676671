"""Names that other packages use, with the equivalents in gaussmix, and errors that suggest these equivalents."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

# Names in lower case that users may look for in `gaussmix`, and what to use instead.
OF_PACKAGE = {
    "adjustedrandindex": "sklearn.metrics.adjusted_rand_score",
    "bic": "the method bic of a fitted estimator",
    "cdfmclust": "mixture_.cdf(rows) of a fitted estimator",
    "clustcombi": "the method merge of a fitted estimator",
    "cluster": "GaussianMixture(n_components).fit_predict(X)",
    "densitymclust": "GaussianMixtureIC",
    "dpgmm": "BayesianGaussianMixture",
    "em": "GaussianMixture",
    "emcontrol": "tol and max_iter of an estimator",
    "estep": "mixture_.responsibilities(rows) of a fitted estimator",
    "fit": "GaussianMixture(n_components).fit(X)",
    "fitgmdist": "GaussianMixture(n_components).fit(X)",
    "gmdistribution": "Mixture.from_parameters(weights, means, covariances)",
    "hc": 'init_params="hierarchical" of an estimator',
    "imputedata": "GaussianMixtureImputer",
    "load_model": "load(path)",
    "mclust": "GaussianMixtureIC",
    "mclustbic": "GaussianMixtureIC",
    "mclustbootstrap": "the method bootstrap of a fitted estimator",
    "mclustbootstraplrt": "likelihood_ratio_test",
    "mclustda": "GaussianMixtureClassifier",
    "mclustdr": "GaussianMixtureDimensionReducer",
    "mclusticl": 'GaussianMixtureIC(criterion="icl")',
    "mclustssc": "GaussianMixtureClassifier",
    "me": "GaussianMixture(n_components, init_params=responsibilities)",
    "mstep": "GaussianMixture(n_components, init_params=responsibilities, max_iter=0)",
    "predict": "the method predict of a fitted estimator",
    "priorcontrol": 'prior="default" of an estimator',
    "quantilemclust": "mixture_.quantile(p) of a fitted estimator",
    "read_csv": "open(path)",
    "read_parquet": "open(path)",
    "sample": "the method sample of a fitted estimator or mixture",
    "save": "the method save of a fitted estimator or mixture",
    "sim": "the method sample of a fitted estimator or mixture",
    "vbgmm": "BayesianGaussianMixture",
}
# Private methods of scikit-learn that some programs call, and what to use instead.
PRIVATE = {
    "_estimate_log_prob": "mixture_.component_log_density(X)",
    "_estimate_weighted_log_prob": "mixture_.component_log_density(X) + np.log(weights_)",
    "_estimate_log_weights": "np.log(weights_)",
    "_estimate_log_prob_resp": "score_samples(X) and predict_proba(X)",
    "_estimate_log_gaussian_prob": "mixture_.component_log_density(X)",
    "_get_parameters": "mixture_, or weights_, means_, covariances_ and precisions_cholesky_",
    "_e_step": "score(X) and predict_proba(X)",
    "_m_step": "fit(X) with init_params=responsibilities and max_iter=0",
    "_initialize_parameters": "fit(X) with max_iter=0, which keeps the initial mixture",
    "_compute_precision_cholesky": "precisions_cholesky_",
    "_compute_lower_bound": "lower_bound_",
    "_check_parameters": "Mixture.from_parameters(weights, means, covariances), which checks them",
    "_check_X": "predict(X), which also checks X",
}
# Attributes and methods in gaussmix, each with equivalent attributes of fitted estimators in other packages.
_ANSWERS = {
    "aic(X)": "aic_",
    "GaussianMixtureIC itself, which is the best estimator after fit": "best_estimator_ best_model_",
    "GaussianMixtureIC, which has n_components_, covariance_type_ and results_": "best_params_",
    "bic(X), or results_ of a GaussianMixtureIC": "bic_ BIC",
    'summary(X), which lists ICL, or GaussianMixtureIC(criterion="icl")': "icl icl_",
    "means_": "centers_ centroids_ cluster_centers_ mu_",
    "labels_": "labels classification_ clusters_ predictions_",
    "covariances_": "cov_ covariance_ covars_ covs_ sigma_ sigmas_",
    "lower_bound_": "inertia_",
    "lower_bound_ (the mean per row), or score(X)": "log_likelihood_ loglik_ loglikelihood_",
    "fit(X).predict_proba(X)": "fit_transform",
    "predict_proba(X)": (
        "membership_ memberships_ posterior_ predict_log_proba proba_ probabilities_ responsibilities_ z"
    ),
    "n_components": "n_clusters",
    "mixture_.family": "modelName",
    "mixture_.n_components": "G n_clusters_ n_components_",
    "n_iter_": "n_iterations_",
    "n_parameters_": "df",
    "weights_": "pi_ pro",
    "weights_, means_ and covariances_": "parameters",
    "GaussianMixtureIC, which compares several candidates": "results_",
    "score_samples(X)": "scores_",
    "inference(X), whose result has params, bse, cov_params and conf_int": "bse conf_int confint cov_params params",
    "score_samples(X), or a GaussianMixtureDetector, which has decision_function": "decision_function",
    "predict_proba(X), or GaussianMixtureDimensionReducer": "transform",
    "predict_proba(X): 1 minus the largest value of a row": "uncertainty_",
}
# Names of parameters in gaussmix, each with the names in other packages, in lower case.
_ARGUMENTS = {
    "X": "data newdata",
    "by": "group group_by groupby",
    "contamination": "fraction nu outlier_fraction outliers_fraction",
    "covariance_type": "cov_type covariance family modelname modelnames models structure structures",
    "coverage": "confidence mass",
    "criterion": "scoring",
    "init_params": "init initialization start",
    "kind": "type",
    "max_iter": "itmax iterations max_iterations maxiter n_iter",
    "mean_fraction": "lambda_",
    "n_components": "g k n_cluster n_clusters n_class n_classes n_gaussians n_groups ncomp",
    "n_init": "n_starts nstart replicates",
    "n_jobs": "n_threads threads workers",
    "n_resamples": "n_boot n_bootstrap nboot",
    "random_state": "rng seed",
    "reg_covar": "reg regularization regularizationvalue ridge",
    "sample_weight": "w weight weights",
    "tol": "eps epsilon tolerance",
    "weight_concentration_prior": "alpha",
}
# Methods of other packages, and attributes of some estimators, whose equivalents belong to other objects.
_ELSEWHERE = {
    "covariance_type_": "mixture_.family",
    "log_probability": "mixture_.log_density(X)",
    "probability": "mixture_.pdf(X)",
    "summarize": "partial_fit(X) of a GaussianMixture",
    "decision_function": "predict_log_proba(X) of a GaussianMixtureClassifier",
    "plot": "gaussmix.plot.ComponentDisplay.from_estimator(estimator, X)",
    "predict_interval": "predict_quantiles(X, [0.05, 0.95]) of a GaussianMixtureRegressor",
    **{name: f"gaussmix.export.{name}(estimator)" for name in ("to_c", "to_onnx", "to_sql")},
}
# Parameters whose values may be objects with parameters, with the classes of such objects.
_OBJECT = {"covariance_type": "Full", "noise": "Noise", "prior": "NormalInverseWishart", "restrictions": "Restrictions"}
OF_FITTED = {name: answer for answer, names in _ANSWERS.items() for name in names.split()}
OF_ARGUMENTS = {name: ours for ours, names in _ARGUMENTS.items() for name in names.split()}
_START_PARAMETERS = "init_params, which takes a function (X, n_components, rng), or means_init and weights_init"
_STRUCTURE = "a covariance_type of your own (a gaussmix.extend.Family)"
_STEPS = "callbacks, max_time or verbose"
# Private methods of scikit-learn that subclasses override, and parameters with the same effect in gaussmix.
HOOKS = {
    "_m_step": f"restrictions, prior, covariance_type=Full(max_condition=…), or {_STRUCTURE}",
    "_e_step": "labels or X_error in fit, trim or noise",
    "_estimate_log_prob": _STRUCTURE,
    "_estimate_log_weights": "restrictions=Restrictions(equal_weights=True) or prior=Dirichlet(…)",
    "_estimate_weighted_log_prob": f"labels in fit, restrictions, or {_STRUCTURE}",
    "_estimate_log_prob_resp": "labels in fit, trim or noise",
    "_initialize": _START_PARAMETERS,
    "_initialize_parameters": _START_PARAMETERS,
    "_compute_lower_bound": 'callbacks, which can end a fit, or tol="auto"',
    "_check_parameters": "your own method fit, which calls super().fit",
    "_print_verbose_msg_init_beg": _STEPS,
    "_print_verbose_msg_iter_end": _STEPS,
    "_print_verbose_msg_init_end": _STEPS,
    "_get_parameters": "mixture_",
    "_set_parameters": "mixture_, which can be set",
    "_n_parameters": "n_parameters_",
}


def of_package(name: str, ours: Collection[str]) -> str:
    """Return the end of a sentence that suggests a public name for an unknown name; empty if no name is similar."""
    if name.isidentifier() and find_spec(f"gaussmix.{name}"):
        return f" yet: import gaussmix.{name}"
    if name.endswith("Display"):
        return ": import it from gaussmix.plot"
    other = OF_PACKAGE.get(name.lower())
    if other is not None:
        return f". Use {other}."
    names, full = {each.lower(): each for each in ours}, name.lower().replace("gmm", "gaussianmixture")
    return "".join(f". Use {names[near]}." for near in get_close_matches(full, names, 1))


def check_hooks_of(cls: type) -> None:
    """Raise TypeError if a class overrides a private method of scikit-learn, because gaussmix would not call it."""
    for name in HOOKS.keys() & vars(cls).keys():
        raise TypeError(
            f"{cls.__name__} defines {name}, which is never called by gaussmix's fit. Use {HOOKS[name]} instead."
        )


def check_attribute(estimator: Any, name: str) -> None:
    """Raise AttributeError if an attribute has a different name in gaussmix, or belongs to a different object."""
    owner, kind = type(estimator), type(estimator).__name__
    if name in owner._attributes and not hasattr(owner, name):  # set only by `fit`
        estimator._check_fitted()
    if name in PRIVATE:
        raise AttributeError(f"{kind} has no {name}, which is private in scikit-learn: use {PRIVATE[name]}.")
    if name == "cutoff_" and hasattr(owner, name):
        estimator._check_fitted()
        raise AttributeError(f"This {kind} has no cutoff_, because it was not fitted with trim.")
    if name[0] == "_" or hasattr(owner, name) or name in owner.__dataclass_fields__:
        return
    other = _of_estimator(estimator.__class__, name)
    if other:  # obj=None, so that Python adds no suggestion of its own
        raise AttributeError(f"{kind} has no {name}. Use {other}.", name=name, obj=None)


@lru_cache  # `hasattr` calls this function, and similar names are slow to find.
def _of_estimator(owner: type[Any], name: str) -> str:
    """Return what to use instead of an attribute that an estimator class does not have; "" if nothing is similar."""
    Mixture, bare = import_module("gaussmix").Mixture, name.removesuffix("_")
    mixture_name = f"mixture_.{bare}" if bare in {*dir(Mixture), *Mixture.__dataclass_fields__} else ""
    public = [each for each in (*dir(owner), *owner._attributes) if each[0] != "_"]
    near = f"{name}_" if f"{name}_" in public else next(iter(get_close_matches(name, public, 1, 0.75)), "")
    known = {**OF_FITTED, **owner._instead} if hasattr(owner, "_instead") else {}
    ours = known.get(name) or _ELSEWHERE.get(name) or (near if near[-1:] == "_" else mixture_name or near)
    return ours or known.get(f"{name}_", "")


def of_arguments(name: str, ours: Collection[str]) -> str:
    """Return a sentence that suggests which parameter an unknown argument may stand for."""
    other = OF_ARGUMENTS.get(name.lower())
    near = [other] if other in ours else get_close_matches(name.lower(), ours, 1)
    return f"Use {near[0]}." if near else f"Use one of {', '.join(ours)}."


def check_parameter_names(estimator: Any, params: Mapping[str, Any]) -> None:
    """Raise ValueError for a parameter that the estimator lacks, or that belongs to a value without parameters."""
    ours = estimator._get_param_names()
    for name in params:
        own, separator, _ = name.partition("__")
        if own not in ours:
            hint = of_arguments(name, ours)
            raise ValueError(f"Invalid parameter {name!r} for estimator {type(estimator).__name__}. {hint}")
        value = params.get(own, getattr(estimator, own))
        if separator and not hasattr(value, "set_params"):
            hint = f" Set {own} to an object, such as {_OBJECT[own]}()." if own in _OBJECT else ""
            raise ValueError(f"{name} can't be set, because {own}={value!r:.60} has no parameters.{hint}")


def call_error(method: Callable[..., Any], estimator: Any, error: TypeError) -> TypeError:
    """Return the error for a call with wrong arguments, with the estimator's name and a suggested correction."""
    name, (_, *ours) = method.__name__, signature(method).parameters.values()
    owner, unknown = type(estimator), re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not hasattr(owner, name):
        return TypeError(f"{name}() needs an estimator. Create one first: GaussianMixture(n_components).{name}(…).")
    if unknown is None:
        needed = [each.name for each in ours if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
        hint = "Pass it only once." if name == "__init__" else f"Call {name}({', '.join(needed)})."
        if "positional arguments but" in str(error):
            by_name = [f"{each.name}=…" for each in ours if each.kind is each.KEYWORD_ONLY]
            hint = f"Pass the other arguments by name: {', '.join(by_name[:2])}."
    else:
        names = [each.name for each in ours]
        hint, parameter = of_arguments(unknown[1], names), OF_ARGUMENTS.get(unknown[1], unknown[1])
        if (name, parameter) == ("merge", "n_components"):
            hint = "Pass it to predict of the result: merge(X).predict(X, n_clusters=…)."
        elif parameter == "by":
            hint = "Use by of fit_many: fit_many(table, n_components, by=…)."
        elif name != "__init__" and parameter in owner._get_param_names() and parameter not in names:
            hint = f"It is a parameter of the estimator: {owner.__name__}({parameter}=…)."
        elif name in {"__init__", "partial_fit"} and parameter in {*signature(owner.fit).parameters} - {*names}:
            hint = "Pass it to fit: fit(X)." if parameter == "X" else f"Pass it to fit: fit(X, {parameter}=…)."
        elif name == "__init__" and parameter in import_module("gaussmix").GaussianMixture._get_param_names():
            hint = hint if parameter in owner._get_param_names() else "It is a parameter of GaussianMixture."
    text = str(error).partition(". Did you mean")[0]  # Python 3.13 also suggests a name
    text = text.replace(method.__qualname__, f"{owner.__name__}.{name}".removesuffix(".__init__"))
    return TypeError(f"{text}. {hint}")
