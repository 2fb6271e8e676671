"""Results of R's mclust, and fits of gaussmix with noise, a prior and equal weights from the same initial labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import ArraySource, EMState, StopRule, complete_engine, family_named
from mclust_rule import run_from_labels
from tables import rows_of

from gaussmix import GaussianMixture, NormalInverseWishart, Restrictions
from gaussmix._src.em.priors.posterior import ConjugatePrior
from gaussmix._src.em.priors.terms import OverallMoments, PriorTerms

FOLDER = Path(__file__).parent / "mclust"
FITS, OPTIONS = (json.loads((FOLDER / f"{name}.json").read_text()) for name in ("fits", "options"))
NOISE, PRIOR, EQUAL = (OPTIONS[name] for name in ("noise", "prior", "equalpro"))
NOISE_ROWS = rows_of("noise")
ROWS = {name: rows_of(name) for name in ("faithful", "iris")}
# With equalPro, mclust 6.0.0 ends far below gaussmix for these models, and the weights of its VVI do not sum to 1.
MCLUST_FAILURES = {"VVI", "VEE", "EVE", "VVE", "EVV"}


def with_noise(fit: dict[str, Any]) -> GaussianMixture:
    """Fit gaussmix with noise from mclust's initial labels."""
    labels = np.array(NOISE["start_labels"][str(fit["G"])]) - 1
    return GaussianMixture(
        fit["G"], covariance_type=fit["model"], noise=True, init_params=labels, tol=1e-12, max_iter=4000, reg_covar=0
    ).fit(NOISE_ROWS)


def prior_fits() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield mclust's fits with a prior, with the names of their data sets."""
    for data, found in PRIOR["datasets"].items():
        for fit in found["fits"]:
            yield data, fit


def joint_labels(data: str, n_components: int) -> Any:
    return np.array(PRIOR["datasets"][data]["start_labels"][str(n_components)], dtype=np.int32) - 1


def objective_for(rows: Any, family: Any, n_components: int) -> Any:
    moments = OverallMoments.from_source(ArraySource(rows), 1.0, complete_engine(1), is_matrix=family.kind.is_matrix)
    restrictions = PriorTerms(NormalInverseWishart())
    return restrictions.make_objective(np.zeros(rows.shape[1]), 1.0, n_components, family, moments)


class MclustEeiPrior(ConjugatePrior):
    """mclust's prior for EEI, which changes the scatter but not the means, and adds no degrees of freedom for means."""

    def posterior_means(self, means, mass):
        return means

    def add_to_scatter(self, scatter, means):
        mass = scatter.degrees
        drawn = np.sqrt(self.shrinkage * mass / (self.shrinkage + mass))[:, None] * (means - self.mean)
        second = scatter.second + self.scale + scatter.spec.squares(drawn)
        return replace(scatter, degrees=mass + self.dof_total / len(mass), second=second)


def as_mclust(objective: Any, model: str) -> Any:
    """Replace the prior by mclust 6.0.0's for EEI and EII, where mclust differs from the paper; EII has no scale."""
    prior = objective.prior
    if model == "EII":
        return replace(objective, prior=replace(prior, scale=np.zeros_like(prior.scale)))
    return replace(objective, prior=MclustEeiPrior(**vars(prior))) if model == "EEI" else objective


def with_prior(data: str, fit: dict[str, Any]) -> EMState:
    """Return the final state of gaussmix with mclust's prior."""
    rows, n_components, family = ROWS[data], fit["G"], family_named(fit["model"])
    source = ArraySource(rows, assignment=joint_labels(data, n_components))
    objective = as_mclust(objective_for(rows, family, n_components), fit["model"])
    return run_from_labels(source, complete_engine(1), n_components, family, StopRule(1e-12, 10_000), objective)


def with_equal_weights(fit: dict[str, Any]) -> GaussianMixture:
    """Fit gaussmix with equal weights to `faithful`."""
    labels = np.array(FITS["faithful"]["start_labels"][str(fit["G"])]) - 1
    return GaussianMixture(
        fit["G"], covariance_type=fit["model"], restrictions=Restrictions(equal_weights=True),
        init_params=labels, reg_covar=0, tol=1e-12,
        max_iter=10_000,
    ).fit(ROWS["faithful"])  # fmt: skip
