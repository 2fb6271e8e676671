"""Tests that the subcommands `score`, `sample` and `describe` give the results of the estimator."""

import csv
import io
import json
import re
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, GaussianMixtureClassifier, Mixture, Noise
from gaussmix._src.formats import model_file

WEIGHTED = "x,y,w\n1,2,2\n3,4.5,0\n5,1,1\n2,2,3\n0,7,1\n"
REPEATED = "x,y\n1,2\n1,2\n5,1\n2,2\n2,2\n2,2\n0,7\n"


def test_score_prints_the_scores_of_the_estimator(cli, model, faithful, csv_file):
    result = cli("score", model, faithful)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()[2:]] == [
        ["mean", "log-likelihood", "-4.155382"],
        ["BIC", "2322.19"],
        ["AIC", "2282.53"],
    ]
    estimator = GaussianMixture.load(model)
    for path, n_rows in (faithful, 272), (csv_file(faithful.read_text() + ",\n" * 30), 302):  # 30 empty rows
        output = json.loads(cli("score", model, path, "--json").stdout)
        rows = pd.read_csv(path)
        assert output["mean_log_likelihood"] == estimator.score(rows)
        assert (output["bic"], output["aic"]) == (estimator.bic(rows), estimator.aic(rows))
        assert (output["n_rows"], output["row_weight"], output["n_parameters"]) == (n_rows, n_rows, 11)


def test_score_accepts_a_column_in_which_every_value_is_missing(cli, model, csv_file):
    table = csv_file("eruptions,waiting\n3.6,\n1.8,\n")
    expected = GaussianMixture.load(model).score(pd.DataFrame({"eruptions": [3.6, 1.8], "waiting": np.nan}))
    assert json.loads(cli("score", model, table, "--json").stdout)["mean_log_likelihood"] == expected


def test_score_rows_prints_the_log_density_of_each_row(cli, model, faithful, tmp_path):
    result = cli("score", model, faithful, "--rows")
    header, *values = result.stdout.splitlines()
    expected = Mixture.load(model).log_density(np.loadtxt(faithful, delimiter=",", skiprows=1))
    assert header == "log_density"
    assert [float(value) for value in values] == expected.tolist()
    assert cli("score", model, faithful, "--rows", "-o", tmp_path / "a.npy").exit_code == 0
    assert np.array_equal(np.load(tmp_path / "a.npy")[:, 0], expected)
    assert json.loads(cli("score", model, faithful, "--rows", "--json").stdout)[0] == {"log_density": expected[0]}


def test_a_frequency_weight_counts_as_repeated_rows(cli, csv_file, tmp_path):
    weighted, repeated = csv_file(WEIGHTED, "w.csv"), csv_file(REPEATED, "r.csv")
    arguments = ["-k", "1:2", "--json", "--reg-covar", 0.1]
    one = json.loads(cli("fit", weighted, "--weights", "w", *arguments, "-o", tmp_path / "m.gmm").stdout)
    two = json.loads(cli("fit", repeated, *arguments).stdout)
    assert (one["n_rows"], one["row_weight"], one["weights"]) == (5, 7.0, "w")
    assert one["feature_names"] == ["x", "y"]
    for actual, expected in zip(one["candidates"], two["candidates"], strict=True):
        assert actual["bic"] == pytest.approx(expected["bic"], rel=1e-12)
    _, record = model_file.read(tmp_path / "m.gmm")
    assert (record.details.fit.n_rows, record.details.fit.row_weight) == (5, 7.0)
    actual = json.loads(cli("score", tmp_path / "m.gmm", weighted, "--weights", "w", "--json").stdout)
    expected = json.loads(cli("score", tmp_path / "m.gmm", repeated, "--json").stdout)
    for name in ("mean_log_likelihood", "bic", "aic", "row_weight"):
        assert actual[name] == pytest.approx(expected[name], rel=1e-12)
    assert "5 rows of total weight 7 (w), 2 features (x, y)" in cli("fit", weighted, "-k", 1, "--weights", "w").stdout
    assert "5 rows of total weight 7" in cli("score", tmp_path / "m.gmm", weighted, "--weights", "w").stdout
    assert "5 rows of total weight 7" in cli("describe", tmp_path / "m.gmm").stdout


