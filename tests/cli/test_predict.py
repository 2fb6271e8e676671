"""`gaussmix predict`: the table that comes out, whatever the columns that go in."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest

from gaussmix import Mixture
from gaussmix.cli.outputs import write_json
from gaussmix.formats import model_file


def load(place):
    model, record = model_file.read(place)
    return Mixture.of(model), record.details


def read(text, delimiter=","):
    header, *rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def test_the_table_gains_three_columns(cli, model, faithful):
    result = cli("predict", model, faithful)
    assert (result.exit_code, result.stderr) == (0, "")
    header, rows = read(result.stdout)
    assert header == ["eruptions", "waiting", "component", "probability", "log_density"]
    mixture, _ = load(model)
    given = np.loadtxt(faithful, delimiter=",", skiprows=1)
    assert np.array_equal([[float(row["eruptions"]), float(row["waiting"])] for row in rows], given)
    assert np.array_equal([int(row["component"]) for row in rows], mixture.predict(given))
    assert np.array_equal([float(row["probability"]) for row in rows], mixture.responsibilities(given).max(axis=1))
    assert np.array_equal([float(row["log_density"]) for row in rows], mixture.log_density(given))


def test_columns_are_matched_by_name_and_others_passed_on_as_written(cli, model, csv_file):
    path = csv_file('waiting,id,eruptions,note\n79,007,3.60,"a,b"\n54,008,1.8,\n')
    result = cli("predict", model, path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "waiting,id,eruptions,note,component,probability,log_density"
    assert lines[1].startswith('79,007,3.60,"a,b",0,0.99')
    assert lines[2].startswith("54,008,1.8,,1,0.99")
    mixture, _ = load(model)
    expected = mixture.log_density([[3.6, 79.0], [1.8, 54.0]])
    assert [float(row["log_density"]) for row in read(result.stdout)[1]] == expected.tolist()


def test_the_input_s_delimiter_is_kept(cli, model, csv_file):
    header, rows = read(cli("predict", model, csv_file("eruptions;waiting\n3.6;79\n")).stdout, ";")
    assert header[:3] == ["eruptions", "waiting", "component"]
    assert rows[0]["component"] == "0"


def test_a_name_that_is_taken_gets_an_underscore(cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,waiting,component,component_\n3.6,79,x,y\n"))
    assert result.stdout.splitlines()[0].split(",")[2:5] == ["component", "component_", "component__"]
    assert "has a column 'component' already, so the new one is called 'component__'" in result.stderr
    assert cli("predict", model, csv_file("eruptions,waiting,component\n3.6,79,x\n"), "--quiet").stderr == ""
    piped = cli("predict", model, "-", input="eruptions,waiting,component\n3.6,79,x\n")
    assert piped.stderr.startswith("gaussmix: standard input has a column 'component' already")


def test_output_goes_to_a_file(cli, model, faithful, tmp_path):
    result = cli("predict", model, faithful, "-o", tmp_path / "out.csv")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "out.csv").read_text() == cli("predict", model, faithful).stdout


def test_a_failed_run_leaves_the_old_output(cli, model, csv_file, tmp_path):
    (tmp_path / "out.csv").write_text("before")
    result = cli("predict", model, csv_file("eruptions,waiting\n3.6,\n"), "-o", tmp_path / "out.csv")
    assert result.exit_code == 1
    assert (tmp_path / "out.csv").read_text() == "before"


def test_json_is_a_record_for_each_row(cli, model, csv_file):
    records = json.loads(
        cli("predict", model, csv_file("eruptions,id,waiting\n3.6,007,79\n1.8,008,54\n"), "--json").stdout
    )
    assert [list(record) for record in records] == [
        ["eruptions", "id", "waiting", "component", "probability", "log_density"]
    ] * 2
    assert records[0]["eruptions"] == 3.6
    assert records[0]["id"] == "007"
    assert [record["component"] for record in records] == [0, 1]


def test_json_has_null_for_what_it_has_no_number_for():
    file = io.BytesIO()
    write_json(file, [pa.table({"log_density": [-np.inf, -1.5]})])
    assert json.loads(file.getvalue()) == [{"log_density": None}, {"log_density": -1.5}]


def test_json_of_no_rows_is_an_empty_array():
    file = io.BytesIO()
    write_json(file, [pa.table({"log_density": []})])
    assert json.loads(file.getvalue()) == []


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ("eruptions,wait\n1,2\n", "has no column 'waiting', which {model} needs; it has 'eruptions', 'wait'."),
        ("a,b\n1,2\n", "has no column 'eruptions', 'waiting', which {model} needs; it has 'a', 'b'."),
        ("eruptions,waiting\n1,2\n3,x\n", "column 'waiting': line 3 holds 'x', not a number."),
        ("eruptions,waiting\n1,2\n3,\n", "line 3, column 'waiting': the value is missing"),
        ("1,2,3\n4,5,6\n", "has 3 numeric columns, but {model} has 2 features."),
    ],
    ids=["one missing", "all missing", "text", "empty field", "too many without names"],
)
def test_columns_that_do_not_fit_are_named(contents, complaint, cli, model, csv_file):
    result = cli("predict", model, csv_file(contents))
    assert (result.exit_code, result.stdout) == (1, "")
    assert complaint.format(model=model) in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("contents", ["3.6,79\n1.8,54\n", "when,eruptions,waiting\nnow,3.6,79\nthen,1.8,54\n"])
def test_without_names_columns_are_matched_by_place(contents, cli, model, csv_file, tmp_path):
    mixture, _ = load(model)
    mixture.save(tmp_path / "nameless.gmm")
    result = cli("predict", tmp_path / "nameless.gmm", csv_file(contents))
    assert [row["component"] for row in read(result.stdout)[1]] == ["0", "1"]


def test_what_is_no_model_is_said_so(cli, faithful, tmp_path):
    result = cli("predict", faithful, faithful)
    assert result.exit_code == 1
    assert result.stderr == f"gaussmix: {faithful} is a table, not a model. Name the model first, and then the table.\n"
    assert cli("predict", tmp_path / "none.gmm", faithful).stderr == (
        f"gaussmix: {tmp_path / 'none.gmm'}: No such file or directory.\n"
    )


def test_targets_are_predicted_from_the_rest(cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,id\n3.6,a\n1.8,b\n"), "--targets", "waiting")
    assert (result.exit_code, result.stderr) == (0, "")
    header, rows = read(result.stdout)
    assert header == ["eruptions", "id", "waiting_predicted", "waiting_std"]
    mixture, _ = load(model)
    known = np.array([[3.6], [1.8]])
    mean, covariance = mixture.conditional_mean(known, [0]), mixture.conditional_covariance(known, [0])
    assert [float(row["waiting_predicted"]) for row in rows] == mean[:, 0].tolist()
    assert [float(row["waiting_std"]) for row in rows] == pytest.approx(
        np.sqrt(covariance[:, 0, 0]).tolist(), rel=1e-12
    )


def test_quantiles_of_targets_are_called_as_they_were_written(cli, model, csv_file):
    path = csv_file("waiting,eruptions\n79,\n54,\n")  # a target may be there, and empty
    result = cli("predict", model, path, "--targets", "eruptions", "--quantiles", "0.05,.5")
    header, rows = read(result.stdout)
    assert header[2:] == ["eruptions_predicted", "eruptions_std", "eruptions_0.05", "eruptions_.5"]
    mixture, _ = load(model)
    for row, waiting in zip(rows, (79.0, 54.0), strict=True):
        expected = mixture.condition({1: waiting}).quantile([0.05, 0.5])
        assert [float(row["eruptions_0.05"]), float(row["eruptions_.5"])] == pytest.approx(expected.tolist(), rel=1e-11)


@pytest.mark.parametrize("contents", ["79\n54\n", "0,79\n0,54\n", "a,b\n0,79\n0,54\n"])
def test_targets_of_tables_or_models_without_names_are_places(contents, cli, model, csv_file, tmp_path):
    mixture, _ = load(model)
    mixture.with_feature_names(None).save(tmp_path / "nameless.gmm")
    result = cli("predict", tmp_path / "nameless.gmm", csv_file(contents), "--targets", "x0")
    _, rows = read(result.stdout)
    expected = mixture.conditional_mean([[79.0], [54.0]], [1])[:, 0]
    assert [float(row["x0_predicted"]) for row in rows] == expected.tolist()


def test_outliers_have_small_p_values(cli, model, csv_file):
    result = cli("predict", model, csv_file("eruptions,waiting\n3.6,79\n1.8,95\n"), "--outliers", "--json")
    records = json.loads(result.stdout)
    mixture, _ = load(model)
    expected = mixture.tail_probability([[3.6, 79.0], [1.8, 95.0]])
    assert [record["p_value"] for record in records] == expected.tolist()
    assert [record["outlier"] for record in records] == [False, True]
    assert list(records[0])[2:] == ["component", "probability", "log_density", "p_value", "outlier"]


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (
            ["--targets", "waitin"],
            1,
            "--targets 'waitin' is not one of 'eruptions', 'waiting'. Did you mean 'waiting'?",
        ),
        (["--targets", "waiting,eruptions"], 1, "--targets names every feature of"),
        (["--targets", "waiting", "--outliers"], 2, "--outliers needs every feature: leave --targets out."),
        (["--quantiles", "0.5"], 2, "--quantiles needs --targets: name the features to predict."),
        (["--targets", "waiting", "--quantiles", "5"], 2, "'5' is not a number between 0 and 1; write 0.05,0.5,0.95."),
        (["--targets", "waiting", "--quantiles", "half"], 2, "'half' is not a number between 0 and 1"),
    ],
)
def test_what_cannot_be_predicted_is_said(options, code, complaint, cli, model, faithful):
    result = cli("predict", model, faithful, *options)
    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr


def test_a_missing_predictor_is_named(cli, model, csv_file):
    result = cli("predict", model, csv_file("waiting\n79\n"), "--targets", "waiting")
    assert "has no column 'eruptions', which" in result.stderr
    result = cli("predict", model, csv_file("1,2,3\n4,5,6\n"), "--targets", "waiting")
    assert "has 3 numeric columns, but" in result.stderr
    assert "has 1 features beside the targets." in result.stderr


@pytest.mark.parametrize("rows", [[], ["--rows"]])
def test_weights_of_a_column_that_is_not_there(rows, cli, model, faithful):
    result = cli("score", model, faithful, *rows, "--weights", "foo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has no column 'foo'; it has 'eruptions', 'waiting'." in result.stderr
