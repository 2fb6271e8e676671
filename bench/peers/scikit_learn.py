"""Peer scikit-learn: sklearn.mixture.GaussianMixture."""

from __future__ import annotations

import warnings

from bench.peers.base import Fit, Peer, Problem


class ScikitLearn(Peer):
    name, package, distribution = "scikit-learn", "sklearn", "scikit-learn"
    whole = True

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        model = GaussianMixture(
            problem.n_components, covariance_type=problem.structure, tol=0, reg_covar=0, max_iter=iterations,
            weights_init=problem.weights, means_init=problem.means, precisions_init=problem.covariances,
        )  # fmt: skip
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore")  # ignores the warning that the fit has not converged
            model.fit(problem.rows)
        assert model.n_iter_ == iterations, (model.n_iter_, iterations)
        log_likelihood = model.lower_bound_ * len(problem.rows)
        return Fit(model.weights_, model.means_, model.covariances_, log_likelihood)
