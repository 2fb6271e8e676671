"""Tests of trimmed fits against R's tclust, which maximises the classification likelihood of the rows that it keeps."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from gaussmix import FAMILIES, Full, GaussianMixture, Mixture

EXAMPLES = Path(__file__).parents[2] / "examples"
TCLUST = json.loads((EXAMPLES / "trimming_tclust.json").read_text(encoding="utf-8"))
ROWS = runpy.run_path(str(EXAMPLES / "trimming.py"))["flowers"]()[0]
TRIM, BOUND = TCLUST["settings"]["alpha"], TCLUST["settings"]["restr.fact"]
N_REMAINING = 135


def objective_of(mixture):
    """Compute tclust's objective with NumPy: the sum of the N_REMAINING largest values of max_k log π_k N(x | k)."""
    joint = np.empty((len(ROWS), 3))
    for k in range(3):
        offsets, covariance = ROWS - mixture.means[k], mixture.covariances[k]
        distance = (offsets @ np.linalg.inv(covariance) * offsets).sum(axis=1)
        joint[:, k] = np.log(mixture.weights[k]) - 0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1])
    return np.sort(joint.max(axis=1))[-N_REMAINING:].sum()


@pytest.fixture(scope="module")
def theirs():
    return Mixture(TCLUST["weights"], TCLUST["means"], np.array(TCLUST["covariances"]), FAMILIES["full"])


@pytest.fixture(scope="module")
def ours():
    return GaussianMixture(3, trim=TRIM, covariance_type=Full(BOUND), tol=1e-9, max_iter=5000, random_state=0)


def test_the_recomputed_objective_equals_the_objective_of_tclust(theirs):
    # The tolerance is not smaller because the last step of tclust used other weights.
    assert objective_of(theirs) == pytest.approx(TCLUST["objective"], rel=1e-3)


def test_a_trimmed_fit_leaves_out_the_same_rows_and_finds_the_groups_of_tclust(ours):
    labels, expected = ours.fit_predict(ROWS), np.array(TCLUST["cluster"]) - 1
    assert ((labels == -1) == (expected == -1)).mean() > 0.98
    assert adjusted_rand_score(labels, expected) > 0.85


def test_a_trimmed_fit_has_a_higher_likelihood_than_tclust(ours, theirs):
    """EM from tclust's mixture must increase the likelihood, and a default fit must end at least as high."""
    weights, means, covariances = theirs.weights, theirs.means, theirs.covariances
    log_density = np.sort(theirs.log_density(ROWS))[-N_REMAINING:].mean()
    start = {"weights_init": weights, "means_init": means, "covariances_init": covariances}
    continued = GaussianMixture(3, trim=TRIM, covariance_type=Full(BOUND), tol=1e-9, max_iter=5000, **start).fit(ROWS)
    assert continued.lower_bounds_[0] == pytest.approx(log_density, rel=1e-12)
    assert continued.lower_bound_ > log_density
    assert ours.fit(ROWS).lower_bound_ >= continued.lower_bound_ - 1e-6
    assert objective_of(ours.mixture_) > TCLUST["objective"]  # higher than any of tclust's 400 starts


def test_covariances_of_tclust_satisfy_the_bound_on_eigenvalues(theirs):
    values = np.linalg.eigvalsh(theirs.covariances)
    assert values.max() <= BOUND * values.min() * (1 + 1e-9)
