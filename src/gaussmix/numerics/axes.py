"""Principal axes of matrices, and the best common axes of several: by the C++ core, else by NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.contract import contract
from gaussmix.numerics.core import native_target
from gaussmix.numerics.elementary import geometric_mean

# A rotation that gains less than this part of Σ_k c_k is not made: log-likelihoods have no more digits.
TOLERANCE = 4 * float(np.finfo(np.float64).eps)
MOST_SWEEPS = 100
TINY = float(np.finfo(np.float64).tiny)


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues (n, d), largest first, and eigenvectors (n, d, d), in columns, of positive semidefinite matrices.

    Parameters
    ----------
    matrices : (n, d, d), symmetric. One that holds infinity or NaN counts as 0, which has no Cholesky factor.

    Notes
    -----
    The core's small eigenvalues have all the digits that correlations determine (cpp/kernels/principal_axes.hpp).
    LAPACK's eigenvectors are right to ε of the largest eigenvalue. The variances along them are computed again from the
    matrices, because their error is then the square of that of the eigenvectors.
    """
    target = native_target()
    if target is not None:
        return target.principal_axes(np.ascontiguousarray(matrices))
    finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)))
    matrices = matrices if finite.all() else np.where(finite[:, None, None], matrices, 0.0)
    axes: Array = np.linalg.eigh(matrices)[1][:, :, ::-1]
    return np.einsum("kij,kij->kj", np.einsum("kij,kjl->kil", matrices, axes), axes).clip(min=0.0), axes


def shared_axes(scatters: Array, start: Array, importance: Array | None, most: int = MOST_SWEEPS) -> Array:
    """Axes D that make Σ_k c_k log Π_j (DᵀS_kD)_jj smallest near `start`, by rotations that never raise it.

    Parameters
    ----------
    scatters : (n_components, d, d), S_k, data units².
    start : (d, d), orthonormal columns.
    importance : (n_components,), c_k. If these are the masses, D are Flury's common principal components (1984,
        Journal of the American Statistical Association 79). None minimises Σ_k Π_j (DᵀS_kD)_jj^(1/d) instead.
    most : limit on sweeps over all pairs.

    Notes
    -----
    A rotation by θ in the plane of axes p, q makes v_p v_q = m² − t², with m = (v_p + v_q) / 2 and
    t = (cos 2θ, sin 2θ) · (h, o), h = (v_p − v_q) / 2, o = (DᵀSD)_pq. Both log(m² − t²) and (m² − t²)^(1/d) are concave
    in t², thus below their tangent, which is lowest in closed form: majorise–minimise as in Browne & McNicholas (2014,
    Advances in Data Analysis and Classification 8), by exact rotations.
    """
    target = native_target()
    if target is not None:
        return target.shared_axes(np.ascontiguousarray(scatters), np.ascontiguousarray(start), importance, most)
    largest = np.frexp(_diagonals(scatters).max())[1]  # divided by a power of two, squares are in the range of float64
    scaled, axes = np.ldexp(scatters, -largest), start
    turned: Array = np.einsum("jm,kjl->kml", axes, np.einsum("kij,jl->kil", scaled, axes))
    for _ in range(most):
        before = axes
        for one in _rounds(len(start)):
            weights = geometric_mean(_diagonals(turned)) if importance is None else importance
            cosine, sine = one.spread(*_rotation(turned, one.first, one.second, weights))
            axes = cosine * axes + sine * axes[:, one.partner]
            turned = cosine * turned + sine * turned[:, :, one.partner]
            turned = cosine[:, None] * turned + sine[:, None] * turned[:, one.partner]
        if (axes == before).all():
            break
    return axes


def common_axes(covariances: Array) -> Array:
    """The axes (d, d), in columns, that covariances (n_components, d, d) share.

    They are those of a weighted sum, then rotated in case the sum has equal variances.
    """
    sizes = np.trace(covariances, axis1=1, axis2=2)
    places = np.arange(1.0, len(sizes) + 1)
    mixed: Array = contract("kij,k->ij", covariances, 1 / (sizes * places))
    return shared_axes(covariances, principal_axes(mixed[None])[1][0], 1 / places)


def _diagonals(matrices: Array) -> Array:
    return np.diagonal(matrices, axis1=1, axis2=2)


@dataclass(frozen=True)
class _Round:
    """Disjoint pairs of axes, which are rotated at once."""

    # first, second: (n_pairs,), p and q
    first: Places
    second: Places
    partner: Places  # (d,), the other axis of each axis's pair; the axis itself if it has no pair

    def spread(self, cosine: Array, sine: Array) -> tuple[Array, Array]:
        """Factors of each axis and its partner, (d,): p becomes cos · p + sin · q, and q becomes cos · q − sin · p."""
        own, other = np.ones(len(self.partner)), np.zeros(len(self.partner))
        own[self.first], own[self.second] = cosine, cosine
        other[self.first], other[self.second] = sine, -sine
        return own, other


@cache
def _rounds(n_features: int) -> tuple[_Round, ...]:
    """All pairs in rounds of disjoint pairs (the circle method)."""
    places, rounds = list(range(n_features + n_features % 2)), []
    for _ in range(len(places) - 1):
        pairs = zip(places[: len(places) // 2], reversed(places[len(places) // 2 :]), strict=True)
        kept = np.array([sorted(pair) for pair in pairs if max(pair) < n_features], dtype=np.intp).reshape(-1, 2)
        partner = np.arange(n_features)
        partner[kept] = kept[:, ::-1]
        rounds.append(_Round(kept[:, 0], kept[:, 1], partner))
        places = [places[0], places[-1], *places[1:-1]]
    return tuple(rounds)


def _rotation(turned: Array, p: Places, q: Places, importance: Array) -> tuple[Array, Array]:
    """Cosines and sines (n_pairs,) that maximise Σ_k c_k t_k² / (v_p v_q); 1 and 0 if the gain is negligible."""
    first, second, off = turned[:, p, p], turned[:, q, q], turned[:, p, q]
    product, half = first * second, 0.5 * (first - second)
    weight = np.divide(importance[:, None], product, out=np.zeros(product.shape), where=product > 0)
    # The largest of a form A cos² + 2B cos sin + E sin² of the angle 2θ is at half the angle of (A − E, 2B).
    form = ((half - off) * (half + off) + 2j * half * off) * weight
    form = form.sum(axis=0)
    length = np.abs(form)
    gain = np.where(form.real > 0, form.imag**2 / np.maximum(length + form.real, TINY), length - form.real)
    moves = gain > TOLERANCE * importance.sum()
    turn = np.where(moves, np.sqrt(np.sqrt(np.where(moves, form / np.maximum(length, TINY), 1.0))), 1.0)
    return turn.real, turn.imag
