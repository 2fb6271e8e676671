"""One variance per feature, the same for all components."""

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.waist.arrays import Array
from gaussmix.waist.diagonal import DiagonalWhitening
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second


@register("shared_diag")
class SharedDiagonal(Family):
    """Σ_k = diag(v) (mclust's EEI): v = Σ_k diag(S_k) / Σ_k N_k.

    Celeux & Govaert (1995), Pattern Recognition 28, section 3.2.
    """

    # One for all components: the compact form has no component axis.
    is_shared: ClassVar[bool] = True
    # Features may change their units, but not be rotated.
    equivariance: ClassVar[Equivariance] = Equivariance.SCALING
    # The end of a sentence to the user: "covariances should be …".
    is_matrix: ClassVar[bool] = False

    def need(self) -> Need:
        # Σ_k Σ_i γ_ik (x − a)², (n_features,): never a matrix.
        return Need(Second.DIAGONAL, pooled=True)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        variances: Array = scatter.second / scatter.mass.sum()
        return variances

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features,)

    def whitening(self, covariances: Array, n_features: int) -> DiagonalWhitening:
        # One factor on the first axis: shared.
        return DiagonalWhitening.of(covariances[None])

    def compact(self, per_component: Array) -> Array:
        shared: Array = per_component[0]
        return shared

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        matrix = np.diag(covariances)
        return np.broadcast_to(matrix, (n_components, *matrix.shape))

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features