def test_bic_does_not_depend_on_the_scale_of_precision_weights(cli, csv_file, tmp_path):
    rows = [(1, 2), (3, 4), (5, 7), (2, 2), (4, 6)]
    one, many = (csv_file("x,y,w\n" + "".join(f"{x},{y},{w}\n" for x, y in rows), f"{w}.csv") for w in (1, 50))
    options = ["--weights", "w", "--weight-type", "precision", "--json"]
    fits = [json.loads(cli("fit", table, "-k", 1, *options, "-o", tmp_path / "m.gmm").stdout) for table in (one, many)]
    assert fits[0]["candidates"][0]["bic"] == pytest.approx(fits[1]["candidates"][0]["bic"], rel=1e-12)
    scores = [json.loads(cli("score", tmp_path / "m.gmm", table, *options).stdout) for table in (one, many)]
    assert scores[0]["bic"] == pytest.approx(scores[1]["bic"], rel=1e-12)
    plain = json.loads(cli("score", tmp_path / "m.gmm", many, "--weights", "w", "--json").stdout)
    assert abs(plain["bic"]) > 10 * abs(scores[0]["bic"])


def test_sample_equals_the_sample_method_with_the_same_seed(cli, model):
    rows, labels = Mixture.load(model).sample(7, np.random.default_rng(3))
    result = cli("sample", model, "-n", 7, "--seed", 3, "--components")
    header, *lines = result.stdout.splitlines()
    assert header == "eruptions,waiting,component"
    found = np.array([[float(field) for field in line.split(",")] for line in lines])
    assert np.array_equal(found, np.column_stack([rows, labels]))
    assert cli("sample", model, "-n", 7, "--seed", 3).stdout != cli("sample", model, "-n", 7).stdout


def test_sample_invents_names_for_unnamed_features(cli, tmp_path):
    Mixture([1.0], [[0.0, 1.0]], [1.0], FAMILIES["spherical"]).save(tmp_path / "m.gmm")
    assert cli("sample", tmp_path / "m.gmm", "-n", 1).stdout.startswith("x0,x1\n")


def test_describe_prints_the_contents_of_a_model_file(cli, model):
    result = cli("describe", model)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{model}: 2 components, 2 features, full covariances"
    assert any(line.split() == ["features", "eruptions,", "waiting"] for line in lines)
    assert any(line.startswith("fitted to   272 rows, float64") for line in lines)
    assert not any("shared_noise" in line for line in lines)  # options of other structures are not printed
    assert any("-1130.26 nats after 2 steps, converged" in line for line in lines)
    assert any(line.startswith("        1  0.6441  4.290 ± 0.412  79.97 ± 6.00  ") for line in lines)
    output = json.loads(cli("describe", model, "--json").stdout)
    mixture = Mixture.load(model)
    assert np.array_equal(output["covariances"], mixture.covariances)
    assert (output["layout"], output["structure"], output["n_parameters"]) == (1, "full", 11)
    assert output["feature_names"] == ["eruptions", "waiting"]
    assert output["fit"]["n_rows"] == 272
    assert output["estimator"]["name"] == "GaussianMixture"


def test_describe_reports_a_saved_estimator_and_a_mixture_without_a_fit(cli, rng, tmp_path):
    rows, weights = rng.normal(size=(40, 2)), rng.integers(1, 4, size=40)
    estimator = GaussianMixture(2, tol=0.1, init_params="kmeans").fit(rows, sample_weight=weights)
    estimator.save(tmp_path / "e.gmm")
    output = cli("describe", tmp_path / "e.gmm").stdout
    assert f"fitted to   40 rows of total weight {weights.sum()}, float64" in output
    total = weights.sum() * estimator.lower_bound_  # the log-likelihood of the parameters before the last step
    assert f"log-lik.    {total:.2f} nats after {estimator.n_iter_} steps, converged" in output
    assert "ended       The mean log-likelihood changed by less than tol." in output  # tol is the name of the parameter
    assert "tol=0.1" in output
    assert "The features have no names." in output
    estimator.mixture_.save(tmp_path / "m.gmm")
    output = cli("describe", tmp_path / "m.gmm").stdout
    assert "settings" not in output
    assert "converged" not in output
    assert json.loads(cli("describe", tmp_path / "m.gmm", "--json").stdout)["fit"] is None


