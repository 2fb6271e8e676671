"""A covariance matrix of its own for each component."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.numerics.pieces import in_pieces
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("full", "VVV", in_all=True)
class VVV(Boundable):
    """Σ_k unrestricted (mclust's VVV): Σ_k = S_k / N_k, Bishop (2006) eq. 9.19."""

    kind = Dense
    equivariance = Equivariance.AFFINE
    algebra = Algebra(Across.OWN, Across.OWN, Across.OWN)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        # In pieces, so that an interrupt comes through between them: K d² can be gigabytes.
        matrices = in_pieces(lambda second, degrees: second / degrees, scatter.second, scatter.degrees[:, None, None])
        return self.covariances(matrices, *scatter.shape)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2
