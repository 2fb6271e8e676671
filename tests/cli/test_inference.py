"""`gaussmix describe --inference`: standard errors from the rows of the fit."""

import json

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureClassifier


@pytest.fixture
def model(cli, faithful, tmp_path):
    path = tmp_path / "m.gmm"
    cli("fit", faithful, "-k", "2", "-o", path)
    return path


def test_it_prints_what_the_estimator_finds(cli, faithful, model):
    rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
    expected = GaussianMixture(2, random_state=0, tol=1e-6, max_iter=1000, reg_covar=0.0).fit(rows).inference(rows)
    run = cli("describe", model, "--inference", faithful)
    assert "Inference by the Hessian of the objective" in run.stdout
    assert "mean[0, waiting]    79.968      0.456  79.074  80.862" in run.stdout
    assert run.stderr == ""
    found = json.loads(cli("describe", model, "--inference", faithful, "--json").stdout)["inference"]
    assert found["term"][:3] == ["weight[0]", "weight[1]", "mean[0, eruptions]"]
    np.testing.assert_allclose(found["std_error"], expected.bse, rtol=1e-6)
    assert found["method"] == "the Hessian of the objective"
    assert found["notes"] == []


def test_where_formulas_fall_short_it_prints_refits(cli, tmp_path):
    data, model = tmp_path / "rows.csv", tmp_path / "m.gmm"
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2)) + 1.5 * (rng.random(200) < 0.4)[:, None]
    np.savetxt(data, rows, delimiter=",", header="a,b", comments="")
    cli("fit", data, "-k", "2", "-o", model)
    said = cli("describe", model, "--inference", data).stdout
    assert "Bootstrap by 199 refits, to the rows with random weights" in said
    assert "The rows say little about some of the parameters." in " ".join(said.split())
    found = json.loads(cli("describe", model, "--inference", data, "--json").stdout)["inference"]
    assert found["method"].startswith("199 refits")


def test_other_rows_are_noticed(cli, faithful, model, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("".join(faithful.read_text().splitlines(keepends=True)[:200]))
    assert "The fit had 272 rows, and DATA has 199." in cli("describe", model, "--inference", other).stderr


def test_what_has_no_inference_is_refused(cli, faithful, tmp_path):
    rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
    GaussianMixtureClassifier().fit(rows, rows[:, 0] > 3).save(tmp_path / "c.gmm")
    run = cli("describe", tmp_path / "c.gmm", "--inference", faithful)
    assert run.exit_code != 0
    assert "--inference needs a GaussianMixture" in run.stderr
