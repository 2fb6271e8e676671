"""Gaussian mixture models: fast, exact, complete."""

from importlib.metadata import version

from gaussmix.errors import NotAModelFile, Outcome, SingularCovariance
from gaussmix.facade.gaussian_mixture import GaussianMixture
from gaussmix.facade.mixture_ic import GaussianMixtureIC
from gaussmix.families import FAMILIES
from gaussmix.mixture.mixture import Mixture

__all__ = [
    "FAMILIES",
    "GaussianMixture",
    "GaussianMixtureIC",
    "Mixture",
    "NotAModelFile",
    "Outcome",
    "SingularCovariance",
]

__version__ = version("gaussmix")
