"""The verbs on a file of a Bayesian fit: what Python says of it, component by component and row by row."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from gaussmix import BayesianGaussianMixture


@pytest.fixture
def fit(faithful, tmp_path):
    """A fit to a part of the rows, whose predictive density is not that of its mixture, and its file."""
    rows = pd.read_csv(faithful)
    found = BayesianGaussianMixture(5, weight_concentration_prior=1.0, random_state=0).fit(rows[::6])
    assert (found.mass_ > 0).sum() == 2
    found.save(tmp_path / "b.gmm")
    return found, rows, tmp_path / "b.gmm"


def table_of(run):
    """What a command printed, with the bits of its numbers."""
    return pd.read_csv(io.StringIO(run.stdout), float_precision="round_trip")


def test_predict_and_score_say_what_the_estimator_says(cli, fit, faithful):
    found, rows, path = fit
    table = table_of(cli("predict", path, faithful, "--probabilities"))
    shares = found.predict_proba(rows)
    np.testing.assert_array_equal(table["component"], found.predict(rows))
    np.testing.assert_array_equal(table["log_density"], found.score_samples(rows))
    np.testing.assert_array_equal(table["probability"], shares.max(axis=1))
    np.testing.assert_array_equal(table[["probability_0", "probability_1"]], shares[:, :2])
    assert "probability_2" not in table
    assert np.abs(table["log_density"] - found.mixture_.log_density(rows.to_numpy())).max() > 0.1
    each = table_of(cli("score", path, faithful, "--rows"))
    np.testing.assert_array_equal(each["log_density"], found.score_samples(rows))
    scores = json.loads(cli("score", path, faithful, "--json").stdout)
    assert scores["mean_log_likelihood"] == found.score(rows)
    assert not {"bic", "aic"} & scores.keys()
    assert f"mean log-likelihood  {found.score(rows):.6f}" in cli("score", path, faithful).stdout


def test_sample_draws_from_the_mixture_of_the_estimator(cli, fit):
    found, rows, path = fit
    table = table_of(cli("sample", path, "-n", 500, "--components", "--seed", 3))
    expected, labels = found.mixture_.sample(500, np.random.default_rng(3))
    np.testing.assert_array_equal(table[rows.columns], expected)
    np.testing.assert_array_equal(table["component"], labels)
    assert labels.max() > 1  # a component without rows, which has a small weight


def test_describe_tells_the_bound(cli, fit, faithful):
    found, _, path = fit
    said = cli("describe", path).stdout
    assert "components  2 of at most 5 have rows" in said
    assert f"lower bound {found.lower_bound_:.2f} nats" in said
    assert json.loads(cli("describe", path, "--json").stdout)["n_parameters"] == 2 * 5 + 1
    assert "In Python, its posterior_ has intervals" in cli("describe", path, "--inference", faithful).stderr