def test_fit_does_not_store_invented_feature_names(cli, csv_file, tmp_path):
    assert cli("fit", csv_file("1,2\n3,4\n5,1\n"), "-k", 1, "-o", tmp_path / "m.gmm", "-q").exit_code == 0
    assert model_file.read(tmp_path / "m.gmm")[1].details.feature_names is None
    assert cli("score", tmp_path / "m.gmm", csv_file("height,age\n1,2\n2,2\n")).exit_code == 0


@pytest.mark.parametrize("subcommand", ["predict", "score"])
def test_columns_option_matches_differently_named_columns_by_index(subcommand, cli, model, csv_file):
    path = csv_file("b,a,c\n79,3.6,1\n54,1.8,1\n")
    renamed = cli(subcommand, model, path, "--columns", "a,b", "--json")
    assert renamed.exit_code == 0
    same = csv_file("eruptions,waiting\n3.6,79\n1.8,54\n", "same.csv")
    for order in ("eruptions,waiting", "waiting,eruptions"):
        named = cli(subcommand, model, same, "--columns", order, "--json")
        expected, found = (json.loads(result.stdout) for result in (named, renamed))
        if subcommand == "score":
            assert found["bic"] == expected["bic"]
        else:
            assert [row["log_density"] for row in found] == [row["log_density"] for row in expected]


@pytest.mark.parametrize("subcommand", ["fit", "predict", "describe", "plot"])
def test_help_lists_each_option_once_and_table_options_last(subcommand, cli):
    own, table_options = cli(subcommand, "--help").stdout.split("\nOptions for tables:\n")
    listed = [re.findall(r"^  (?:-\w, )?(--[\w-]+)", part, re.MULTILINE) for part in (own, table_options)]
    assert "--delimiter" in listed[1]
    assert "--quiet" in listed[0]
    command = getattr(import_module(f"gaussmix._src.cli.subcommands.{subcommand}"), subcommand)
    flags = [flag for each in command.params for flag in each.opts if flag.startswith("--")]
    assert sorted([*listed[0], *listed[1]]) == sorted([*flags, "--help"])


def test_trim_option_excludes_outliers_from_the_fit(cli, csv_file, tmp_path):
    rows = [(0.1 * (i % 7), 0.1 * (i % 5)) for i in range(35)] + [(5 + 0.1 * (i % 5), 0.1 * (i % 7)) for i in range(35)]
    table = csv_file("x,y\n" + "".join(f"{x},{y}\n" for x, y in [*rows, (1e6, 1e6), (-1e6, 40), (900, -1e6)]), "t.csv")
    arguments = ["-k", 2, "-s", "diag", "--trim", 0.05, "--max-condition", 4, "-o", tmp_path / "m.gmm", "--json"]
    assert cli("fit", table, *arguments).exit_code == 0
    mixture = Mixture.load(tmp_path / "m.gmm")
    assert np.abs(mixture.means).max() < 6
    assert mixture.family.non_default_params == {"max_condition": 4.0}
    assert "max_condition=4" in cli("describe", tmp_path / "m.gmm").stdout


