"""A covariance structure for exchangeable features, with one variance and one correlation per component."""

from __future__ import annotations

import numpy as np

from gaussmix.extend import Covariances, Dense, Equivariance, Family, Scatter, register


@register("plugin_compound")
class CompoundSymmetry(Family):
    """Covariances a_k uuᵀ + b_k (I − uuᵀ), u = 1/√d: a_k = uᵀS_k u / N_k, b_k = (tr S_k − uᵀS_k u) / (N_k (d − 1))."""

    kind = Dense
    equivariance = Equivariance.ONE_FACTOR

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        d = scatter.n_features
        along = scatter.second.sum(axis=(1, 2)) / d
        across = np.einsum("kii->k", scatter.second) - along
        a = along / scatter.degrees
        b = across / (scatter.degrees * (d - 1)) if d > 1 else np.zeros_like(a)
        matrices = b[:, None, None] * np.eye(d) + ((a - b) / d)[:, None, None]
        return self.covariances(matrices, *scatter.shape)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * min(n_features, 2)

    def relaxed(self, covariances: Covariances, *, is_conditional: bool = False) -> Family:
        """Return the structure of the covariances, which marginals and conditionals keep and other maps do not."""
        matrices = covariances.array
        d = matrices.shape[-1]
        same = (np.einsum("kii->k", matrices), matrices.sum(axis=(1, 2)))
        diagonal, rest = same[0] / d, (same[1] - same[0]) / max(d * (d - 1), 1)
        ideal = rest[:, None, None] + (diagonal - rest)[:, None, None] * np.eye(d)
        return self if np.allclose(matrices, ideal, rtol=1e-12, atol=0) else super().relaxed(covariances)
