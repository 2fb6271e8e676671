"""gaussmix itself, as a peer."""

from __future__ import annotations

import warnings

from bench.peers.base import Fit, Peer, Problem


class Ours(Peer):
    name, package, distribution = "gaussmix", "gaussmix", "gaussmix"
    whole = True
    settles = 8  # rows are sorted after the second iteration, and bounds exist after the third

    def version(self) -> str:
        import gaussmix

        return gaussmix.__version__

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        from gaussmix import FAMILIES, GaussianMixture

        model = GaussianMixture(
            problem.n_components, covariance_type=FAMILIES[problem.structure], tol=0, reg_covar=0, max_iter=iterations,
            n_jobs=threads, weights_init=problem.weights, means_init=problem.means, precisions_init=problem.covariances,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ignores the warning that the fit has not converged
            model.fit(problem.rows)
        assert model.n_iter_ == iterations, (model.n_iter_, iterations)
        log_likelihood = model.lower_bound_ * len(problem.rows)
        found = model.mixture_
        return Fit(found.weights, found.means, found.covariances, log_likelihood)
