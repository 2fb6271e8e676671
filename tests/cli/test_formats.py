"""Tables of every format, in and out, by file and by pipe: the same rows whatever they come in."""

import io
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

import gaussmix
from gaussmix import GaussianMixture, Mixture
from gaussmix.cli.outputs import WRITERS
from gaussmix.sources.tables import FORMATS, open_table

ROWS = np.array([[1.5, 2.0], [3.0, 1 / 3], [-1e-300, 7.0]])
FRAME = pa.table({"x": ROWS[:, 0], "y": ROWS[:, 1]})


def stream(table):
    with io.BytesIO() as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        return file.getvalue()


def written(write, *arguments):
    file = io.BytesIO()
    write(*arguments, file)
    return file.getvalue()


def npy(array):
    return written(lambda array, file: np.save(file, array, allow_pickle=True), array)


def feather_1(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return written(lambda table, file: feather.write_feather(table, file, version=1), table)


# Extension, contents, names.
FILES = {
    "csv": (".csv", b"x,y\n1.5,2\n3,0.3333333333333333\n-1e-300,7\n", True),
    "parquet": (".parquet", written(parquet.write_table, FRAME), True),
    "parquet, short": (".pq", written(parquet.write_table, FRAME), True),
    "arrow file": (".arrow", written(feather.write_feather, FRAME), True),
    "arrow stream": (".arrows", stream(FRAME), True),
    "feather": (".feather", written(feather.write_feather, FRAME), True),
    "feather, version 1": (".feather", feather_1(FRAME), True),
    "npy": (".npy", npy(ROWS), False),
    "npy, Fortran order": (".npy", npy(np.asfortranarray(ROWS)), False),
    "npy, big-endian": (".npy", npy(ROWS.astype(">f8")), False),
    "npy, records": (".npy", npy(np.rec.fromarrays(ROWS.T, names="x,y")), True),
}


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
@pytest.mark.parametrize("way", ["by extension", "by format", "by beginning"])
@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_from_every_format(name, way, csv_file, numbers):
    extension, contents, named = FILES[name]
    path = str(csv_file(contents, "data" + (extension if way == "by extension" else ".bin")))
    format = {".csv": "csv", ".pq": "parquet", ".parquet": "parquet", ".npy": "npy"}.get(extension, "arrow")
    table = open_table(path, format if way == "by format" else None)
    found = numbers(table)
    assert np.array_equal(found.rows, ROWS)
    assert found.rows.dtype == np.float64
    assert found.names == (("x", "y") if named else ("x0", "x1"))
    assert table.has_names is named
    assert found.notices == []
    if way != "by format":
        source = gaussmix.open(path)  # knows a format as the command line does
        assert np.array_equal(source.whole.rows, ROWS)
        assert source.feature_names == (found.names if named else None)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64", "uint64", "float16", "float32"])
def test_numbers_of_every_width(kind, csv_file, numbers):
    column = np.array([1, 2, 200 if kind == "uint8" else 100]).astype(kind)
    for contents, name in (
        (npy(column), "a.npy"),
        (written(parquet.write_table, pa.table({"x": column})), "a.parquet"),
    ):
        assert numbers(open_table(str(csv_file(contents, name)))).rows[:, 0].tolist() == column.tolist()


def test_other_columns_are_left_out_by_name(csv_file, numbers):
    frame = pd.DataFrame(
        {"x": [1.0, 2.0], "name": ["a", "b"], "when": pd.to_datetime(["2020-01-01"] * 2), "ok": [True, False]},
        index=[5, 9],
    )
    file = io.BytesIO()
    frame.to_parquet(file)
    table = open_table(str(csv_file(file.getvalue(), "a.parquet")))
    assert table.notices == ("left out column '__index_level_0__': it is the index of a data frame.",)
    found = numbers(table)
    assert found.names == ("x", "ok")
    assert found.rows.tolist() == [[1.0, 1.0], [2.0, 0.0]]
    assert found.notices == [
        *table.notices,
        "left out column 'name': it holds text, not numbers.",
        "left out column 'when': it holds dates, times or durations; write them as numbers first, such as days since "
        "the first.",
    ]


@pytest.mark.parametrize("kind", ["timestamp[s]", "date32", "time64[us]", "duration[s]"])
def test_times_are_no_features_and_the_sentence_says_what_to_do(kind, csv_file, numbers):
    times = pa.array([1, 2, 3], pa.int32() if kind == "date32" else pa.int64()).cast(kind)
    path = str(csv_file(written(parquet.write_table, pa.table({"x": [1.0, 2.0, 3.0], "when": times})), "a.parquet"))
    assert numbers(open_table(path)).names == ("x",)
    with pytest.raises(ValueError, match=r"column 'when': it holds dates, times or durations.*days since the first\.$"):
        numbers(open_table(path), ["x", "when"])


BAD = {
    "no Parquet": ("a.parquet", b"x,y\n1,2\n", "can't be read as Parquet: "),
    "cut Parquet": ("a.parquet", FILES["parquet"][1][:-20], "can't be read as Parquet: "),
    "no Arrow": ("a.arrow", b"x,y\n1,2\n", "can't be read as Arrow or Feather: "),
    "cut Arrow": ("a.arrow", FILES["arrow file"][1][:-20], "can't be read as Arrow or Feather: "),
    "empty": ("a.feather", b"", "can't be read as Arrow or Feather: "),
    "no npy": ("a.npy", b"x,y\n1,2\n", "can't be read as .npy: "),
    "cut npy": ("a.npy", FILES["npy"][1][:-8], " is truncated: it says that it holds 3 rows and ends before."),
    "an open bracket in an npy header": (
        "a.npy",
        FILES["npy"][1].replace(b"(3, 2)", b"(3, 2 "),
        "can't be read as .npy: a bracket or quote is not closed.",
    ),
    "objects": (
        "a.npy",
        npy(np.array([[1, "a"]], dtype=object)),
        "holds object of shape (1, 2), not rows and columns of numbers.",
    ),
    "complex": (
        "a.npy",
        npy(np.ones((2, 2), complex)),
        "holds complex128 of shape (2, 2), not rows and columns of numbers.",
    ),
    "a cube": ("a.npy", npy(np.ones((2, 2, 2))), "holds float64 of shape (2, 2, 2), not rows and columns of numbers."),
    "a missing value": (
        "a.parquet",
        written(parquet.write_table, pa.table({"x": [1.0, None, 3.0]})),
        ", row group 0, row 1, column 'x': the value is missing",
    ),
    "infinity": ("a.npy", npy(np.array([[1.0], [np.inf]])), ", row 1, column 'x0': the value is infinite"),
    "no columns": ("a.parquet", written(parquet.write_table, pa.table({})), "has no columns"),
    "one name twice": ("a.arrow", stream(pa.table([[1], [2]], names=["x", "x"])), "two columns called 'x'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_named(name, csv_file, numbers):
    file, contents, complaint = BAD[name]
    path = str(csv_file(contents, file))
    with pytest.raises(ValueError, match=f"^{re.escape(path)}.*{re.escape(complaint)}") as caught:
        numbers(open_table(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "csv"])
def test_what_is_written_is_read_again(format, cli, model, faithful, tmp_path, numbers):
    target = tmp_path / f"out.{format}"
    assert cli("predict", model, faithful, "-o", target).exit_code == 0
    expected = numbers(open_table(str(tmp_path / "input.csv"))).rows
    mixture = Mixture.load(model)
    found = numbers(open_table(str(target)))
    if format != "npy":
        assert found.names == ("eruptions", "waiting", "component", "probability", "log_density")
    assert np.array_equal(found.rows[:, :2], expected)
    assert np.array_equal(found.rows[:, 2], mixture.predict(expected))
    assert np.array_equal(found.rows[:, 4], mixture.log_density(expected))


def test_types_pass_through_and_text_of_csv_stays_text(cli, model, csv_file, tmp_path):
    path = csv_file("id,eruptions,waiting\n007,3.6,79\n008,1.8,54\n")
    assert cli("predict", model, path, "-o", tmp_path / "a.parquet").exit_code == 0
    found = parquet.read_table(tmp_path / "a.parquet")
    assert found["id"].to_pylist() == ["007", "008"]
    assert found["eruptions"].to_pylist() == [3.6, 1.8]
    assert cli("predict", model, tmp_path / "a.parquet", "-o", tmp_path / "b.arrow", "-q").exit_code == 0
    assert feather.read_table(tmp_path / "b.arrow")["id"].to_pylist() == ["007", "008"]
    again = cli("predict", model, tmp_path / "a.parquet", "--quiet").stdout.splitlines()
    assert again[1].startswith("007,3.6,79.0,0,0.99")


def test_npy_holds_numbers_only(cli, model, csv_file, tmp_path):
    result = cli("predict", model, csv_file("id,eruptions,waiting\na,3.6,79\n"), "-o", tmp_path / "a.npy")
    assert result.exit_code == 1
    assert (
        result.stderr == "gaussmix: column 'id' holds no numbers, and .npy holds nothing else: write another format.\n"
    )
    assert not (tmp_path / "a.npy").exists()


def test_json_by_extension_and_by_option_are_one(cli, model, faithful, tmp_path):
    assert cli("predict", model, faithful, "-o", tmp_path / "a.json").exit_code == 0
    assert (tmp_path / "a.json").read_text() == cli("predict", model, faithful, "--json").stdout
    assert len(json.loads((tmp_path / "a.json").read_text())) == 272


@pytest.mark.parametrize("format", WRITERS)
def test_standard_input_and_output_of_every_format(format, cli, faithful, tmp_path):
    fitted = cli("fit", "-", "-k", 2, "-o", "-", input=faithful.read_bytes())
    assert fitted.exit_code == 0
    assert "Model written to standard output" in fitted.stderr
    (tmp_path / "m.gmm").write_bytes(fitted.stdout_bytes)
    expected, _ = Mixture.load(tmp_path / "m.gmm").sample(9, np.random.default_rng(0))
    drawn = cli("sample", "-", "-n", 9, "--to", format, "-o", "-", input=fitted.stdout_bytes)
    assert (drawn.exit_code, drawn.stderr) == (0, "")
    if format == "json":
        assert [list(record.values()) for record in json.loads(drawn.stdout)] == expected.tolist()
        return
    scored = cli("score", tmp_path / "m.gmm", "-", "--json", input=drawn.stdout_bytes)
    frame = pd.DataFrame(expected, columns=["eruptions", "waiting"])
    estimator = GaussianMixture.load(tmp_path / "m.gmm")
    assert json.loads(scored.stdout)["bic"] == pytest.approx(estimator.bic(frame), rel=1e-14)


@pytest.mark.heavy
def test_a_pipe_between_processes(model):
    """Nothing but the table may stand on standard output."""
    run = [sys.executable, "-m", "gaussmix"]
    sample = [*run, "sample", model, "-n", "9", "--to", "npy"]
    drawn = subprocess.run(sample, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    expected, _ = Mixture.load(model).sample(9, np.random.default_rng(0))
    assert np.array_equal(np.load(io.BytesIO(drawn.stdout)), expected)
    predict = [*run, "predict", model, "-", "--to", "parquet"]
    predicted = subprocess.run(predict, input=drawn.stdout, capture_output=True, check=True)
    assert parquet.read_table(pa.BufferReader(predicted.stdout)).num_rows == 9


@pytest.mark.heavy
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_read_once(shell, faithful, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    table = pd.read_csv(faithful).assign(id=range(272))
    table.to_csv(faithful, index=False)
    writer = subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', faithful, tmp_path / "pipe"])
    process = shell("fit", tmp_path / "pipe", "-k", 1, "--json")
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        writer.kill()
        writer.wait()
    assert json.loads(said)["n_rows"] == 272
    assert json.loads(said)["feature_names"] == ["eruptions", "waiting"]  # without the number of each row


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_a_terminal_is_spared_what_it_cannot_show(model, shell):
    import pty

    ours, theirs = pty.openpty()
    process = shell("sample", model, "-n", 3, "--to", "npy", stdout=theirs)
    _, complaints = process.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 1
    assert "standard output is a terminal" in complaints
