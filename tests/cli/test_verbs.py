"""`score`, `sample` and `describe`, and row weights: the estimator's own numbers, by name."""

import json
import re
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.formats import model_file

WEIGHTED = "x,y,w\n1,2,2\n3,4.5,0\n5,1,1\n2,2,3\n0,7,1\n"
REPEATED = "x,y\n1,2\n1,2\n5,1\n2,2\n2,2\n2,2\n0,7\n"


def test_score_is_the_estimator_s(cli, model, faithful):
    result = cli("score", model, faithful)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()[2:]] == [
        ["mean", "log-likelihood", "-4.155382"],
        ["BIC", "2322.19"],
        ["AIC", "2282.53"],
    ]
    said = json.loads(cli("score", model, faithful, "--json").stdout)
    rows = pd.read_csv(faithful)
    estimator = GaussianMixture.load(model)
    assert said["mean_log_likelihood"] == estimator.score(rows)
    assert (said["bic"], said["aic"]) == (estimator.bic(rows), estimator.aic(rows))
    assert (said["n_rows"], said["row_weight"], said["n_parameters"]) == (272, 272.0, 11)


def test_score_reads_the_rows_once(cli, model, faithful, monkeypatch):
    passes, whole = [], GaussianMixture._log_likelihood
    monkeypatch.setattr(GaussianMixture, "_log_likelihood", lambda *given: passes.append(1) or whole(*given))
    assert cli("score", model, faithful).exit_code == 0
    assert len(passes) == 1


def test_score_of_each_row(cli, model, faithful, tmp_path):
    result = cli("score", model, faithful, "--rows")
    header, *values = result.stdout.splitlines()
    expected = Mixture.load(model).log_density(np.loadtxt(faithful, delimiter=",", skiprows=1))
    assert header == "log_density"
    assert [float(value) for value in values] == expected.tolist()
    assert cli("score", model, faithful, "--rows", "-o", tmp_path / "a.npy").exit_code == 0
    assert np.array_equal(np.load(tmp_path / "a.npy")[:, 0], expected)
    assert json.loads(cli("score", model, faithful, "--rows", "--json").stdout)[0] == {"log_density": expected[0]}


def test_weights_change_no_log_density_of_a_row(cli, csv_file, tmp_path):
    weighted, plain = csv_file("1,2,5\n3,4,1\n5,7,2\n2,2,1\n"), csv_file("1,2\n3,4\n5,7\n2,2\n", "plain.csv")
    assert cli("fit", plain, "-k", 1, "-o", tmp_path / "m.gmm", "--quiet").exit_code == 0
    found = cli("score", tmp_path / "m.gmm", weighted, "--weights", "x2", "--rows")
    assert (found.exit_code, found.stdout) == (0, cli("score", tmp_path / "m.gmm", plain, "--rows").stdout)
    said = " ".join(cli("score", "--help").stdout.split())
    assert "With --rows, the column of --weights is only left out of the features." in said


def test_a_weight_counts_as_so_many_rows(cli, csv_file, tmp_path):
    weighted, repeated = csv_file(WEIGHTED, "w.csv"), csv_file(REPEATED, "r.csv")
    arguments = ["-k", "1:2", "--json", "--reg-covar", 0.1]
    one = json.loads(cli("fit", weighted, "--weights", "w", *arguments, "-o", tmp_path / "m.gmm").stdout)
    two = json.loads(cli("fit", repeated, *arguments).stdout)
    assert (one["n_rows"], one["row_weight"], one["weights"]) == (5, 7.0, "w")
    assert one["feature_names"] == ["x", "y"]
    for mine, theirs in zip(one["candidates"], two["candidates"], strict=True):
        assert mine["bic"] == pytest.approx(theirs["bic"], rel=1e-12)
    _, record = model_file.read(tmp_path / "m.gmm")
    assert (record.details.fit.n_rows, record.details.fit.row_weight) == (5, 7.0)
    mine = json.loads(cli("score", tmp_path / "m.gmm", weighted, "--weights", "w", "--json").stdout)
    theirs = json.loads(cli("score", tmp_path / "m.gmm", repeated, "--json").stdout)
    for name in ("mean_log_likelihood", "bic", "aic", "row_weight"):
        assert mine[name] == pytest.approx(theirs[name], rel=1e-12)
    assert "5 rows of total weight 7 (w), 2 features (x, y)" in cli("fit", weighted, "-k", 1, "--weights", "w").stdout
    assert "5 rows of total weight 7" in cli("score", tmp_path / "m.gmm", weighted, "--weights", "w").stdout
    assert "5 rows of total weight 7" in cli("describe", tmp_path / "m.gmm").stdout


