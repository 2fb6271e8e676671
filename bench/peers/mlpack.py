"""mlpack's gmm_train. Its Python binding takes no start: each fit begins with its own k-means.

For full covariances that start differs between fits even with a seed, so that the error of an iteration is not known.
"""

from __future__ import annotations

import numpy as np

from bench.peers.base import Fit, Peer, Problem


class Mlpack(Peer):
    name, package, distribution = "mlpack", "mlpack", "mlpack"
    takes_start = False
    note = "own k-means start"

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        from mlpack import gmm_train
        from threadpoolctl import threadpool_limits

        full = problem.structure == "full"
        with threadpool_limits(threads):
            output = gmm_train(
                input_=problem.rows, gaussians=problem.n_components, max_iterations=iterations + 1, tolerance=0.0,
                seed=1, kmeans_max_iterations=1, diagonal_covariance=not full, copy_all_inputs=False,
            )  # fmt: skip
        parameters = output["output_model"].get_cpp_params()["GMM"]
        weights = np.asarray(parameters["weights"]).ravel()
        means = np.stack([np.ravel(component["mean"]) for component in parameters["dists"]])
        covariances = np.stack([np.asarray(component["covariance"]) for component in parameters["dists"]])
        return Fit(weights, means, covariances if full else np.diagonal(covariances, axis1=1, axis2=2))