def test_subcommands_equal_the_methods_of_a_bayesian_estimator(cli, faithful, tmp_path):
    """Check a fit to one sixth of the rows, whose predictive density differs from the density of its mixture."""
    rows, path = pd.read_csv(faithful), tmp_path / "b.gmm"
    found = BayesianGaussianMixture(5, weight_concentration_prior=1.0, random_state=1).fit(rows[::6])
    assert (found.mass_ > 0).sum() == 2
    found.save(path)

    def table_of(*words):
        return pd.read_csv(io.StringIO(cli(*words).stdout), float_precision="round_trip")

    table, responsibilities = table_of("predict", path, faithful, "--probabilities"), found.predict_proba(rows)
    np.testing.assert_array_equal(table["component"], found.predict(rows))
    np.testing.assert_array_equal(table["log_density"], found.score_samples(rows))
    np.testing.assert_array_equal(table["probability"], responsibilities.max(axis=1))
    np.testing.assert_array_equal(table[["probability_0", "probability_1"]], responsibilities[:, :2])
    assert "probability_2" not in table
    assert np.abs(table["log_density"] - found.mixture_.log_density(rows.to_numpy())).max() > 0.1
    each = table_of("score", path, faithful, "--rows")
    np.testing.assert_array_equal(each["log_density"], found.score_samples(rows))
    scores = json.loads(cli("score", path, faithful, "--json").stdout)
    assert scores["mean_log_likelihood"] == found.score(rows)
    assert not {"bic", "aic"} & scores.keys()
    assert f"mean log-likelihood  {found.score(rows):.6f}" in cli("score", path, faithful).stdout
    drawn = table_of("sample", path, "-n", 500, "--components", "--seed", 3)
    expected, labels = found.mixture_.sample(500, np.random.default_rng(3))
    np.testing.assert_array_equal(drawn, np.column_stack([expected, labels]))
    assert labels.max() > 1  # a component without rows has a small weight, so that rows of this component can be drawn
    output = cli("describe", path).stdout
    assert "components  2 of at most 5 have rows" in output
    assert f"lower bound {found.lower_bound_:.2f} nats" in output
    assert json.loads(cli("describe", path, "--json").stdout)["n_parameters"] == 2 * 5 + 1
    assert "In Python, its posterior_ has intervals" in cli("describe", path, "--inference", faithful).stderr


TABLE = "x,y\n1,2\n2,\n,3\n4,5\n2,3.5\n9,1\n8,2\n9,2.5\n8.5,\n"


ROWS = np.array([[float(value or "nan") for value in line.split(",")] for line in TABLE.splitlines()[1:]])


def test_fit_and_predict_with_missing_values_equal_the_estimator(cli, csv_file, tmp_path):
    table = csv_file(TABLE)
    model = tmp_path / "model.gmm"
    options = ["-k", "1", "--structure", "full"]
    assert cli("fit", table, *options, "--tol", "1e-9", "--max-iter", "500", "-o", model).exit_code == 0
    estimator = GaussianMixture(1, reg_covar=0.0, tol=1e-9, max_iter=500).fit(ROWS)
    np.testing.assert_allclose(Mixture.load(model).means, estimator.means_, rtol=1e-9)

    found = list(csv.DictReader(io.StringIO(cli("predict", model, table, "--outliers").stdout)))
    np.testing.assert_allclose([float(row["log_density"]) for row in found], estimator.score_samples(ROWS), rtol=1e-6)
    parts = [estimator.mixture_.marginal(np.flatnonzero(~np.isnan(row))) for row in ROWS]
    tails = [part.density_p_value(row[None, ~np.isnan(row)])[0] for part, row in zip(parts, ROWS, strict=True)]
    np.testing.assert_allclose([float(row["p_value"]) for row in found], tails, rtol=1e-6)
    scores = json.loads(cli("score", model, table, "--json").stdout)
    assert scores["mean_log_likelihood"] == pytest.approx(estimator.score(ROWS), rel=1e-6)


def test_predict_assigns_noise_to_component_minus_one(cli, tmp_path, rng):
    rows = np.concatenate([rng.normal(size=(100, 2)), rng.uniform(-20, 20, size=(50, 2))])
    np.savetxt(tmp_path / "junk.csv", rows, delimiter=",", header="x,y", comments="")
    model = tmp_path / "model.gmm"
    assert cli("fit", tmp_path / "junk.csv", "-k", "1", "--noise", "-o", model).exit_code == 0
    found = list(csv.DictReader(io.StringIO(cli("predict", model, tmp_path / "junk.csv").stdout)))
    labels = np.array([int(row["component"]) for row in found])
    assert set(labels) == {-1, 0}
    assert np.mean(labels[100:] == -1) > 0.8
    assert all(0.5 <= float(row["probability"]) <= 1.0 for row in found)


