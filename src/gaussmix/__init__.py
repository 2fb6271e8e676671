"""Gaussian mixture models: fast, exact, complete."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussmix.em.online import Rate
    from gaussmix.errors import DegenerateError, NotAModelFile, Outcome, SingularCovariance
    from gaussmix.estimators.classifier import GaussianMixtureClassifier
    from gaussmix.estimators.detector import GaussianMixtureDetector
    from gaussmix.estimators.fit_many import fit_many
    from gaussmix.estimators.gaussian_mixture import GaussianMixture
    from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC
    from gaussmix.estimators.imputer import GaussianMixtureImputer
    from gaussmix.estimators.reducer import GaussianMixtureReducer
    from gaussmix.estimators.regressor import GaussianMixtureRegressor
    from gaussmix.families import FAMILIES
    from gaussmix.families.diag import Diag
    from gaussmix.families.eei import EEI
    from gaussmix.families.eii import EII
    from gaussmix.families.factor_analyzer import FactorAnalyzer
    from gaussmix.families.full import Full
    from gaussmix.families.spherical import Spherical
    from gaussmix.families.tied import Tied
    from gaussmix.mixture.mixture import Mixture
    from gaussmix.mixture.mixtures import Mixtures
    from gaussmix.noise import Noise
    from gaussmix.priors import Dirichlet, NormalInverseWishart
    from gaussmix.restrictions import Restrictions
    from gaussmix.sources.opening import open as open

    __version__: str

__all__ = [
    "EEI",
    "EII",
    "FAMILIES",
    "DegenerateError",
    "Diag",
    "Dirichlet",
    "FactorAnalyzer",
    "Full",
    "GaussianMixture",
    "GaussianMixtureClassifier",
    "GaussianMixtureDetector",
    "GaussianMixtureIC",
    "GaussianMixtureImputer",
    "GaussianMixtureReducer",
    "GaussianMixtureRegressor",
    "Mixture",
    "Mixtures",
    "Noise",
    "NormalInverseWishart",
    "NotAModelFile",
    "Outcome",
    "Rate",
    "Restrictions",
    "SingularCovariance",
    "Spherical",
    "Tied",
    "fit_many",
]  # without `open`: an import of * would replace Python's

_HOMES = {  # the module of each name, imported at its first use: so the command line answers --help at once
    "DegenerateError": "errors",
    "Diag": "families.diag",
    "Dirichlet": "priors",
    "EEI": "families.eei",
    "EII": "families.eii",
    "FAMILIES": "families",
    "FactorAnalyzer": "families.factor_analyzer",
    "Full": "families.full",
    "GaussianMixture": "estimators.gaussian_mixture",
    "GaussianMixtureClassifier": "estimators.classifier",
    "GaussianMixtureDetector": "estimators.detector",
    "GaussianMixtureIC": "estimators.gaussian_mixture_ic",
    "GaussianMixtureImputer": "estimators.imputer",
    "GaussianMixtureReducer": "estimators.reducer",
    "GaussianMixtureRegressor": "estimators.regressor",
    "Mixture": "mixture.mixture",
    "Mixtures": "mixture.mixtures",
    "Noise": "noise",
    "NormalInverseWishart": "priors",
    "NotAModelFile": "errors",
    "Outcome": "errors",
    "Rate": "em.online",
    "Restrictions": "restrictions",
    "SingularCovariance": "errors",
    "Spherical": "families.spherical",
    "Tied": "families.tied",
    "fit_many": "estimators.fit_many",
    "open": "sources.opening",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name. Raises AttributeError where there is no such name."""
        if name == "__version__":
            value: object = import_module("gaussmix.version").package_version()
        elif name in _HOMES:
            value = getattr(import_module(f"gaussmix.{_HOMES[name]}"), name)
        else:
            raise AttributeError(f"module 'gaussmix' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES, "__version__"})
