"""Principal axes of single matrices, and the best common axes of several matrices."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum

MAX_SWEEPS = 1000  # the same as kMaxSweeps in cpp/families/axes.cpp


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


def shared_axes(scatters: Array, start: Array, importance: Array | None, max_sweeps: int = MAX_SWEEPS) -> Array:
    """Return axes D that minimise Σ_k c_k log Π_j (DᵀS_kD)_jj, by rotations from `start` that never raise the sum.

    Parameters
    ----------
    scatters : scatter matrices S_k of the components, (n_components, d, d), in data units².
    start : initial axes, the orthonormal columns of a matrix (d, d).
    importance : weights c_k, (n_components,). If c_k is the total weight of component k, the axes are common principal
        components (Flury 1984, JASA 79). If `importance` is None, the function minimises Σ_k Π_j (DᵀS_kD)_jj^(1/d).
    max_sweeps : maximum number of sweeps over all pairs of axes.

    Notes
    -----
    A rotation by θ in the plane of the axes p and q gives variances with v_p v_q = m² − t², where m = (v_p + v_q) / 2,
    h = (v_p − v_q) / 2, o = (DᵀSD)_pq and t = (cos 2θ, sin 2θ) · (h, o). Both log(m² − t²) and (m² − t²)^(1/d) are
    concave in t², so their tangents in t² are upper bounds, and the minimum of the bounds has a closed form. Except for
    the exact rotations, this is the majorise–minimise algorithm of Browne & McNicholas (2014).
    """
    start = np.ascontiguousarray(start)
    return native_target().shared_axes(np.ascontiguousarray(scatters), start, importance, max_sweeps)


def common_axes(covariances: Array) -> Array:
    """Return the axes that covariances (n_components, d, d) have in common, as the columns of a matrix (d, d).

    `shared_axes` starts from the axes of a sum of the covariances. The weights in this sum are unequal, because an
    unweighted sum may have equal eigenvalues, which make the axes arbitrary.
    """
    sizes = np.trace(covariances, axis1=1, axis2=2)
    indices = np.arange(1.0, len(sizes) + 1)
    mixed: Array = einsum("kij,k->ij", covariances, 1 / (sizes * indices))
    return shared_axes(covariances, principal_axes(mixed[None])[1][0], 1 / indices)
