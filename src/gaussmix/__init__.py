"""Gaussian mixture models: fast, exact, complete."""

from importlib.metadata import version

from gaussmix.errors import NotAModelFile, Outcome, SingularCovariance
from gaussmix.estimators.classifier.classifier import GaussianMixtureClassifier
from gaussmix.estimators.detector import GaussianMixtureDetector
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix.estimators.imputer import GaussianMixtureImputer
from gaussmix.estimators.regressor.regressor import GaussianMixtureRegressor
from gaussmix.families import FAMILIES
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.files import open

__all__ = [
    "FAMILIES",
    "GaussianMixture",
    "GaussianMixtureClassifier",
    "GaussianMixtureDetector",
    "GaussianMixtureIC",
    "GaussianMixtureImputer",
    "GaussianMixtureRegressor",
    "Mixture",
    "NotAModelFile",
    "Outcome",
    "SingularCovariance",
    "open",
]

__version__ = version("gaussmix")
