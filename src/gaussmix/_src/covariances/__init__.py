"""Immutable covariances of the components: spherical, diagonal, dense or low-rank, per component or shared by all."""

from gaussmix._src.covariances.base import Covariances
from gaussmix._src.covariances.dense import Dense
from gaussmix._src.covariances.diagonal import Diagonal
from gaussmix._src.covariances.isotropic import Isotropic
from gaussmix._src.covariances.low_rank import LowRank

__all__ = ["Covariances", "Dense", "Diagonal", "Isotropic", "LowRank"]
