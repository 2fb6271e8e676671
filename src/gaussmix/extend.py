"""Classes and functions for adding your own covariance structure, source of rows or method of initialisation.

The documentation has examples of a new covariance structure, a new source and a new initialisation, and
`gaussmix.testing` has checks that an extension must pass.
"""

from gaussmix._src.covariances import Covariances, Dense, Diagonal, Isotropic, LowRank
from gaussmix._src.em.initialisation.base import Partition, nearest_centre
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.families.base import Equivariance, Family, register
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.base import check_columns
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.opening import SOURCES

__all__ = [
    "SOURCES",
    "AssignmentRule",
    "Block",
    "Covariances",
    "Dense",
    "Diagonal",
    "DistinctRows",
    "Equivariance",
    "Family",
    "Isotropic",
    "LowRank",
    "MomentSpec",
    "OpenOptions",
    "Partition",
    "Scatter",
    "Source",
    "check_columns",
    "einsum",
    "factorise",
    "nearest_centre",
    "principal_axes",
    "register",
]

# Classes are named after this module only once it is imported. Ray, Spark and joblib use cloudpickle, which copies a
# class whose module is not imported, and a worker that compares its own `AssignmentRule.SOFT` with a member of the copy
# computes wrong sums. Classes of covariances keep their modules, because pickles of fitted estimators contain them.
for _class in (
    AssignmentRule, Block, DistinctRows, Equivariance, Family, MomentSpec, OpenOptions, Partition, Scatter, Source,
):  # fmt: skip
    _class.__module__ = __name__
