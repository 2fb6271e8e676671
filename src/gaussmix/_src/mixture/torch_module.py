"""A mixture as a PyTorch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.model import Model


class MixtureModule(torch.nn.Module):
    """The density of a Gaussian mixture, p(x) = Σ_k π_k N(x | μ_k, Σ_k), whose methods PyTorch can differentiate.

    The parameters are buffers, which an optimizer does not change. The buffers are `weights` (n_components,), `means`
    (n_components, n_features) and `cholesky` (n_components, n_features, n_features), which contains the lower
    triangular L_k with Σ_k = L_k L_kᵀ.

    Parameters
    ----------
    model : mixture without a noise component.
    """

    weights: Tensor
    means: Tensor
    cholesky: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        factors = np.linalg.cholesky(model.covariances.dense())
        for name, values in (("weights", model.weights), ("means", model.means), ("cholesky", factors)):
            self.register_buffer(name, torch.tensor(np.array(values)))

    def component_log_density(self, x: Tensor) -> Tensor:
        """Return log π_k + log N(x | μ_k, Σ_k), in nats, (…, n_components), for rows x (…, n_features)."""
        n_features = self.means.shape[1]
        if x.shape[-1:] != (n_features,):  # PyTorch would broadcast a single column
            raise ValueError(f"rows must have shape (…, {n_features}), not {tuple(x.shape)}.")
        offsets = (x.reshape(-1, n_features) - self.means[:, None, :]).mT  # (n_components, n_features, n_rows)
        whitened = torch.linalg.solve_triangular(self.cholesky, offsets, upper=False)
        squares = (whitened**2).sum(1).clamp(max=torch.finfo(whitened.dtype).max)  # ∞ − ∞ would be NaN
        log_det = torch.log(torch.diagonal(self.cholesky, dim1=-2, dim2=-1)).sum(-1)
        constants = torch.log(self.weights) - log_det - 0.5 * n_features * LOG_2PI
        return constants - 0.5 * squares.T.reshape(*x.shape[:-1], len(constants))

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p(x), in nats, (…,), for rows x (…, n_features)."""
        joint = self.component_log_density(x)
        # torch.logsumexp divides by exp(log p(x)) in its gradient, which is wrong if log p(x) is so large that its
        # rounding error is near 1.
        highest = joint.detach().amax(-1, keepdim=True)
        return highest[..., 0] + torch.log(torch.exp(joint - highest).sum(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Return log p(x), in nats, (…,), for rows x (…, n_features)."""
        return self.log_density(x)

    def responsibilities(self, x: Tensor) -> Tensor:
        """Return the responsibilities p(k | x), (…, n_components), for rows x (…, n_features)."""
        return torch.softmax(self.component_log_density(x), -1)

    def sample(self, n_rows: int, generator: Any = None) -> Tensor:
        """Draw rows (n_rows, n_features) with a `torch.Generator`, or by default with PyTorch's global generator."""
        component = torch.multinomial(self.weights, max(n_rows, 1), replacement=True, generator=generator)[:n_rows]
        shape = n_rows, self.means.shape[1]
        rows = torch.randn(shape, generator=generator, dtype=self.means.dtype, device=self.means.device)
        for k, (mean, factor) in enumerate(zip(self.means, self.cholesky, strict=True)):
            rows[component == k] = mean + rows[component == k] @ factor.T
        return rows
