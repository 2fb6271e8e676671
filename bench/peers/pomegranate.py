"""pomegranate's GeneralMixtureModel of Normal distributions, on PyTorch."""

from __future__ import annotations

import numpy as np

from bench.peers.base import Fit, Peer, Problem


class Pomegranate(Peer):
    name, package, distribution = "pomegranate", "pomegranate", "pomegranate"

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel

        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float64)  # else its sums are float32 for rows of any type
        components = [
            Normal(torch.tensor(mean), torch.tensor(covariance), covariance_type=problem.structure)
            for mean, covariance in zip(problem.means, problem.covariances, strict=True)
        ]
        model = GeneralMixtureModel(components, priors=torch.tensor(problem.weights), max_iter=iterations, tol=-np.inf)
        model.fit(torch.from_numpy(problem.rows))
        means = torch.stack([component.means for component in model.distributions])
        covariances = torch.stack([component.covs for component in model.distributions])
        return Fit(model.priors.numpy(), means.numpy(), covariances.numpy())
