"""Gaussian components, and divergences, overlaps and distances between pairs of components in closed form.

A function that compares n components with m components returns an array (n, m), and keeps n matrices in memory at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gaussmix._src.checks import check_range
from gaussmix._src.covariances import Diagonal, Isotropic
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, check_size
from gaussmix._src.numerics.threads import cached_property, one_blas_thread

MAX_DISTANCE = 1e150  # larger distances (nats) are replaced by this value, so that differences and squares stay finite
MAX_COMPARED = 1e9  # limit on the number of covariance entries that `nearest` computes
DISTANCE_OVERFLOW = "The mixtures are too far apart for float64: components are 1e70 standard deviations away."


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The components of a mixture, without components of weight 0.

    Parameters
    ----------
    weights : weights of the components, (n,), which are positive and sum to 1.
    means : means of the components, (n, n_features), in data units.
    covariances : covariance matrices (n, n_features, n_features), or variances (n, n_features) if the features are
        uncorrelated; in data units².
    """

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def from_model(cls, model: Model, *, axis_parallel: bool | None = None) -> Gaussians:
        """Return the components of a model, with variances instead of covariance matrices if `axis_parallel` is True.

        If `axis_parallel` is None, variances are used if the model stores only variances. Raises
        `SingularCovarianceError` with the indices of covariances that are not positive definite.
        """
        if not np.isfinite(model.whitening.log_abs_det).all():
            raise ValueError("The covariances of this mixture are beyond the range of float64: rescale the features.")
        axis_parallel = not _has_matrices(model) if axis_parallel is None else axis_parallel
        covariances = model.covariances.variances() if axis_parallel else model.covariances.dense()
        there = model.weights > 0
        weights = model.weights[there]
        return cls(weights / weights.sum(), model.means[there], covariances[there])

    @classmethod
    def pair(cls, one: Model, other: Model) -> tuple[Gaussians, Gaussians]:
        """Return the components of two models, both with variances or both with covariance matrices."""
        axis_parallel = not (_has_matrices(one) or _has_matrices(other))
        return cls.from_model(one, axis_parallel=axis_parallel), cls.from_model(other, axis_parallel=axis_parallel)

    @property
    def n_features(self) -> int:
        return int(self.means.shape[1])

    @cached_property
    def log_weights(self) -> Array:
        return np.asarray(np.log(self.weights))

    @cached_property
    def whitening(self) -> Whitening:
        return whitening_of(self.covariances)

    @cached_property
    def roots(self) -> Array:
        """Return lower triangular L_k with Σ_k = L_k L_kᵀ, or standard deviations if only variances are stored."""
        is_diagonal = self.covariances.ndim == 2
        return np.asarray(np.sqrt(self.covariances) if is_diagonal else np.linalg.cholesky(self.covariances))

    @property
    def entropies(self) -> Array:
        """Return the entropies −∫ N_k log N_k of the components (n,), in nats; Cover & Thomas (2006), theorem 8.4.1."""
        return 0.5 * self.n_features * (1 + LOG_2PI) - self.whitening.log_abs_det


def _for_pairs(these: Gaussians, those: Gaussians) -> Array:
    """Return an uninitialised array (n, m) for all pairs of components; raises ValueError if the array is too large."""
    n, m = len(these.weights), len(those.weights)
    check_size(n, m, "reduce the number of components, because all pairs are compared")
    return np.empty((n, m))


def _has_matrices(model: Model) -> bool:
    """Return whether the covariances of a model are matrices, so that features may be correlated within a component."""
    return not isinstance(model.covariances, Isotropic | Diagonal)


def within_range(nats: float) -> float:
    """Return a divergence or distance unchanged; raise ValueError if it shows that components are too far apart."""
    return check_range(nats, DISTANCE_OVERFLOW, 1e-10 * MAX_DISTANCE)


def whitening_of(covariances: Array) -> Whitening:
    """Factorise covariances (n, d, d) or variances (n, d); raises `SingularCovarianceError` if a matrix is singular."""
    if covariances.ndim == 2:
        return DiagonalWhitening.from_variances(covariances)
    return TriangularWhitening.from_covariances(covariances)


@one_blas_thread()
def kl_divergences(these: Gaussians, those: Gaussians) -> Array:
    """Return the divergences ∫ N_i log (N_i / M_j) for all N_i in `these` and M_j in `those`, (n, m), in nats.

    A divergence is ½ (‖T‖² − d − log |det T|² + ‖W_j (μ_i − μ_j)‖²), where T = W_j L_i, Σ_i = L_i L_iᵀ and Σ_j⁻¹ = W_jᵀ
    W_j. The function adds up terms that are never negative and that approach 0 without cancellation as T approaches the
    identity matrix.
    """
    divergences = _for_pairs(these, those)
    for j in range(len(those.weights)):
        with np.errstate(over="ignore", invalid="ignore"):  # after an overflow, `within_range` raises an error
            offsets = those.whitening.whiten(j, these.means - those.means[j])
            shape_divergences = _shape_divergences(these.roots, those.whitening.factor(j))
            divergences[:, j] = shape_divergences + 0.5 * (offsets**2).sum(axis=1)
    return np.minimum(divergences, MAX_DISTANCE)


