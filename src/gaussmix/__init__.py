"""Gaussian mixture models: fast, exact, complete."""

from importlib.metadata import version

from gaussmix.errors import NotAModelFile, Outcome, SingularCovariance
from gaussmix.facade.gaussian_mixture import GaussianMixture
from gaussmix.facade.mixture_ic import GaussianMixtureIC
from gaussmix.families import FAMILIES
from gaussmix.mixture.mixture import Mixture
from gaussmix.prediction.classifier import GaussianMixtureClassifier
from gaussmix.prediction.detector import GaussianMixtureDetector
from gaussmix.prediction.imputer import GaussianMixtureImputer
from gaussmix.prediction.regressor import GaussianMixtureRegressor

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
]

__version__ = version("gaussmix")
