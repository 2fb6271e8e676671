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
SHARE, MOST = TCLUST["settings"]["alpha"], TCLUST["settings"]["restr.fact"]
N_KEPT = 135


def classified(mixture):
    """Compute tclust's objective with NumPy: the sum of the N_KEPT largest values of max_k log π_k N(x | k)."""
    joint = np.empty((len(ROWS), 3))
    for k in range(3):
        offsets, covariance = ROWS - mixture.means[k], mixture.covariances[k]
        distance = (offsets @ np.linalg.inv(covariance) * offsets).sum(axis=1)
        joint[:, k] = np.log(mixture.weights[k]) - 0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1])
    return np.sort(joint.max(axis=1))[-N_KEPT:].sum()


@pytest.fixture(scope="module")
def of_tclust():
    return Mixture(TCLUST["weights"], TCLUST["means"], np.array(TCLUST["covariances"]), FAMILIES["full"])


@pytest.fixture(scope="module")
def ours():
    return GaussianMixture(3, trim=SHARE, covariance_type=Full(MOST), tol=1e-9, max_iter=5000, random_state=0)


def test_tclust_raises_this_objective(of_tclust):
    assert classified(of_tclust) == pytest.approx(TCLUST["objective"], rel=1e-3)  # its last step used other weights


def test_the_same_rows_are_left_out_and_the_groups_are_the_same(ours):
    labels, theirs = ours.fit_predict(ROWS), np.array(TCLUST["cluster"]) - 1
    assert ((labels == -1) == (theirs == -1)).mean() > 0.98
    assert adjusted_rand_score(labels, theirs) > 0.85


def test_the_trimmed_likelihood_is_above_that_of_tclusts_groups(ours, of_tclust):
    """EM from tclust's mixture must increase the likelihood, and a default fit must end at least as high."""
    weights, means, covariances = of_tclust.weights, of_tclust.means, of_tclust.covariances
    log_density = np.sort(of_tclust.log_density(ROWS))[-N_KEPT:].mean()
    start = {"weights_init": weights, "means_init": means, "covariances_init": covariances}
    going = GaussianMixture(3, trim=SHARE, covariance_type=Full(MOST), tol=1e-9, max_iter=5000, **start).fit(ROWS)
    assert going.lower_bounds_[0] == pytest.approx(log_density, rel=1e-12)
    assert going.lower_bound_ > log_density
    assert ours.fit(ROWS).lower_bound_ >= going.lower_bound_ - 1e-6
    assert classified(ours.mixture_) > TCLUST["objective"]  # higher than any of tclust's 400 starts


def test_eigenvalues_keep_the_ratio(of_tclust):
    values = np.linalg.eigvalsh(of_tclust.covariances)
    assert values.max() <= MOST * values.min() * (1 + 1e-9)
