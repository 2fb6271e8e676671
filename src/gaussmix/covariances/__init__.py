"""Covariances as values: spherical, diagonal, dense or of low rank; one for each component, or one for all."""

from gaussmix.covariances.base import Covariances
from gaussmix.covariances.dense import Dense
from gaussmix.covariances.diagonal import Diagonal
from gaussmix.covariances.isotropic import Isotropic
from gaussmix.covariances.low_rank import LowRank

__all__ = ["Covariances", "Dense", "Diagonal", "Isotropic", "LowRank"]
