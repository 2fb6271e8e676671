"""Covariances as values: spherical, diagonal, dense or of low rank; one for each component, or one for all."""

from gaussmix.covariances.base import Covariances
from gaussmix.covariances.dense import Dense
from gaussmix.covariances.diagonal import Diagonal
from gaussmix.covariances.low_rank import LowRank
from gaussmix.covariances.spherical import Spherical

__all__ = ["Covariances", "Dense", "Diagonal", "LowRank", "Spherical"]