def test_json_of_a_mixture_contains_its_noise_component(cli, faithful, tmp_path):
    model = tmp_path / "noise.gmm"
    chosen = json.loads(cli("fit", faithful, "-k", 2, "-s", "full", "--noise", "--json").stdout)["chosen"]
    assert sum(chosen["weights"]) + chosen["noise"]["weight"] == pytest.approx(1)
    for volume, box in ((300.0, None), ([[0, 0], [10, 100]], [[0, 0], [10, 100]])):
        GaussianMixture(1, noise=Noise(volume=volume)).fit(pd.read_csv(faithful)).save(model)
        found, noise = json.loads(cli("describe", model, "--json").stdout)["noise"], Mixture.load(model).noise
        assert found == {"weight": noise.weight, "log_volume": noise.log_volume, "box": box}


def test_classify_accepts_rows_with_missing_values(cli, csv_file):
    lines = [f"{line},{'a' if row < 4 else 'b'}" for row, line in enumerate(TABLE.splitlines()[1:])]
    known = csv_file("x,y,kind\n" + "\n".join(lines) + "\n", "known.csv")
    result = cli("classify", known, known, "--labels", "kind", "-s", "diag", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    classifier = GaussianMixtureClassifier(covariance_type="diag", random_state=0).fit(ROWS, list("aaaabbbbb"))
    found = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["class"] for row in found] == classifier.predict(ROWS).tolist()
    probability = classifier.predict_proba(ROWS).max(axis=1)
    np.testing.assert_allclose([float(row["probability"]) for row in found], probability, rtol=1e-9)


def test_describe_prints_the_inference_of_the_estimator(cli, faithful, model):
    rows = np.loadtxt(faithful, delimiter=",", skiprows=1)
    expected = GaussianMixture(2, random_state=0, tol=1e-6, max_iter=1000, reg_covar=0.0).fit(rows).inference(rows)
    run = cli("describe", model, "--inference", faithful)
    assert "Inference by the Hessian of the objective" in run.stdout
    assert "mean[1, waiting]    79.968      0.456  79.074  80.862" in run.stdout
    assert run.stderr == ""
    found = json.loads(cli("describe", model, "--inference", faithful, "--json").stdout)["inference"]
    assert found["term"][:3] == ["weight[0]", "weight[1]", "mean[0, eruptions]"]
    np.testing.assert_allclose(found["std_error"], expected.bse, rtol=1e-6)
    assert found["method"] == "the Hessian of the objective"
    assert found["notes"] == []


def test_describe_inference_warns_of_a_different_number_of_rows(cli, faithful, model, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("".join(faithful.read_text().splitlines(keepends=True)[:200]))
    result = cli("describe", model, "--inference", other)
    assert "The fit had 272 rows, and DATA has 199." in result.stderr
    assert "- The fit had 272 rows, and DATA has 199." in result.stdout


def test_describe_inference_names_the_python_method_if_no_formula_applies(cli, csv_file, tmp_path, rng):
    lines = (",".join(map(str, row)) for row in rng.normal(size=(60, 4)).tolist())
    data = csv_file("\n".join(["a,b,c,d", *lines]))
    fitted = cli("fit", data, "-k", 1, "-s", "factor_analyzer", "--n-factors", 3, "-o", tmp_path / "m.gmm")
    assert fitted.exit_code == 0
    result = cli("describe", tmp_path / "m.gmm", "--inference", data)
    assert result.exit_code == 1
    assert "do not determine the loadings of 3 factors. In Python, use bootstrap(X)." in result.stderr


def test_weights_do_not_change_the_log_density_of_rows(cli, csv_file, tmp_path):
    weighted, plain = csv_file("1,2,5\n3,4,1\n5,7,2\n2,2,1\n"), csv_file("1,2\n3,4\n5,7\n2,2\n", "plain.csv")
    assert cli("fit", plain, "-k", 1, "-o", tmp_path / "m.gmm", "--quiet").exit_code == 0
    found = cli("score", tmp_path / "m.gmm", weighted, "--weights", "x2", "--rows")
    assert (found.exit_code, found.stdout) == (0, cli("score", tmp_path / "m.gmm", plain, "--rows").stdout)
