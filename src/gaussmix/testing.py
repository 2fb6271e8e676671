"""Checks for your own covariance structures, sources, methods of initialisation and whitening factors.

Each check raises AssertionError with the actual result, the expected result, and the position of the difference.
"""

from gaussmix._src.testing.check_covariances import check_whitening
from gaussmix._src.testing.check_family import check_family
from gaussmix._src.testing.check_fit import check_equivariance, check_monotone, check_relabelling
from gaussmix._src.testing.check_initialisation import check_initialisation
from gaussmix._src.testing.check_source import check_source
from gaussmix._src.testing.problems import PROBLEMS, Problem

__all__ = [
    "PROBLEMS",
    "Problem",
    "check_equivariance",
    "check_family",
    "check_initialisation",
    "check_monotone",
    "check_relabelling",
    "check_source",
    "check_whitening",
]
