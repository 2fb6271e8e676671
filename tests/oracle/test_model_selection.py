"""Tests of model selection and merging against R's mclust (README.md), and of merging against R's fpc."""

import json
from pathlib import Path

import numpy as np
import pytest
from common import ArraySource, complete_engine, family_named
from mclust_extras import FITS, OPTIONS
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from tables import rows_of

from gaussmix import GaussianMixture, GaussianMixtureIC, Mixture
from gaussmix._src.estimators.gaussian_mixture import as_estimator
from gaussmix._src.fit.criteria import bic, compute_inputs, icl

TABLES = OPTIONS["criteria"]["fits"]
DEMP = json.loads((Path(__file__).parent / "fpc_demp.json").read_text())["examples"]
COMBINED = OPTIONS["clustcombi"]["examples"]


@pytest.mark.parametrize("name", TABLES)
def test_bic_and_icl_agree_with_mclust(name):
    """mclust's criteria have the opposite sign and belong to the parameters before its last M-step."""
    rows = rows_of(name)
    labels = FITS[name]["start_labels"]
    for fit in TABLES[name]:
        gm = GaussianMixture(
            fit["G"],
            covariance_type=fit["model"],
            init_params=np.array(labels[str(fit["G"])]) - 1,
            reg_covar=0,
            tol=0,
            max_iter=fit["iterations"] - 1,
        )
        with pytest.warns(ConvergenceWarning):
            gm.fit(rows)
        model, n_parameters = gm.mixture_._model, gm.mixture_.n_parameters
        evidence = compute_inputs(model, n_parameters, ArraySource(rows), complete_engine(), 1.0)
        assert bic(evidence) == pytest.approx(-fit["bic"], rel=1e-9), fit
        assert icl(evidence) == pytest.approx(-fit["icl"], rel=1e-6), fit


@pytest.mark.heavy
@pytest.mark.parametrize("name", FITS)
def test_model_selection_ends_at_a_bic_as_low_as_that_of_mclust(name):
    """gaussmix and mclust use their defaults. EM is slow on eruptions, where tol=1e-5 would end 0.5 above."""
    rows = rows_of(name)
    table = FITS[name]["bic"]["table"]
    theirs = min(-value for line in table for value in line if value is not None)
    chosen = GaussianMixtureIC(random_state=0).fit(rows)
    assert chosen.results_["bic"][chosen.best_index_] <= theirs + 1e-7 * abs(theirs)


@pytest.fixture(params=COMBINED)
def name(request):
    return request.param


@pytest.fixture
def example(name):
    """Return mclust's result, its rows, and the merging of its mixture by gaussmix."""
    expected = COMBINED[name]
    rows = rows_of(expected["csv"].removesuffix(".csv"))
    parameters, n_features = expected["parameters"], rows.shape[1]
    lower = np.zeros((expected["G"], n_features, n_features))
    lower[:, *np.tril_indices(n_features)] = parameters["sigma_tril"]
    covariances = lower + np.tril(lower, -1).transpose(0, 2, 1)
    mixture = Mixture(np.array(parameters["pro"]), np.array(parameters["mean"]), covariances, family_named("VVV"))
    return expected, rows, as_estimator(mixture).merge(rows)


def test_components_are_merged_in_the_order_of_mclust(example):
    expected, rows, merging = example
    for merge in expected["merges"]:
        onto = np.array(merge["combiM"]).argmax(axis=0)  # new cluster of each old cluster
        before, after = merging.cluster_labels[merge["from"] - 1], merging.cluster_labels[merge["to"] - 1]
        assert (onto[before] == after).all()
    for n_clusters in range(1, expected["G"] + 1):
        labels = np.array(expected["classification"][str(n_clusters)]) - 1
        assert (merging.predict(rows, n_clusters) == labels).all()


def test_the_entropy_of_merged_clusters_agrees_with_mclust(example):
    """mclust's entropies belong to the step before its parameters, and each EM step is about half as large as the last.

    The entropies of the next step show how large this difference may be.
    """
    expected, rows, merging = example
    mixture = merging.mixture
    following = GaussianMixture(
        mixture.n_components,
        covariance_type=expected["model"],
        weights_init=mixture.weights,
        means_init=mixture.means,
        covariances_init=mixture.covariances,
        reg_covar=0,
        tol=0,
        max_iter=1,
    )
    with pytest.warns(ConvergenceWarning):
        following.fit(rows)
    step = np.abs(following.merge(rows).entropy - merging.entropy)
    rounding = 1e-12 * len(rows)
    assert (np.abs(merging.entropy - expected["entropy"]) <= 3 * step + rounding).all()


def test_the_overlap_of_merged_clusters_agrees_with_fpc(name, example):
    """Compare the overlap of the merged pair at each merge; fpc computes the overlap of all pairs."""
    _, _, merging = example
    for n_clusters, matrix in zip(range(len(merging.overlap), 0, -1), DEMP[name]["overlap"], strict=True):
        before, after = merging.cluster_labels[n_clusters], merging.cluster_labels[n_clusters - 1]
        onto = [after[before == cluster][0] for cluster in range(n_clusters + 1)]
        i, j = (cluster for cluster in range(n_clusters + 1) if onto.count(onto[cluster]) == 2)
        assert merging.overlap[n_clusters - 1] == pytest.approx(matrix[i][j], rel=1e-9, abs=1e-15)


def test_merged_clusters_agree_with_fpc(name, example):
    """fpc merges the pair with the largest overlap first, but must end with the same clusters."""
    _, rows, merging = example
    mixture = merging.mixture
    for found in DEMP[name]["merged"]:
        ours = as_estimator(mixture).merge(rows, min_overlap=found["cutoff"])
        assert ours.n_clusters == len(set(found["labels"]))
        assert adjusted_rand_score(found["labels"], ours.predict(rows)) == 1
