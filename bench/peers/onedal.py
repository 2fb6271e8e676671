"""Peer oneDAL by Intel, called through daal4py of the package scikit-learn-intelex."""

from __future__ import annotations

import numpy as np

from bench.peers.base import Fit, Peer, Problem


class OneDAL(Peer):
    name, package, distribution = "oneDAL", "daal4py", "scikit-learn-intelex"
    whole = True

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        import daal4py

        daal4py.daalinit(threads)
        full = problem.structure == "full"
        algorithm = daal4py.em_gmm(
            problem.n_components, maxIterations=iterations, accuracyThreshold=0.0, regularizationFactor=0.0,
            covarianceStorage="" if full else "diagonal",
        )  # fmt: skip
        covariances = [np.atleast_2d(covariance) for covariance in problem.covariances]
        result = algorithm.compute(problem.rows, problem.weights[None], problem.means, covariances)
        assert result.nIterations.item() == iterations, (result.nIterations, iterations)
        shape = problem.covariances.shape
        return Fit(result.weights[0], result.means, np.reshape(result.covariances, shape), result.goalFunction.item())
