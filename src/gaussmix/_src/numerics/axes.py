"""Principal axes of matrices, and the best common axes of several."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum

MAX_SWEEPS = 100


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues (n, d), largest first, and eigenvectors (n, d, d), in columns, of positive semidefinite matrices.

    Parameters
    ----------
    matrices : (n, d, d), symmetric. One that holds infinity or NaN counts as 0, which has no Cholesky factor.

    Notes
    -----
    The core's small eigenvalues have all the digits that correlations determine (cpp/kernels/principal_axes.hpp).
    """
    return native_target().principal_axes(np.ascontiguousarray(matrices))


def shared_axes(scatters: Array, start: Array, importance: Array | None, max_sweeps: int = MAX_SWEEPS) -> Array:
    """Axes D that make Σ_k c_k log Π_j (DᵀS_kD)_jj smallest near `start`, by rotations that never raise it.

    Parameters
    ----------
    scatters : (n_components, d, d), S_k, data units².
    start : (d, d), orthonormal columns.
    importance : (n_components,), c_k. If these are the masses, D are Flury's common principal components (1984,
        Journal of the American Statistical Association 79). None minimises Σ_k Π_j (DᵀS_kD)_jj^(1/d) instead.
    max_sweeps : limit on sweeps over all pairs.

    Notes
    -----
    A rotation by θ in the plane of axes p, q makes v_p v_q = m² − t², with m = (v_p + v_q) / 2 and
    t = (cos 2θ, sin 2θ) · (h, o), h = (v_p − v_q) / 2, o = (DᵀSD)_pq. Both log(m² − t²) and (m² − t²)^(1/d) are concave
    in t², thus below their tangent, which is lowest in closed form: majorise–minimise as in Browne & McNicholas (2014,
    Advances in Data Analysis and Classification 8), by exact rotations.
    """
    start = np.ascontiguousarray(start)
    return native_target().shared_axes(np.ascontiguousarray(scatters), start, importance, max_sweeps)


def common_axes(covariances: Array) -> Array:
    """The axes (d, d), in columns, that covariances (n_components, d, d) share.

    They are those of a weighted sum, then rotated in case the sum has equal variances.
    """
    sizes = np.trace(covariances, axis1=1, axis2=2)
    indices = np.arange(1.0, len(sizes) + 1)
    mixed: Array = einsum("kij,k->ij", covariances, 1 / (sizes * indices))
    return shared_axes(covariances, principal_axes(mixed[None])[1][0], 1 / indices)
