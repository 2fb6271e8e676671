"""Tests of the table that `gaussmix predict` writes."""

import csv
import io
import json
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gaussmix import Mixture, Mixtures, fit_many
from gaussmix._src.cli.outputs import write_json


def read(text):
    header, *rows = csv.reader(io.StringIO(text))
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def test_predict_adds_component_probability_and_log_density(cli, model, faithful):
    result = cli("predict", model, faithful)
    assert (result.exit_code, result.stderr) == (0, "")
    header, rows = read(result.stdout)
    assert header == ["eruptions", "waiting", "component", "probability", "log_density"]
    mixture = Mixture.load(model)
    features = np.loadtxt(faithful, delimiter=",", skiprows=1)
    assert np.array_equal([[float(row["eruptions"]), float(row["waiting"])] for row in rows], features)
    assert np.array_equal([int(row["component"]) for row in rows], mixture.predict(features))
    assert np.array_equal([float(row["probability"]) for row in rows], mixture.responsibilities(features).max(axis=1))
    assert np.array_equal([float(row["log_density"]) for row in rows], mixture.log_density(features))


def test_predict_matches_columns_by_name_and_copies_the_others_unchanged(cli, model, csv_file):
    path = csv_file('waiting,id,eruptions,note\n79,007,3.60,"a,b"\n54,008,1.8,\n')
    result = cli("predict", model, path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "waiting,id,eruptions,note,component,probability,log_density"
    assert lines[1].startswith('79,007,3.60,"a,b",1,0.99')
    assert lines[2].startswith("54,008,1.8,,0,0.99")
    mixture = Mixture.load(model)
    expected = mixture.log_density([[3.6, 79.0], [1.8, 54.0]])
    assert [float(row["log_density"]) for row in read(result.stdout)[1]] == expected.tolist()


def test_a_new_column_gets_an_underscore_if_its_name_exists(cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,waiting,component,component_\n3.6,79,x,y\n"))
    assert result.stdout.splitlines()[0].split(",")[2:5] == ["component", "component_", "component__"]
    assert "has a column 'component' already, so the new one is called 'component__'" in result.stderr
    assert cli("predict", model, csv_file("eruptions,waiting,component\n3.6,79,x\n"), "--quiet").stderr == ""
    piped = cli("predict", model, "-", input="eruptions,waiting,component\n3.6,79,x\n")
    assert piped.stderr.startswith("gaussmix: standard input has a column 'component' already")


def test_a_failed_predict_preserves_the_old_output_file(cli, model, csv_file, tmp_path):
    (tmp_path / "out.csv").write_text("before")
    table = csv_file("eruptions,waiting\n3.6,\n")
    result = cli("predict", model, table, "-o", tmp_path / "out.csv", "--missing", "error")
    assert result.exit_code == 1
    assert (tmp_path / "out.csv").read_text() == "before"


def test_predict_prints_one_json_record_per_row(cli, model, csv_file):
    records = json.loads(
        cli("predict", model, csv_file("eruptions,id,waiting\n3.6,007,79\n1.8,008,54\n"), "--json").stdout
    )
    assert [list(record) for record in records] == [
        ["eruptions", "id", "waiting", "component", "probability", "log_density"]
    ] * 2
    assert records[0]["eruptions"] == 3.6
    assert records[0]["id"] == "007"
    assert [record["component"] for record in records] == [1, 0]


def test_write_json_writes_null_for_infinite_values():
    file = io.BytesIO()
    write_json(file, [pa.table({"log_density": [-np.inf, -1.5]})])
    assert json.loads(file.getvalue()) == [{"log_density": None}, {"log_density": -1.5}]
    file = io.BytesIO()
    write_json(file, [pa.table({"log_density": []})])
    assert json.loads(file.getvalue()) == []


@pytest.mark.parametrize("contents", ["3.6,79\n1.8,54\n", "when,eruptions,waiting\nnow,3.6,79\nthen,1.8,54\n"])
def test_columns_are_matched_by_index_if_the_model_has_no_names(contents, cli, model, csv_file, tmp_path):
    mixture = Mixture.load(model)
    mixture.save(tmp_path / "nameless.gmm")
    result = cli("predict", tmp_path / "nameless.gmm", csv_file(contents))
    assert [row["component"] for row in read(result.stdout)[1]] == ["1", "0"]


def test_columns_in_another_order_predict_the_same_targets(cli, model, faithful):
    words = "predict", model, faithful, "--targets", "waiting"
    expected = cli(*words).stdout
    for names in ("eruptions", "eruptions,waiting", "waiting,eruptions"):
        assert cli(*words, "--columns", names).stdout == expected


def test_targets_option_predicts_conditional_means_and_deviations(cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,id\n3.6,a\n1.8,b\n"), "--targets", "waiting")
    assert (result.exit_code, result.stderr) == (0, "")
    header, rows = read(result.stdout)
    assert header == ["eruptions", "id", "waiting_predicted", "waiting_std"]
    mixture = Mixture.load(model)
    observed = np.array([[3.6], [1.8]])
    mean, covariance = mixture.conditional_mean(observed, [0]), mixture.conditional_covariance(observed, [0])
    assert [float(row["waiting_predicted"]) for row in rows] == mean[:, 0].tolist()
    assert [float(row["waiting_std"]) for row in rows] == pytest.approx(
        np.sqrt(covariance[:, 0, 0]).tolist(), rel=1e-12
    )


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ("eruptions,waiting,id\n3.6,79,07\n1.8,NA,08\n", [79.0, None]),
        ("eruptions,waiting,id\n3.6,,07\n1.8,NA,08\n", [None, None]),
        ("eruptions,waiting,id\n3.6,long,07\n1.8,short,08\n", ["long", "short"]),
    ],
)
def test_json_copies_known_targets_as_numbers(contents, expected, cli, model, csv_file):
    result = cli("predict", model, csv_file(contents), "--targets", "waiting", "--json")
    records = json.loads(result.stdout)
    assert [record["waiting"] for record in records] == expected
    assert [record["id"] for record in records] == ["07", "08"]


def test_quantile_columns_are_named_as_the_quantiles_were_typed(cli, model, csv_file):
    path = csv_file("waiting,eruptions\n79,\n54,\n")  # the target column may exist and be empty
    result = cli("predict", model, path, "--targets", "eruptions", "--quantiles", "0.05,.5")
    header, rows = read(result.stdout)
    assert header[2:] == ["eruptions_predicted", "eruptions_std", "eruptions_0.05", "eruptions_.5"]
    mixture = Mixture.load(model)
    for row, waiting in zip(rows, (79.0, 54.0), strict=True):
        expected = mixture.condition({1: waiting}).quantile([0.05, 0.5])
        assert [float(row["eruptions_0.05"]), float(row["eruptions_.5"])] == pytest.approx(expected.tolist(), rel=1e-11)


@pytest.mark.parametrize("contents", ["79\n54\n", "0,79\n0,54\n", "a,b\n0,79\n0,54\n"])
def test_targets_without_feature_names_are_matched_by_index(contents, cli, model, csv_file, tmp_path):
    mixture = Mixture.load(model)
    mixture.with_feature_names(None).save(tmp_path / "nameless.gmm")
    result = cli("predict", tmp_path / "nameless.gmm", csv_file(contents), "--targets", "x0")
    _, rows = read(result.stdout)
    expected = mixture.conditional_mean([[79.0], [54.0]], [1])[:, 0]
    assert [float(row["x0_predicted"]) for row in rows] == expected.tolist()


def test_outliers_option_adds_p_values_and_outlier_flags(cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,waiting\n3.6,79\n1.8,95\n"), "--outliers", "--json")
    records = json.loads(result.stdout)
    mixture = Mixture.load(model)
    expected = mixture.density_p_value([[3.6, 79.0], [1.8, 95.0]])
    assert [record["p_value"] for record in records] == expected.tolist()
    assert [record["outlier"] for record in records] == [False, True]
    assert list(records[0])[2:] == ["component", "probability", "log_density", "p_value", "outlier"]


def test_predict_warns_of_rows_where_the_mixture_has_no_mass(cli, model, csv_file):
    table = "eruptions,waiting\n" + "".join(f"{minutes},{20 * minutes}\n" for minutes in range(100, 104))
    result = cli("predict", model, csv_file(table))
    assert result.exit_code == 0
    assert "4 of 4 rows lie where the mixture has no mass" in result.stderr
    # three rows are too few for a warning
    assert cli("predict", model, csv_file(table.rpartition("103")[0])).stderr == ""
    assert cli("predict", model, csv_file(table), "--targets", "waiting").stderr == ""
    report = cli("report", csv_file(table), "-m", model, "-o", "-")
    assert "4 of 4 rows lie where the mixture has no mass" in report.stdout


def test_predict_writes_decimal_commas_if_the_input_uses_decimal_commas(cli, csv_file, model):
    result = cli("predict", model, csv_file("eruptions;waiting\n3,6;79\n"), "--decimal", ",")
    assert result.stdout.splitlines()[1].startswith("3,6;79;1;0,99")


def test_predict_copies_excluded_columns_and_matches_selected_ones_by_index(cli, csv_file, model):
    result = cli("predict", model, csv_file("id,e,w\n7,3.6,79\n"), "--exclude", "id", "--columns", "e,w")
    assert result.stdout.splitlines()[1].startswith("7,3.6,79,1,0.99")


def test_na_option_marks_missing_values_that_impute_fills(cli, csv_file, model):
    rejected = cli("fit", csv_file("a,b\n1,2\n2,4\nk.A.,1\n5,3\n"), "-k", 1)
    assert (
        "'k.A.' in line 4: correct these cells, give --na TEXT if such a cell means a missing value, or"
        in rejected.stderr
    )
    text = "eruptions,waiting,note\n3.6,k.A.,k.A.\n1.8,54,\n"
    _, first, second = cli("impute", model, csv_file(text), "--na", "k.A.").stdout.splitlines()
    assert (first[:5], first[-5:], second) == ("3.6,7", ",k.A.", "1.8,54,")
    piped = cli("impute", model, "-", "--na", "k.A.", input=text)
    assert piped.stderr == "gaussmix: filled 1 cell of standard input.\n"


def test_predict_writes_all_probabilities_and_outliers_below_the_threshold(cli, faithful, model, tmp_path):
    path = tmp_path / "out.json"
    words = ["--probabilities", "--outliers", "--threshold", "0.3", "-q", "--to", "json"]
    result = cli("predict", model, faithful, *words, "-o", path)
    assert result.exit_code == 0
    rows = json.loads(path.read_text())
    for row in rows:
        assert row["probability_0"] + row["probability_1"] == pytest.approx(1)
        assert row[f"probability_{row['component']}"] == row["probability"]
        assert row["outlier"] == (row["p_value"] < 0.3)
    assert 0.2 < np.mean([row["outlier"] for row in rows]) < 0.4


@pytest.fixture
def mixtures(cli, csv_file, rng, tmp_path):
    """Fit two components to each of two groups with a text key, and return the path of the file of mixtures."""
    lines = [f"{group},{x},{y}" for group in ("07", "b") for x, y in rng.random((30, 2))]
    table = csv_file("\n".join(["cell,x,y", *lines, "one,1,2"]), "cells.csv")
    assert cli("fit", table, "--by", "cell", "-k", 2, "-q", "-o", tmp_path / "many.gmm").exit_code == 0
    return tmp_path / "many.gmm"


def test_predict_by_groups_uses_the_mixture_of_each_row(cli, csv_file, mixtures):
    cells = [("b", 0.5, 0.25), ("07", 0.5, 0.25), ("b", 0.125, 0.75), ("one", 1.0, 2.0), ("new", 0.5, 0.5)]
    table = csv_file("y,cell,x\n" + "".join(f"{y},{cell},{x}\n" for cell, x, y in cells))
    result = cli("predict", mixtures, table, "--by", "cell", "--probabilities", "--outliers")
    empty = f"the new cells of 2 rows are empty, because {mixtures} has no mixture for the groups 'one', 'new'."
    assert (result.exit_code, result.stderr) == (0, f"gaussmix: {empty} It has mixtures for '07', 'b'.\n")
    header, rows = read(result.stdout)
    assert header[3:] == [
        *("component", "probability", "log_density", "probability_0", "probability_1", "p_value", "outlier")
    ]
    loaded = Mixtures.load(mixtures)
    for (cell, *values), row in zip(cells[:3], rows[:3], strict=True):
        mixture = loaded.get_mixture(cell)
        assert int(row["component"]) == mixture.predict([values])[0]
        assert float(row["log_density"]) == mixture.log_density([values])[0]
        assert [float(row[f"probability_{k}"]) for k in range(2)] == mixture.responsibilities([values])[0].tolist()
        assert float(row["p_value"]) == mixture.density_p_value([values])[0]
    assert {row[name] for row in rows[3:] for name in header[3:]} == {""}


def test_predict_by_groups_predicts_targets_in_every_format(cli, csv_file, mixtures):
    table = csv_file("cell,x\nnew,0.5\n07,0.25\nb,0.25\n")
    text = cli("predict", mixtures, table, "--by", "cell", "--targets", "y", "--to", "json").stdout
    rows = json.loads(text)
    assert rows[0]["y_predicted"] is None
    for row in rows[1:]:
        conditional = Mixtures.load(mixtures).get_mixture(row["cell"]).condition({"x": 0.25})
        assert row["y_predicted"] == pytest.approx(conditional.mean[0], rel=1e-12)


def test_predict_by_groups_continues_across_blocks_of_rows(cli, mixtures, tmp_path):
    frame = pd.DataFrame({"cell": ["new"] * 70_000 + ["b"], "x": 0.5, "y": 0.25})
    frame.to_parquet(tmp_path / "cells.parquet")
    result = cli("predict", mixtures, tmp_path / "cells.parquet", "--by", "cell", "-o", tmp_path / "out.parquet")
    assert "70,000 rows are empty, because" in result.stderr
    assert "many.gmm has no mixture for the group 'new'." in result.stderr
    density = pd.read_parquet(tmp_path / "out.parquet")["log_density"]
    assert density[:-1].isna().all()
    assert density.iloc[-1] == Mixtures.load(mixtures).get_mixture("b").log_density([[0.5, 0.25]])[0]


def test_predict_by_groups_adds_a_probability_for_each_component_of_the_largest_mixture(cli, csv_file, rng, tmp_path):
    rows = {"one": rng.normal(size=40), "two": np.r_[rng.normal(size=40), 20 + rng.normal(size=40)]}
    table = csv_file("cell,x\n" + "".join(f"{name},{x}\n" for name, values in rows.items() for x in values))
    fitted = cli("fit", table, "--by", "cell", "-k", "1:3", "-o", tmp_path / "many.gmm")
    assert "K = 1 to 2, full covariances: 2 fitted" in fitted.stdout
    result = cli(
        "predict", tmp_path / "many.gmm", csv_file("cell,x\none,0\ntwo,0\n"), "--by", "cell", "--probabilities"
    )
    one, two = read(result.stdout)[1]
    assert (float(one["probability_0"]), one["probability_1"]) == (1.0, "")
    assert float(two["probability_0"]) + float(two["probability_1"]) == pytest.approx(1.0)


def test_warning_about_many_groups_without_a_mixture_names_the_first_ten(cli, csv_file, mixtures):
    table = csv_file("cell,x,y\n" + "".join(f"g{i},0.5,0.5\n" for i in range(12)))
    result = cli("predict", mixtures, table, "--by", "cell")
    assert "the new cells of 12 rows are empty" in result.stderr
    assert "many.gmm has no mixture for the groups 'g0', 'g1'," in result.stderr
    assert "'g9' and others." in result.stderr
    assert "g10" not in result.stderr
    assert [row["log_density"] for row in read(result.stdout)[1]] == [""] * 12


@pytest.mark.parametrize(
    ("fitted", "asked"),
    [
        ([1, 2], ["1", "2"]),
        ([1.0, 2.0], [1, 2]),
        (["1", "2"], [1.0, 2.0]),
        ([date(2026, 1, 31), date(2026, 2, 1)], ["2026-01-31", "2026-02-01"]),
        ([True, False], ["True", "False"]),
    ],
)
def test_keys_of_groups_are_compared_as_text(fitted, asked, cli, rng, tmp_path):
    values = rng.random(60)
    keys = [key for key in fitted for _ in range(30)]
    for keys_of, name in ((fitted, "train"), (asked, "new")):
        frame = pa.table({"cell": [key for key in keys_of for _ in range(30)], "x": values})
        pq.write_table(frame, tmp_path / f"{name}.parquet")
    model, new = tmp_path / "many.gmm", tmp_path / "new.parquet"
    assert cli("fit", tmp_path / "train.parquet", "--by", "cell", "-k", 1, "-q", "-o", model).exit_code == 0
    result = cli("predict", model, new, "--by", "cell")
    assert result.stderr == ""
    mixtures = Mixtures.load(model)
    stored = [key if isinstance(key, int | float) else str(key) for key in keys]
    expected = [mixtures.get_mixture(key).log_density([[x]])[0] for key, x in zip(stored, values, strict=True)]
    assert [float(row["log_density"]) for row in read(result.stdout)[1]] == expected


def test_predict_by_groups_rejects_keys_with_the_same_text(cli, csv_file, tmp_path):
    rows = np.arange(4.0)[:, None]
    fit_many({1: rows, "1": rows + 1, 2: rows}).save(tmp_path / "many.gmm")
    result = cli("predict", tmp_path / "many.gmm", csv_file("cell,x\n1,0.5\n"), "--by", "cell")
    assert result.exit_code == 1
    assert result.stderr.endswith("many.gmm has the keys 1 and '1', which a table can't tell apart.\n")


def test_predict_by_groups_reads_standard_input_and_leaves_out_rows_with_missing_values(cli, mixtures):
    words = "predict", mixtures, "-", "--by", "cell", "--drop-missing"
    result = cli(*words, input="cell,x,y\nb,0.5,\nb,0.5,0.25\n07,0.125,0.75\n")
    assert result.exit_code == 0
    loaded = Mixtures.load(mixtures)
    expected = [("b", loaded.get_mixture("b"), [0.5, 0.25]), ("07", loaded.get_mixture("07"), [0.125, 0.75])]
    for row, (key, mixture, values) in zip(read(result.stdout)[1], expected, strict=True):
        assert row["cell"] == key
        assert float(row["log_density"]) == mixture.log_density([values])[0]


def test_predict_by_groups_predicts_quantiles_from_named_columns(cli, csv_file, mixtures):
    words = "predict", mixtures, csv_file("cell,width\nb,0.25\nnew,0.5\n"), "--by", "cell", "--columns", "width"
    result = cli(*words, "--targets", "y", "--quantiles", "0.25,0.75")
    first, second = read(result.stdout)[1]
    conditional = Mixtures.load(mixtures).get_mixture("b").condition({"x": 0.25})
    expected = conditional.quantile([0.25, 0.75]).tolist()
    assert [float(first[f"y_{level}"]) for level in ("0.25", "0.75")] == pytest.approx(expected, rel=1e-11)
    assert {second[name] for name in ("y_predicted", "y_std", "y_0.25", "y_0.75")} == {""}