def test_precisions_count_as_rows(cli, csv_file, tmp_path):
    rows = [(1, 2), (3, 4), (5, 7), (2, 2), (4, 6)]
    one, many = (
        csv_file("x,y,w\n" + "".join(f"{x},{y},{scale}\n" for x, y in rows), f"{scale}.csv") for scale in (1, 50)
    )
    arguments = ["--weights", "w", "--weight-meaning", "precision", "--json"]
    fits = [
        json.loads(cli("fit", table, "-k", 1, *arguments, "-o", tmp_path / "m.gmm").stdout) for table in (one, many)
    ]
    assert fits[0]["candidates"][0]["bic"] == pytest.approx(fits[1]["candidates"][0]["bic"], rel=1e-12)
    scores = [json.loads(cli("score", tmp_path / "m.gmm", table, *arguments).stdout) for table in (one, many)]
    assert scores[0]["bic"] == pytest.approx(scores[1]["bic"], rel=1e-12)
    plain = json.loads(cli("score", tmp_path / "m.gmm", many, "--weights", "w", "--json").stdout)
    assert abs(plain["bic"]) > 10 * abs(scores[0]["bic"])


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ("x,w\n1,2\n2,-1\n", "line 3, column 'w': the weight -1 is not between 0 and 1e+150."),
        ("x,w\n1,0\n2,0\n", "every weight of column 'w' is 0."),
        ("x,w\n1,1\n2,\n", "line 3, column 'w': the weight is missing"),
        ("x,w\n1,a\n2,b\n", "column 'w': line 2 holds 'a', not a number."),
        ("x,y\n1,1\n2,2\n", "has no column 'w'; it has 'x', 'y'."),
        ("w\n1\n2\n", "has no column of numbers to fit."),
    ],
    ids=["negative", "all zero", "missing", "text", "absent", "alone"],
)
def test_weights_that_are_none_are_named(contents, complaint, cli, csv_file):
    result = cli("fit", csv_file(contents), "-k", 1, "--weights", "w")
    assert (result.exit_code, result.stdout) == (1, "")
    assert complaint in result.stderr


def test_sample_draws_what_the_mixture_draws(cli, model, tmp_path):
    rows, labels = Mixture.load(model).sample(7, np.random.default_rng(3))
    result = cli("sample", model, "-n", 7, "--seed", 3, "--components")
    header, *lines = result.stdout.splitlines()
    assert header == "eruptions,waiting,component"
    found = np.array([[float(field) for field in line.split(",")] for line in lines])
    assert np.array_equal(found, np.column_stack([rows, labels]))
    assert cli("sample", model, "-n", 7, "--seed", 3).stdout != cli("sample", model, "-n", 7).stdout


def test_sample_names_what_has_no_name(cli, tmp_path):
    Mixture([1.0], [[0.0, 1.0]], [1.0], FAMILIES["spherical"]).save(tmp_path / "m.gmm")
    assert cli("sample", tmp_path / "m.gmm", "-n", 1).stdout.startswith("x0,x1\n")


def test_describe_says_what_the_file_says(cli, model):
    result = cli("describe", model)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{model}: 2 components, 2 features, full covariances"
    assert any(line.split() == ["features", "eruptions,", "waiting"] for line in lines)
    assert any(line.startswith("fitted to   272 rows, float64") for line in lines)
    assert not any("shared_noise" in line for line in lines)  # nor another option of a structure that this is not
    assert any("-1130.26 nats after 2 steps, converged" in line for line in lines)
    assert any(line.startswith("        0  0.6441  4.290 ± 0.412  79.97 ± 6.00  ") for line in lines)
    said = json.loads(cli("describe", model, "--json").stdout)
    mixture = Mixture.load(model)
    assert np.array_equal(said["covariances"], mixture.covariances)
    assert (said["layout"], said["structure"], said["n_parameters"]) == (1, "full", 11)
    assert said["feature_names"] == ["eruptions", "waiting"]
    assert said["fit"]["n_rows"] == 272
    assert said["estimator"]["name"] == "GaussianMixture"


def test_describe_a_saved_estimator_and_a_bare_mixture(cli, rng, tmp_path):
    rows, weights = rng.normal(size=(40, 2)), rng.integers(1, 4, size=40)
    estimator = GaussianMixture(2, tol=0.1, init_params="kmeans").fit(rows, sample_weight=weights)
    estimator.save(tmp_path / "e.gmm")
    said = cli("describe", tmp_path / "e.gmm").stdout
    assert f"fitted to   40 rows of total weight {weights.sum()}, float64" in said
    total = weights.sum() * estimator.lower_bound_  # before the last step
    assert f"log-lik.    {total:.2f} nats after {estimator.n_iter_} steps, converged" in said
    assert "ended       The mean log-likelihood changed by less than tol." in said  # which Python calls it
    assert "tol=0.1" in said
    assert "The features have no names." in said
    estimator.mixture_.save(tmp_path / "m.gmm")
    said = cli("describe", tmp_path / "m.gmm").stdout
    assert "settings" not in said
    assert "converged" not in said
    assert json.loads(cli("describe", tmp_path / "m.gmm", "--json").stdout)["fit"] is None


