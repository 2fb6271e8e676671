"""Principal axes of matrices, and the best common axes of several matrices."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum

MAX_SWEEPS = 100


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """Return eigenvalues (n, d), largest first, and eigenvectors (n, d, d), in columns, of semidefinite matrices.

    Parameters
    ----------
    matrices : (n, d, d), symmetric. A matrix that contains infinity or NaN counts as 0, which has no Cholesky factor.

    Notes
    -----
    Small eigenvalues from the core have all the digits that correlations determine (cpp/kernels/principal_axes.hpp).
    """
    return native_target().principal_axes(np.ascontiguousarray(matrices))


def shared_axes(scatters: Array, start: Array, importance: Array | None, max_sweeps: int = MAX_SWEEPS) -> Array:
    """Return axes D that minimise Σ_k c_k log Π_j (DᵀS_kD)_jj near `start`, by rotations that never raise the sum.

    Parameters
    ----------
    scatters : S_k, (n_components, d, d), data units².
    start : initial axes, (d, d), orthonormal columns.
    importance : c_k, (n_components,). If these are the masses, D are Flury's common principal components (1984,
        Journal of the American Statistical Association 79). None minimises Σ_k Π_j (DᵀS_kD)_jj^(1/d) instead.
    max_sweeps : maximum number of sweeps over all pairs of axes.

    Notes
    -----
    A rotation by θ in the plane of axes p, q gives v_p v_q = m² − t², with m = (v_p + v_q) / 2, h = (v_p − v_q) / 2,
    o = (DᵀSD)_pq and t = (cos 2θ, sin 2θ) · (h, o). Both log(m² − t²) and (m² − t²)^(1/d) are concave in t², so they
    are below their tangents, whose minimum has a closed form. Like Browne & McNicholas (2014, Advances in Data Analysis
    and Classification 8), the algorithm is majorise–minimise, but with exact rotations.
    """
    start = np.ascontiguousarray(start)
    return native_target().shared_axes(np.ascontiguousarray(scatters), start, importance, max_sweeps)


def common_axes(covariances: Array) -> Array:
    """Return the axes (d, d), in columns, that covariances (n_components, d, d) share.

    The result is the axes of a weighted sum, rotated afterwards because the sum may have equal variances.
    """
    sizes = np.trace(covariances, axis1=1, axis2=2)
    indices = np.arange(1.0, len(sizes) + 1)
    mixed: Array = einsum("kij,k->ij", covariances, 1 / (sizes * indices))
    return shared_axes(covariances, principal_axes(mixed[None])[1][0], 1 / indices)
