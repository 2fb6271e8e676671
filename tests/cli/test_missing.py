"""`--missing`: rows with empty cells on the command line are those of the estimators."""

import csv
import io
import json

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureClassifier, Mixture

TABLE = "x,y\n1,2\n2,\n,3\n4,5\n2,3.5\n9,1\n8,2\n9,2.5\n8.5,\n"
ROWS = np.array([[float(cell or "nan") for cell in line.split(",")] for line in TABLE.splitlines()[1:]])


@pytest.fixture
def table(tmp_path):
    (tmp_path / "holes.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path / "holes.csv"


def test_a_fit_and_predictions_are_those_of_the_estimator(cli, table, tmp_path):
    model = tmp_path / "model.gmm"
    options = ["-k", "1", "--structure", "full", "--missing"]
    assert cli("fit", table, *options, "--tol", "1e-9", "--max-iter", "500", "-o", model).exit_code == 0
    alone = GaussianMixture(1, reg_covar=0.0, tol=1e-9, max_iter=500).fit(ROWS)
    np.testing.assert_allclose(Mixture.load(model).means, alone.means_, rtol=1e-9)

    found = list(csv.DictReader(io.StringIO(cli("predict", model, table, "--missing", "--outliers").stdout)))
    np.testing.assert_allclose([float(row["log_density"]) for row in found], alone.score_samples(ROWS), rtol=1e-6)
    parts = [alone.mixture_.marginal(np.flatnonzero(~np.isnan(row))) for row in ROWS]
    tails = [part.tail_probability(row[None, ~np.isnan(row)])[0] for part, row in zip(parts, ROWS, strict=True)]
    np.testing.assert_allclose([float(row["p_value"]) for row in found], tails, rtol=1e-6)
    scores = json.loads(cli("score", model, table, "--missing", "--json").stdout)
    assert scores["mean_log_likelihood"] == pytest.approx(alone.score(ROWS), rel=1e-6)


def test_without_it_the_first_empty_cell_is_named(cli, table):
    failed = cli("fit", table, "-k", "1")
    assert failed.exit_code == 1
    assert "line 3, column 'y': the value is missing" in failed.stderr


@pytest.mark.parametrize("options", [[], ["--missing"]])
def test_a_cell_of_text_is_named_rather_than_the_empty_ones_before_it(options, cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,waiting\n3.1,\n1.9, \n1.8,abc\n"), *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(", column 'waiting': line 4 holds 'abc', not a number.\n")


def test_noise_is_component_minus_one(cli, tmp_path, rng):
    rows = np.concatenate([rng.normal(size=(100, 2)), rng.uniform(-20, 20, size=(50, 2))])
    np.savetxt(tmp_path / "junk.csv", rows, delimiter=",", header="x,y", comments="")
    model = tmp_path / "model.gmm"
    assert cli("fit", tmp_path / "junk.csv", "-k", "1", "--noise", "-o", model).exit_code == 0
    found = list(csv.DictReader(io.StringIO(cli("predict", model, tmp_path / "junk.csv").stdout)))
    labels = np.array([int(row["component"]) for row in found])
    assert set(labels) == {-1, 0}
    assert np.mean(labels[100:] == -1) > 0.8
    assert all(0.5 <= float(row["probability"]) <= 1.0 for row in found)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["fit", "HOLES", "-k", 1], "Add --drop-missing or --missing, or fill such cells first."),
        (["plot", "MODEL", "HOLES", "-o", "m.png"], "Add --drop-missing, or fill such cells first."),
        (["classify", "HOLES", "HOLES", "--labels", "s"], "Add --drop-missing or --missing, or fill such cells first."),
        (
            ["fit", "HOLES", "-k", 1, "--weights", "eruptions", "--missing"],
            "column 'eruptions': the weight is missing (NaN or null). Give a number: 0 leaves the row out.",
        ),
        (["fit", "INF", "-k", 1], "the value is infinite. Remove or fill such rows first."),
        (["fit", "INF", "-k", 1, "--drop-missing"], "the value is infinite. Remove or fill such rows first."),
    ],
)
def test_the_advice_names_only_options_that_help(arguments, advice, cli, model, csv_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "eruptions,waiting,s\n1,2,a\n{},80,b\n4,76,b\n"
    files = {"MODEL": model}
    files |= {name: csv_file(rows.format(cell), f"{name}.csv") for name, cell in (("HOLES", ""), ("INF", "inf"))}
    result = cli(*[files.get(argument, argument) for argument in arguments])
    assert result.exit_code == 1
    assert result.stderr.endswith(f"{advice}\n")


def test_rows_with_empty_cells_are_classified(cli, csv_file):
    lines = [f"{line},{'a' if row < 4 else 'b'}" for row, line in enumerate(TABLE.splitlines()[1:])]
    known = csv_file("x,y,kind\n" + "\n".join(lines) + "\n", "known.csv")
    result = cli("classify", known, known, "--labels", "kind", "-s", "diag", "--missing", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    classifier = GaussianMixtureClassifier(covariance_type="diag", random_state=0).fit(ROWS, list("aaaabbbbb"))
    found = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["class"] for row in found] == classifier.predict(ROWS).tolist()
    probability = classifier.predict_proba(ROWS).max(axis=1)
    np.testing.assert_allclose([float(row["probability"]) for row in found], probability, rtol=1e-9)
    refused = cli("classify", known, known, "--labels", "kind", "--missing", "--drop-missing")
    assert refused.exit_code == 2