def _shape_divergences(roots: Array, factor: Array) -> Array:
    """Return ½ (‖T‖² − d) − log |det T|, (n,), where T = W L for each matrix L in `roots`, in nats.

    T is lower triangular. A diagonal entry t contributes ½ (t² − 1) − log t = ½ (t − 1)² + (t − 1 − log t).
    """
    if roots.ndim == 2:
        diagonals, below = roots * factor, 0.0
    else:
        relative = factor @ roots
        diagonals = np.diagonal(relative, axis1=1, axis2=2)
        below = (np.tril(relative, -1) ** 2).sum(axis=(1, 2))
    excess = diagonals - 1
    return np.asarray((0.5 * excess**2 + (excess - np.log(diagonals))).sum(axis=1) + 0.5 * below)


@one_blas_thread()
def log_overlaps(these: Gaussians, those: Gaussians) -> Array:
    """Return log ∫ N_i M_j = log N(μ_i; μ_j, Σ_i + Σ_j), (n, m), in nats; the integrals are per unit of data volume."""
    overlaps = _for_pairs(these, those)
    for j, (squared, log_abs_det) in enumerate(_from_sums(these, those)):
        overlaps[:, j] = log_abs_det - 0.5 * squared
    return overlaps - 0.5 * these.n_features * LOG_2PI


@one_blas_thread()
def bhattacharyya_distances(these: Gaussians, those: Gaussians) -> Array:
    """Return −log ∫ √(N_i M_j), (n, m), in nats; this is the Chernoff ½-divergence of Kolchinsky & Tracey (2017)."""
    distances = _for_pairs(these, those)
    own = these.whitening.log_abs_det
    for j, (squared, log_abs_det) in enumerate(_from_sums(these, those)):
        volumes = 0.5 * (own + those.whitening.log_abs_det[j]) - log_abs_det
        distances[:, j] = 0.25 * squared + volumes - 0.5 * these.n_features * np.log(2.0)
    return distances


def _from_sums(these: Gaussians, those: Gaussians) -> Iterator[tuple[Array, Array]]:
    """Yield, for each j in turn, ‖W (μ_i − μ_j)‖² and log |det W| for all i, (n,) each, where WᵀW is (Σ_i + Σ_j)⁻¹."""
    for mean, covariance in zip(those.means, those.covariances, strict=True):
        whitening = whitening_of(these.covariances + covariance)
        with np.errstate(over="ignore"):
            squared = (whitening.whiten_each(these.means - mean) ** 2).sum(axis=1)
        yield np.minimum(squared, MAX_DISTANCE), whitening.log_abs_det


@one_blas_thread()
def squared_wasserstein(these: Gaussians, those: Gaussians, unit: float) -> Array:
    """Return squared 2-Wasserstein distances ‖μ_i − μ_j‖² + min_U ‖L_i − L_j U‖², (n, m), divided by `unit`².

    The minimum over orthogonal matrices U equals the squared Bures distance tr(Σ_i + Σ_j − 2 (Σ_i^½ Σ_j Σ_i^½)^½) in
    Delon & Desolneux (2020), section 2. For equal covariances, the minimum is exactly 0, whereas the trace
    would have a rounding error. The minimising U is V Zᵀ, where L_jᵀ L_i = V S Zᵀ is a singular value decomposition.
    """
    distances = _for_pairs(these, those)
    roots = these.roots / unit
    for j, (mean, root) in enumerate(zip(those.means, those.roots / unit, strict=True)):
        if root.ndim == 1:
            residuals = ((roots - root) ** 2).sum(axis=1)
        else:
            left, _, right = np.linalg.svd(root.T @ roots)
            rotated, plain = roots - root @ (left @ right), roots - root
            residuals = np.minimum((rotated**2).sum(axis=(1, 2)), (plain**2).sum(axis=(1, 2)))  # 0 if both are equal
        distances[:, j] = (((these.means - mean) / unit) ** 2).sum(axis=1) + residuals
    return distances


def nearest(model: Model) -> tuple[Indices, Array]:
    """Find each component's neighbour, the component with the largest overlap ∫ √(N_i N_j); Bhattacharyya (1943).

    Returns
    -------
    neighbour : index of the neighbour of each component, (n_components,); −1 if the mixture has a single component, and
        for components of weight 0. All indices are −1 if covariances are so nearly singular that rounding errors make
        the sum of two covariances singular, or if comparing all pairs would take longer than ten seconds
        (`MAX_COMPARED`).
    overlap : overlap of each component with its neighbour, (n_components,), from 0 (far apart) to 1 (equal); NaN for a
        component without a neighbour. The overlap does not depend on the weights of the components or the units of the
        data. The probability of misclassifying rows of two components is at most √(π_i π_j) times their overlap
        (Kailath 1967).
    """
    neighbour, overlap = np.full(model.n_components, -1, dtype=np.intp), np.full(model.n_components, np.nan)
    there = np.flatnonzero(model.weights > 0)
    if len(there) < 2 or len(there) ** 2 * model.n_features ** (1 + _has_matrices(model)) > MAX_COMPARED:
        return neighbour, overlap
    gaussians = Gaussians.from_model(model)
    try:
        distances = bhattacharyya_distances(gaussians, gaussians)
    except SingularCovarianceError:
        return neighbour, overlap
    np.fill_diagonal(distances, np.inf)
    neighbour[there] = there[distances.argmin(axis=1)]
    overlap[there] = np.exp(-np.maximum(distances.min(axis=1), 0.0))
    return neighbour, overlap
