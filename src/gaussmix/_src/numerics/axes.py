"""Principal axes of single matrices, and the best common axes of several matrices."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.einsum import einsum


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """Return the eigenvalues of matrices, (n, d), largest first, and the eigenvectors as columns, (n, d, d).

    Parameters
    ----------
    matrices : symmetric semidefinite matrices, (n, d, d). A matrix that contains infinity or NaN is treated as the zero
        matrix, which later checks reject.

    Notes
    -----
    The relative accuracy of small eigenvalues depends only on the correlations (cpp/kernels/principal_axes.hpp).
    """
    return native_target().principal_axes(np.ascontiguousarray(matrices))


def common_axes(covariances: Array) -> Array:
    """Return the axes that covariances (n_components, d, d) have in common, as the columns of a matrix (d, d).

    The C++ core rotates the axes of a sum of the covariances until they fit every covariance
    (cpp/kernels/shared_axes.hpp). The weights in this sum are unequal, because an unweighted sum may have equal
    eigenvalues, which make the axes arbitrary.
    """
    sizes = np.trace(covariances, axis1=1, axis2=2)
    indices = np.arange(1.0, len(sizes) + 1)
    mixed: Array = einsum("kij,k->ij", covariances, 1 / (sizes * indices))
    start = principal_axes(mixed[None])[1][0]
    return native_target().shared_axes(np.ascontiguousarray(covariances), start, 1 / indices, core.MAX_SWEEPS)
