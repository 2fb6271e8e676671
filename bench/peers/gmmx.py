"""gmmx on JAX, in float32, the only type that it takes."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np

from bench.peers.base import ALL, Fit, Peer, Problem


class Gmmx(Peer):
    name, package, distribution = "gmmx", "gmmx", "gmmx"
    threads = (ALL,)  # XLA uses all processors
    note = "float32"
    compiled: ClassVar[set[Any]] = set()

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        import jax
        from gmmx import EMFitter, GaussianMixtureModelJax

        rows, weights, means, covariances = (
            jax.numpy.asarray(array, dtype="float32")
            for array in (problem.rows, problem.weights, problem.means, problem.covariances)
        )
        start = GaussianMixtureModelJax.from_squeezed(
            means=means, covariances=covariances, weights=weights, covariance_type=problem.structure
        )
        fitter = EMFitter(max_iter=iterations, tol=0.0, reg_covar=0.0)
        if (
            key := (iterations, rows.shape, covariances.shape)
        ) not in self.compiled:  # once for each number of iterations
            fitter.fit(rows, start)
            self.compiled.add(key)
        before = time.perf_counter()
        result = fitter.fit(rows, start)
        jax.block_until_ready(result.gmm)
        seconds = time.perf_counter() - before
        assert result.n_iter == iterations, (result.n_iter, iterations)
        model = result.gmm
        return Fit(
            np.asarray(model.weights_numpy, float),
            np.asarray(model.means_numpy, float),
            np.asarray(np.squeeze(model.covariances.values), float).reshape(problem.covariances.shape),
            float(result.log_likelihood) * len(rows),
            seconds,
        )
