"""Gaussian mixture models: fast, exact, complete."""

import atexit as _atexit
import sys as _sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussmix._src.em.step.online import Rate as Rate
    from gaussmix._src.errors import DegenerateError as DegenerateError
    from gaussmix._src.errors import NotAModelFile as NotAModelFile
    from gaussmix._src.errors import Outcome as Outcome
    from gaussmix._src.errors import SingularCovariance as SingularCovariance
    from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture as BayesianGaussianMixture
    from gaussmix._src.estimators.classifier import GaussianMixtureClassifier as GaussianMixtureClassifier
    from gaussmix._src.estimators.detector import GaussianMixtureDetector as GaussianMixtureDetector
    from gaussmix._src.estimators.gaussian_mixture import GaussianMixture as GaussianMixture
    from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC as GaussianMixtureIC
    from gaussmix._src.estimators.imputer import GaussianMixtureImputer as GaussianMixtureImputer
    from gaussmix._src.estimators.reducer import GaussianMixtureReducer as GaussianMixtureReducer
    from gaussmix._src.estimators.regressor import GaussianMixtureRegressor as GaussianMixtureRegressor
    from gaussmix._src.families import FAMILIES as FAMILIES
    from gaussmix._src.families.factor_analyzer import FactorAnalyzer as FactorAnalyzer
    from gaussmix._src.families.structures import EEI as EEI
    from gaussmix._src.families.structures import EII as EII
    from gaussmix._src.families.structures import Diag as Diag
    from gaussmix._src.families.structures import Full as Full
    from gaussmix._src.families.structures import Spherical as Spherical
    from gaussmix._src.families.structures import Tied as Tied
    from gaussmix._src.functions.comparing import compare as compare
    from gaussmix._src.functions.fit_many import fit_many as fit_many
    from gaussmix._src.functions.loading import load as load
    from gaussmix._src.functions.order_tests import em_test as em_test
    from gaussmix._src.functions.order_tests import likelihood_ratio_test as likelihood_ratio_test
    from gaussmix._src.functions.order_tests import n_components_test as n_components_test
    from gaussmix._src.mixture.compare.estimate import Estimate as Estimate
    from gaussmix._src.mixture.compare.merging import Merging as Merging
    from gaussmix._src.mixture.explaining import Explanation as Explanation
    from gaussmix._src.mixture.mixture import Mixture as Mixture
    from gaussmix._src.mixture.mixtures import Mixtures as Mixtures
    from gaussmix._src.mixture.parts.modality import Modes as Modes
    from gaussmix._src.mixture.predictive import Predictive as Predictive
    from gaussmix._src.noise import Noise as Noise
    from gaussmix._src.priors import Dirichlet as Dirichlet
    from gaussmix._src.priors import NormalInverseWishart as NormalInverseWishart
    from gaussmix._src.report.bootstrap import Bootstrap as Bootstrap
    from gaussmix._src.report.inference import Estimates as Estimates
    from gaussmix._src.report.inference import Inference as Inference
    from gaussmix._src.report.inference import OfMixture as OfMixture
    from gaussmix._src.report.mixture_posterior import MixturePosterior as MixturePosterior
    from gaussmix._src.report.order_test import OrderTest as OrderTest
    from gaussmix._src.report.summary import Summary as Summary
    from gaussmix._src.restrictions import Restrictions as Restrictions
    from gaussmix._src.sources.opening import open as open
    from gaussmix.patched import patch_sklearn as patch_sklearn
    from gaussmix.patched import unpatch_sklearn as unpatch_sklearn

    __version__: str

# The public names of each module. A module is imported when one of its names is first used, so that the command line
# answers --help at once.
_NAMES = {
    "_src.em.step.online": "Rate",
    "_src.errors": "DegenerateError NotAModelFile Outcome SingularCovariance",
    "_src.estimators.bayesian_gaussian_mixture": "BayesianGaussianMixture",
    "_src.estimators.classifier": "GaussianMixtureClassifier",
    "_src.estimators.detector": "GaussianMixtureDetector",
    "_src.estimators.gaussian_mixture": "GaussianMixture",
    "_src.estimators.gaussian_mixture_ic": "GaussianMixtureIC",
    "_src.estimators.imputer": "GaussianMixtureImputer",
    "_src.estimators.reducer": "GaussianMixtureReducer",
    "_src.estimators.regressor": "GaussianMixtureRegressor",
    "_src.families": "FAMILIES",
    "_src.families.factor_analyzer": "FactorAnalyzer",
    "_src.families.structures": "Diag EEI EII Full Spherical Tied",
    "_src.functions.comparing": "compare",
    "_src.functions.fit_many": "fit_many",
    "_src.functions.loading": "load",
    "_src.functions.order_tests": "em_test likelihood_ratio_test n_components_test",
    "_src.mixture.compare.estimate": "Estimate",
    "_src.mixture.compare.merging": "Merging",
    "_src.mixture.explaining": "Explanation",
    "_src.mixture.mixture": "Mixture",
    "_src.mixture.mixtures": "Mixtures",
    "_src.mixture.parts.modality": "Modes",
    "_src.mixture.predictive": "Predictive",
    "_src.noise": "Noise",
    "_src.priors": "Dirichlet NormalInverseWishart",
    "_src.report.bootstrap": "Bootstrap",
    "_src.report.inference": "Estimates Inference OfMixture",
    "_src.report.mixture_posterior": "MixturePosterior",
    "_src.report.order_test": "OrderTest",
    "_src.report.summary": "Summary",
    "_src.restrictions": "Restrictions",
    "_src.sources.opening": "open",
    "patched": "patch_sklearn unpatch_sklearn",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
# Imported by name: they need more packages, or are for tests.
_MODULES = ("anndata", "export", "extend", "plot", "spark", "testing")


def _end_gil_requests() -> None:
    """Let daemon threads that are in the core sleep, so that the process can end; cpp/gil.hpp says why."""
    if (core := _sys.modules.get("gaussmix._core")) is not None:
        core.end_gil_requests()


_atexit.register(_end_gil_requests)  # early, because what is registered later runs before it, and may join threads
# An import of * would replace the functions `load` and `open` of others.
__all__ = sorted(_HOMES.keys() - {"load", "open"}, key=lambda name: (not name.isupper(), name))

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name. Raises AttributeError where there is no such name."""
        if name == "__version__":
            value: object = import_module("gaussmix._src.version").package_version()
        elif name in _HOMES:
            value = getattr(import_module(f"gaussmix.{_HOMES[name]}"), name)
        else:
            raise AttributeError(f"module 'gaussmix' has no attribute {name!r}{_hint(name)}")
        globals()[name] = value
        return value

    def _hint(name: str) -> str:
        """What to use instead of a name that is not here, as the end of a sentence; empty where nothing is near."""
        if name.startswith("_"):  # programs ask for names that begin so
            return ""
        if import_module("importlib.util").find_spec(f"gaussmix.{name}"):
            return f" yet: import gaussmix.{name}"
        if name.endswith("Display"):
            return ": import it from gaussmix.plot"
        other = import_module("gaussmix._src.other_names").OF_PACKAGE.get(name.lower())
        if other is not None:
            return f". Use {other}."
        names, full = {each.lower(): each for each in _HOMES}, name.lower().replace("gmm", "gaussianmixture")
        return "".join(f". Use {names[near]}." for near in import_module("difflib").get_close_matches(full, names, 1))

    def __dir__() -> list[str]:
        return sorted({*_HOMES, "__version__"} | (globals().keys() & set(_MODULES)))
