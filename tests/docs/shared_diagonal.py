"""A variance per feature, the same for all components."""

from __future__ import annotations

from gaussmix.extend import Covariances, Diagonal, Equivariance, Family, Scatter, register


@register("shared_diag")
class SharedDiagonal(Family):
    """Σ_k = diag(v): v = Σ_k diag(S_k) / Σ_k N_k, Celeux & Govaert (1995) section 3.2."""

    kind = Diagonal
    is_shared = True
    equivariance = Equivariance.SCALING

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        return self.covariances(scatter.second / scatter.degrees.sum(), *scatter.shape)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features
