"""Orientations: axes of each matrix, and axes that several matrices share as well as they can."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gaussmix.waist.arrays import Array

# A rotation that gains less, as a part of Σ_k c_k, is not made: log-likelihoods have no more digits.
SETTLED = 4 * float(np.finfo(np.float64).eps)
MOST_SWEEPS = 100

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
Importance = Callable[[Array], Array]


def principal_axes(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues (n, d), largest first, and eigenvectors (n, d, d), in columns, of positive semidefinite matrices.

    LAPACK's eigenvectors are right to ε of the largest eigenvalue. The variances along them are taken anew, for the
    error in these is its square: small ones keep their digits.

    Parameters
    ----------
    matrices : (n, d, d), symmetric. One that holds infinity or NaN is taken for 0, which has no Cholesky factor.
    """
    finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)))
    matrices = matrices if finite.all() else np.where(finite[:, None, None], matrices, 0.0)
    axes: Array = np.linalg.eigh(matrices)[1][:, :, ::-1]
    return np.einsum("kij,kij->kj", np.einsum("kij,kjl->kil", matrices, axes), axes).clip(min=0.0), axes


def shared_axes(scatters: Array, start: Array, importance: Importance) -> Array:
    """Axes D that make Σ_k c_k log Π_j (DᵀS_kD)_jj smallest near `start`, by rotations that never raise it.

    Parameters
    ----------
    scatters : (n_components, d, d), S_k, data units².
    start : (d, d), orthonormal columns.
    importance : c_k (n_components,) of the diagonals (n_components, d) of DᵀS_kD in any unit. Where c_k are the masses,
        these are Flury's common principal components (1984, Journal of the American Statistical Association 79).

    Notes
    -----
    A rotation by θ in the plane of axes p, q makes v_p v_q = m² − t², with m = (v_p + v_q) / 2 and
    t = (cos 2θ, sin 2θ) · (h, o), h = (v_p − v_q) / 2, o = (DᵀSD)_pq. Both log(m² − t²) and (m² − t²)^(1/d) are concave
    in t², thus below their tangent, which is lowest in closed form: majorise–minimise as in Browne & McNicholas (2014,
    Advances in Data Analysis and Classification 8), by exact rotations.
    """

    axes = np.array(start)[None]
    largest = np.frexp(_diagonals(scatters).max())[1]  # divided by a power of two, squares are in the range of float64
    turned = _seen_along(np.ldexp(scatters, -largest), start)
    for _ in range(MOST_SWEEPS):
        if not _sweep(turned, axes, importance):
            break
    found: Array = axes[0]
    return found


def spectra_along(scatters: Array, axes: Array) -> Array:
    """Variances (DᵀS_kD)_jj along shared axes, (n_components, d), not negative."""
    spectra: Array = np.einsum("kij,ij->kj", np.einsum("kij,jl->kil", scatters, axes), axes)
    return spectra.clip(min=0.0)


def composed(axes: Array, variances: Array) -> Array:
    """D_k diag(v_k) D_kᵀ, (n, d, d), of `axes` (n or 1, d, d) and `variances` (n, d) ≥ 0; symmetric to the bit."""
    roots = axes * np.sqrt(variances)[:, None, :]
    product: Array = np.einsum("kij,klj->kil", roots, roots)
    return product


def _seen_along(scatters: Array, axes: Array) -> Array:
    seen: Array = np.einsum("jm,kjl->kml", axes, np.einsum("kij,jl->kil", scatters, axes))
    return seen


def _diagonals(matrices: Array) -> Array:
    return np.diagonal(matrices, axis1=1, axis2=2)


@cache
def _rounds(n_features: int) -> tuple[Pairs, ...]:
    """All pairs p < q in rounds of disjoint ones: one stays, the others walk round the table."""
    if n_features == 1:
        return ()
    places, rounds = list(range(n_features + n_features % 2)), []
    for _ in range(len(places) - 1):
        pairs = zip(places[: len(places) // 2], reversed(places[len(places) // 2 :]), strict=True)
        kept = np.array([sorted(pair) for pair in pairs if max(pair) < n_features], dtype=np.intp)
        rounds.append((kept[:, 0], kept[:, 1]))
        places = [places[0], places[-1], *places[1:-1]]
    return tuple(rounds)


def _sweep(turned: Array, axes: Array, importance: Importance) -> bool:
    """Rotate all pairs of `axes` (1, d, d), and with them `turned` (n, d, d), in place; False if none needs it."""
    rounds = _rounds(turned.shape[1])
    if not _rotation(turned, np.triu_indices(turned.shape[1], 1), importance(_diagonals(turned)))[1].any():
        return False
    for pairs in rounds:
        cosine, sine = _rotation(turned, pairs, importance(_diagonals(turned)))
        if sine.any():
            for matrices in axes, turned, turned.swapaxes(1, 2):
                _rotate(matrices, pairs, cosine, sine)
    return True


def _rotate(matrices: Array, pairs: Pairs, cosine: Array, sine: Array) -> None:
    """Columns p, q become cos · p + sin · q and cos · q − sin · p."""
    p, q = matrices[:, :, pairs[0]], matrices[:, :, pairs[1]]
    matrices[:, :, pairs[0]] = cosine * p + sine * q
    matrices[:, :, pairs[1]] = cosine * q - sine * p


def _rotation(turned: Array, pairs: Pairs, importance: Array) -> tuple[Array, Array]:
    """Cosines and sines (n_pairs,) by which Σ_k c_k t_k² / (v_p v_q) grows most; 1 and 0 where it hardly would."""
    p, q = pairs
    first, second, off = turned[:, p, p], turned[:, q, q], turned[:, p, q]
    product, half = first * second, 0.5 * (first - second)
    usable = product > 0
    weight = np.where(usable, importance[:, None], 0.0) / np.where(usable, product, 1.0)
    x = (weight * (half - off) * (half + off)).sum(axis=0)
    y = 2 * (weight * half * off).sum(axis=0)
    length = np.sqrt(x * x + y * y)
    gain = np.where(x > 0, y * y / np.where(x > 0, length + x, 1.0), length - x)
    moves = gain > SETTLED * importance.sum()
    cosine, sine = _half(*_half(x, y))
    return np.where(moves, cosine, 1.0), np.where(moves, sine, 0.0)


def _half(x: Array, y: Array) -> tuple[Array, Array]:
    """Cosine ≥ 0 and sine of half the angle of (x, y); of angle 0 where both are 0."""
    length = np.sqrt(x * x + y * y)
    x = np.where(length > 0, x / np.where(length > 0, length, 1.0), 1.0)
    y = np.where(length > 0, y / np.where(length > 0, length, 1.0), 0.0)
    larger = np.sqrt(0.5 * (1 + np.abs(x)))
    smaller = 0.5 * np.abs(y) / larger
    sign = np.where(y < 0, -1.0, 1.0)
    return np.where(x < 0, smaller, larger), sign * np.where(x < 0, larger, smaller)