def test_invented_names_are_not_kept(cli, csv_file, tmp_path):
    assert cli("fit", csv_file("1,2\n3,4\n5,1\n"), "-k", 1, "-o", tmp_path / "m.gmm", "-q").exit_code == 0
    assert model_file.read(tmp_path / "m.gmm")[1].details.feature_names is None
    assert cli("score", tmp_path / "m.gmm", csv_file("height,age\n1,2\n2,2\n")).exit_code == 0


@pytest.mark.parametrize("verb", ["predict", "score"])
def test_columns_by_place_where_names_differ(verb, cli, model, csv_file):
    path = csv_file("b,a,c\n79,3.6,1\n54,1.8,1\n")
    assert "has no column 'eruptions', 'waiting'" in cli(verb, model, path).stderr
    renamed = cli(verb, model, path, "--columns", "a,b", "--json")
    assert renamed.exit_code == 0
    same = csv_file("eruptions,waiting\n3.6,79\n1.8,54\n", "same.csv")
    for order in ("eruptions,waiting", "waiting,eruptions"):
        expected, found = (
            json.loads(r.stdout) for r in (cli(verb, model, same, "--columns", order, "--json"), renamed)
        )
        if verb == "score":
            assert found["bic"] == expected["bic"]
        else:
            assert [row["log_density"] for row in found] == [row["log_density"] for row in expected]
    assert "has 1 numeric column, but" in cli(verb, model, path, "--columns", "a").stderr


@pytest.mark.parametrize("verb", ["fit", "predict", "score", "sample", "describe"])
def test_defaults_in_the_help_are_values(verb, cli):
    said = cli(verb, "--help").stdout
    assert "[default: (" not in said
    assert "--json" in said


@pytest.mark.parametrize("verb", ["fit", "predict", "describe", "plot"])
def test_the_help_lists_each_option_once_and_those_of_tables_last(verb, cli):
    own, of_tables = cli(verb, "--help").stdout.split("\nOptions of tables:\n")
    listed = [re.findall(r"^  (?:-\w, )?(--[\w-]+)", part, re.MULTILINE) for part in (own, of_tables)]
    assert "--delimiter" in listed[1]
    assert "--quiet" in listed[0]
    command = getattr(import_module(f"gaussmix.cli.verbs.{verb}"), verb)
    flags = [flag for each in command.params for flag in each.opts if flag.startswith("--")]
    assert sorted([*listed[0], *listed[1]]) == sorted([*flags, "--help"])


@pytest.mark.parametrize("verb", ["predict", "score", "sample", "describe"])
def test_a_damaged_model_is_one_sentence(verb, cli, model, faithful):
    model.write_bytes(model.read_bytes()[:-1])
    arguments = {"sample": ["-n", 1], "describe": []}.get(verb, [faithful])
    result = cli(verb, model, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"gaussmix: {model} is not a usable gaussmix model: it is damaged or truncated, or not a model at all.\n"
    )


def test_outliers_are_left_out(cli, csv_file, tmp_path):
    rows = [(0.1 * (i % 7), 0.1 * (i % 5)) for i in range(35)] + [(5 + 0.1 * (i % 5), 0.1 * (i % 7)) for i in range(35)]
    table = csv_file("x,y\n" + "".join(f"{x},{y}\n" for x, y in [*rows, (1e6, 1e6), (-1e6, 40), (900, -1e6)]), "t.csv")
    arguments = ["-k", 2, "-s", "diag", "--trim", 0.05, "--max-condition", 4, "-o", tmp_path / "m.gmm", "--json"]
    assert cli("fit", table, *arguments).exit_code == 0
    mixture = Mixture.load(tmp_path / "m.gmm")
    assert np.abs(mixture.means).max() < 6
    assert mixture.family.options == {"max_condition": 4.0}
    assert "max_condition=4" in cli("describe", tmp_path / "m.gmm").stdout
    assert "must be a share below 1/2" in cli("fit", table, "--trim", 0.5).stderr
    assert "must be a finite number ≥ 1" in cli("fit", table, "--max-condition", 0.5).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "M", "DATA", "--outliers"],
        ["predict", "M", "DATA", "--targets", "waiting"],
        ["merge", "M", "M", "-o", "OUT"],
        ["merge", "M", "-k", "1", "-o", "OUT"],
        ["convert", "M", "m.joblib"],
        ["sample", "M", "-n", "3"],
    ],
)
def test_what_noise_has_not_is_refused_in_words_of_the_command_line(arguments, cli, faithful, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("fit", faithful, "-k", 2, "--noise", "-o", "m.gmm", "-q").exit_code == 0
    result = cli(*[{"M": "m.gmm", "DATA": faithful, "OUT": "out.gmm"}.get(each, each) for each in arguments])
    assert result.exit_code == 1
    assert result.stderr.endswith("Fit again without --noise.\n")
    assert "noise_volume" not in result.stderr
