"""Tests of classification against R's mclust: EDDA, MclustDA and rows of unknown class (README.md)."""

import numpy as np
import pytest
from mclust_extras import OPTIONS
from tables import rows_of

from gaussmix import GaussianMixtureClassifier

REFERENCE = OPTIONS["classes"]
DATA_SETS = REFERENCE["data_sets"]
# Relative errors of structures for which mclust stops its iterative updates early. For EVE of the bank notes, mclust
# ends 3e-4 nats below gaussmix in the common objective, Σ log p(x | c).
RELATIVE_ERRORS = {"EVE": 1e-4, "VEE": 1e-6, "VEI": 1e-9, "VEV": 1e-9}

data_sets = pytest.mark.parametrize("name", DATA_SETS)


def labelled(name):
    return rows_of(name), np.array(DATA_SETS[name]["labels"])


@data_sets
def test_classifiers_with_one_component_per_class_agree_with_mclust(name):
    X, y = labelled(name)
    for structure, expected in DATA_SETS[name]["EDDA_by_model"].items():
        classifier = GaussianMixtureClassifier(covariance_type=structure, reg_covar=0).fit(X, y)
        assert classifier.n_parameters_ - len(classifier.classes_) + 1 == round(expected["df"])
        assert 1 - classifier.score(X, y) == pytest.approx(expected["train_error"], abs=1e-12)
        log_likelihood = classifier.mixture_.log_density(X).sum()
        if structure == "VVE":  # mclust does not reach the maximum
            assert log_likelihood == pytest.approx(expected["loglik"], rel=1e-2)
        else:
            assert log_likelihood == pytest.approx(expected["loglik"], rel=RELATIVE_ERRORS.get(structure, 1e-13))


@data_sets
@pytest.mark.parametrize("part", ["full", "half"])
def test_classifiers_choose_the_same_structure_by_bic_as_mclust(name, part):
    X, y = labelled(name)
    expected, step = DATA_SETS[name][f"EDDA_{part}"], 1 if part == "full" else 2
    classifier = GaussianMixtureClassifier(covariance_type="all").fit(X[::step], y[::step])
    assert [[structure, 1] for structure in classifier.covariance_type_] == list(expected["models"].values())
    np.testing.assert_allclose(classifier.predict_proba(X[::step][:5]), expected["z5"], atol=1e-6)
    if part == "half":
        assert 1 - classifier.score(X[1::2], y[1::2]) == pytest.approx(expected["test_error"], abs=1e-12)
        wrong = classifier.predict_proba(X[1::2]) - (y[1::2, None] == classifier.classes_)
        assert (wrong**2).sum(axis=1).mean() / 2 == pytest.approx(expected["test_brier"], rel=1e-3)


@data_sets
@pytest.mark.filterwarnings("ignore:Class .* nearly singular covariance:RuntimeWarning")
def test_classifiers_choose_the_same_mixtures_by_bic_as_mclust(name):
    X, y = labelled(name)
    expected = DATA_SETS[name]["MclustDA_full"]
    structures = ["EEI", "VVI", "EEE", "EVE", "VVV"]  # including mclust's choices
    classifier = GaussianMixtureClassifier(
        [1, 2, 3], covariance_type=structures, tol=1e-6, max_iter=1000, init_params="hierarchical"
    ).fit(X, y)
    ours = {"full": "VVV", "tied": "EEE"}
    found = [ours.get(name, name) for name in classifier.covariance_type_], np.bincount(classifier.component_class_)
    theirs = [("VVV", 1) if model == "XXX" else (model, size) for model, size in expected["models"].values()]
    assert list(zip(*found, strict=True)) == theirs
    assert classifier.mixture_.log_density(X).sum() == pytest.approx(expected["loglik"], rel=2e-6)
    assert classifier.n_parameters_ - len(classifier.classes_) + 1 == expected["df"]
    assert 1 - classifier.score(X, y) == pytest.approx(expected["train_error"], abs=1e-12)
    np.testing.assert_allclose(classifier.predict_proba(X[:5]), expected["z5"], atol=1e-6)


def test_partly_labelled_classifiers_agree_with_mclust():
    """Check rows of unknown class; for EVV, VVE and VVV, EM of gaussmix ends higher than mclust."""
    X, y = labelled("iris")
    expected = REFERENCE["partly_labelled"]
    partly = np.where(np.arange(1, len(y) + 1) % 5, -1, y.astype(object))
    for structure, bic in zip(*expected["bic_by_model"].values(), strict=True):
        classifier = GaussianMixtureClassifier(covariance_type=structure, reg_covar=0, tol=1e-9, max_iter=5000)
        classifier.fit(X, partly)
        if structure in ("EVV", "VVE", "VVV"):
            assert -classifier.bic_ > bic
        else:
            assert -classifier.bic_ == pytest.approx(bic, abs=1e-4)
        if structure == expected["model"]:
            assert classifier.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-4)
            assert classifier.n_parameters_ == expected["df"]
            assert 1 - classifier.score(X, y) == pytest.approx(expected["error_all"])
