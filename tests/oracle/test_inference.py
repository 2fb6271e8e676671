"""Tests of standard errors and of hypothesis tests against R's mclust (README.md), mixtools and MixtureInf."""

import json
from pathlib import Path

import numpy as np
import pytest
from mclust_extras import OPTIONS
from tables import rows_of

from gaussmix import GaussianMixture, em_test, likelihood_ratio_test

FAITHFUL = rows_of("faithful")
REFERENCE = OPTIONS["bootstrap"]
BOOT_SE, EM_TESTS = (
    json.loads((Path(__file__).parent / f"{name}.json").read_text()) for name in ("boot_se", "em_test")
)
COLUMNS = {
    "faithful": "eruptions waiting",
    "galaxies": "x1",
    "iris": "Sepal.Length Sepal.Width Petal.Length Petal.Width",
    "banknote": "Length Left Right Bottom Top Diagonal",
}
MCLUST, TESTS = REFERENCE["kinds"], {test["model"]: test for test in REFERENCE["tests"]}


@pytest.fixture(scope="module")
def fit():
    """Return a fit whose components are in mclust's order."""
    gm = GaussianMixture(2, init_params="kmeans", random_state=0).fit(FAITHFUL)
    assert gm.weights_[0] > gm.weights_[1]
    return gm


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("kind", ["weighted", "nonparametric", "parametric"])
def test_bootstrap_standard_errors_agree_with_mclust_within_monte_carlo_error(fit, kind):
    """A standard error from 999 normal draws has an error of 2.2 %, in gaussmix and in mclust."""
    theirs = MCLUST[kind]
    found = fit.bootstrap(FAITHFUL, theirs["n"], kind, random_state=20)
    ratios = np.log(found.bse / theirs["bse"])
    assert np.abs(ratios).max() < 4 * np.sqrt(2) * 0.022
    assert abs(ratios.mean()) < 0.03
    np.testing.assert_allclose(found.conf_int()[:2].T, theirs["weights"], atol=0.008)  # quantile errors: 0.06 / √999


def test_the_parametric_bootstrap_agrees_with_mixtools(fit):
    """boot.se of mixtools does not relabel the components of its 999 refits, but their order never changes here."""
    found = fit.bootstrap(FAITHFUL, 999, "parametric", random_state=20)
    np.testing.assert_allclose(found.params, BOOT_SE["estimate"], rtol=1e-4)
    assert np.abs(np.log(found.bse / BOOT_SE["bse"])).max() < 4 * np.sqrt(2) * 0.022


def test_jackknife_standard_errors_agree_with_mclust(fit):
    """mclust stops each refit at a relative change of 1e-5, so that tol must not be as small as by default."""
    found = fit.bootstrap(FAITHFUL, kind="jackknife", tol=1e-6)
    np.testing.assert_allclose(found.bse, MCLUST["jackknife"]["bse"], rtol=0.035)


def test_sandwich_and_hessian_standard_errors_agree_with_resampling(fit):
    """The sandwich is the limit of the jackknife; the Hessian assumes, like draws, that the mixture is correct."""
    jackknife = fit.bootstrap(FAITHFUL, kind="jackknife").bse
    np.testing.assert_allclose(fit.inference(FAITHFUL, kind="sandwich").bse, jackknife, rtol=0.035)
    drawn = fit.bootstrap(FAITHFUL, 999, "parametric", random_state=20).bse
    np.testing.assert_allclose(fit.inference(FAITHFUL).bse, drawn, rtol=0.12)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("model", TESTS)
def test_likelihood_ratios_are_at_least_those_of_mclust(model):
    """mclust fits the larger mixture from another initialisation and often ends lower, for the data and for drawn rows.

    The log-likelihood of one component has a single maximum, so that sums of the statistics show how high each number
    of components ended.
    """
    theirs = TESTS[model]
    found = likelihood_ratio_test(
        FAITHFUL, 1, 1 + len(theirs["lrt"]), n_resamples=199, random_state=0, covariance_type=model
    )
    assert found.statistic[0] == pytest.approx(theirs["lrt"][0], abs=5e-3)
    assert (np.cumsum(found.statistic) > np.cumsum(theirs["lrt"]) - 5e-3).all()
    assert found.p_value[0] == 1 / 200
    columns = [1, 2, 3, 4]  # columns of the 25, 50, 75 and 90 % quantiles
    drawn = np.quantile(found.null_statistics, np.array([0.25, 0.5, 0.75, 0.9]), axis=1).T
    assert (drawn > np.array(theirs["boot_quantiles"])[:, columns] - 1.5).all()
    assert (drawn < np.array(theirs["boot_quantiles"])[:, columns] + 6).all()


@pytest.mark.heavy(n_default=4)
@pytest.mark.parametrize("case", EM_TESTS)
def test_em_test_agrees_with_mixtureinf(case):
    """MixtureInf, by the authors of the test, divides the variance under the null hypothesis by n − 1.

    This changes its statistic slightly.
    """
    table, column = case.split(".", 1)
    statistic = em_test(rows_of(table)[:, COLUMNS[table].split().index(column)]).statistic[0]
    assert statistic == pytest.approx(EM_TESTS[case]["maximum"], abs=2e-4)
    assert statistic == pytest.approx(EM_TESTS[case]["package"], rel=3e-3)
