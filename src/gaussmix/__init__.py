"""Gaussian mixture models: fast, exact, complete."""

import atexit as _atexit
import sys as _sys
from importlib import import_module

# Public names, listed under the modules that define them. A module is imported when one of its names is first used, so
# that the command line can print its help without importing everything.
_NAMES = {
    "_src.errors": "DegenerateError InvalidModelFileError SingularCovarianceError",
    "_src.estimators.bayesian_gaussian_mixture": "BayesianGaussianMixture",
    "_src.estimators.classifier": "GaussianMixtureClassifier",
    "_src.estimators.detector": "GaussianMixtureDetector",
    "_src.estimators.gaussian_mixture": "GaussianMixture",
    "_src.estimators.gaussian_mixture_ic": "GaussianMixtureIC",
    "_src.estimators.imputer": "GaussianMixtureImputer",
    "_src.estimators.reducer": "GaussianMixtureDimensionReducer",
    "_src.estimators.regressor": "GaussianMixtureRegressor",
    "_src.families": "FAMILIES",
    "_src.families.factor_analyzer": "FactorAnalyzer",
    "_src.families.structures": "Diag EEI EII Full Spherical Tied",
    "_src.fit.fitted": "Outcome",
    "_src.forgetting": "ForgettingRate",
    "_src.functions.comparing": "compare",
    "_src.functions.fit_many": "fit_many",
    "_src.functions.loading": "load",
    "_src.functions.component_number_tests": "em_test likelihood_ratio_test n_components_test",
    "_src.mixture.compare.estimate": "Estimate",
    "_src.mixture.compare.merging": "Merging",
    "_src.mixture.explaining": "Explanation",
    "_src.mixture.mixture": "Mixture",
    "_src.mixture.mixtures": "Mixtures",
    "_src.mixture.parts.modality": "Modes",
    "_src.mixture.predictive": "PredictiveDistribution",
    "_src.noise": "Noise",
    "_src.priors": "Dirichlet NormalInverseWishart",
    "_src.report.bootstrap": "Bootstrap",
    "_src.report.estimates": "MixtureEstimates ParameterEstimates",
    "_src.report.inference": "Inference",
    "_src.report.mixture_posterior": "MixturePosterior",
    "_src.report.component_number_test": "ComponentNumberTest",
    "_src.report.summary": "Summary",
    "_src.restrictions": "Restrictions",
    "_src.sources.opening": "open",
    "patched": "patch_sklearn unpatch_sklearn",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
# Modules that users must import by name, because the modules need more packages or are for tests.
_MODULES = ("anndata", "export", "extend", "plot", "spark", "testing")


def _end_gil_requests() -> None:
    """Make daemon threads in the C++ core sleep, so that the process can end; cpp/gil.hpp explains the reason."""
    if (core := _sys.modules.get("gaussmix._core")) is not None:
        core.end_gil_requests()


_atexit.register(_end_gil_requests)  # registered first and thus called last, after functions that may join threads
# `load` and `open` are left out, so that `from gaussmix import *` does not hide other functions of these names.
__all__ = sorted(_HOMES.keys() - {"load", "open"}, key=lambda name: (not name.isupper(), name))


def __getattr__(name: str) -> object:
    """Import a public name at its first use; raises AttributeError if the name does not exist."""
    if name == "__version__":
        value: object = import_module("gaussmix._src.version").package_version()
    elif name in _HOMES:
        value = getattr(import_module(f"gaussmix.{_HOMES[name]}"), name)
    else:
        # Names with a leading underscore get no hint, because programs that try them expect a plain AttributeError.
        hint = "" if name.startswith("_") else import_module("gaussmix._src.other_names").of_package(name, _HOMES)
        # An ImportError is raised, because `from gaussmix import …` would discard the message of an AttributeError.
        if hint[:1] in (".", ":") and _sys._getframe(1).f_code.co_name == "_handle_fromlist":
            raise ImportError(f"cannot import name {name!r} from 'gaussmix'{hint}")
        raise AttributeError(f"module 'gaussmix' has no attribute {name!r}{hint}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOMES, "__version__"} | (globals().keys() & set(_MODULES)))
