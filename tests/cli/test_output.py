"""Tests of outputs of all formats: the same bits as for all rows at once, bounded memory, and no partial files."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from pyarrow import feather, parquet

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.cli.outputs import WRITERS
from gaussmix._src.sources.tables import FORMATS, open_table

N_ROWS, NAMES = 2 * 65_536 + 4_321, ["a", "b", "c"]


@pytest.fixture(scope="module")
def mixture():
    covariances = np.array([[[1.0, 0.4, 0.1], [0.4, 2.0, 0.3], [0.1, 0.3, 0.5]], np.eye(3)])
    return Mixture([0.3, 0.7], [[0.0, 0.0, 0.0], [3.0, 3.0, 1.0]], covariances, FAMILIES["full"], NAMES)


@pytest.fixture(scope="module")
def folder(mixture, tmp_path_factory):
    """Write a model and one table in several formats, with a column that is not a feature, and return the folder."""
    path = tmp_path_factory.mktemp("tables")
    rows, _ = mixture.sample(N_ROWS, np.random.default_rng(1))
    table = pa.table({"id": pa.array(np.arange(N_ROWS)).cast(pa.string()), **dict(zip(NAMES, rows.T, strict=True))})
    mixture.save(path / "model.gmm")
    (path / "parts").mkdir()
    parquet.write_table(table.slice(0, 50_001), path / "parts" / "1.parquet", row_group_size=10_000)
    parquet.write_table(table.slice(50_001), path / "parts" / "2.parquet", compression="zstd")
    feather.write_feather(table, path / "table.arrow")
    pa.csv.write_csv(table, path / "table.csv")
    np.save(path / "table.npy", rows)
    return path


@pytest.fixture(scope="module")
def rows(folder):
    return np.load(folder / "table.npy")


INPUTS = ["parts", "parts/*.parquet", "table.arrow", "table.csv", "table.npy"]
OUTPUTS = ["out.parquet", "out.arrow", "out.npy", "out.csv"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "output"), [*((name, "out.parquet") for name in INPUTS), *(("table.npy", output) for output in OUTPUTS)]
)
def test_predict_in_blocks_gives_the_same_bits_as_all_rows_at_once(name, output, cli, folder, rows, mixture, tmp_path):
    result = cli("predict", folder / "model.gmm", folder / name, "-o", tmp_path / output)
    assert (result.exit_code, result.stderr, result.stdout) == (0, "", "")
    found = np.concatenate(list(open_table(str(tmp_path / output)).rows(names_of(name, output), N_ROWS)))
    np.testing.assert_array_equal(found[:, :3], rows)
    np.testing.assert_array_equal(found[:, 3], mixture.predict(rows))
    np.testing.assert_array_equal(found[:, 4], mixture.responsibilities(rows).max(axis=1))
    np.testing.assert_array_equal(found[:, 5], mixture.log_density(rows))


@pytest.mark.heavy
def test_less_memory_gives_the_same_table_in_smaller_row_groups(cli, folder, tmp_path):
    default, limited = tmp_path / "few.parquet", tmp_path / "many.parquet"
    assert cli("predict", folder / "model.gmm", folder / "parts", "-o", default).exit_code == 0
    assert cli("predict", folder / "model.gmm", folder / "parts", "-o", limited, "--memory", "4MB").exit_code == 0
    assert parquet.read_metadata(default).num_row_groups == 3
    assert parquet.read_metadata(limited).num_row_groups == -(-N_ROWS // 4096)
    assert parquet.read_table(limited).equals(parquet.read_table(default))


RESULTS = ["component", "probability", "log_density"]


def names_of(name, output):
    """Return the names of the numeric columns in an output."""
    if output == "out.npy":
        return [f"x{index}" for index in range(6)]
    return [*(["x0", "x1", "x2"] if name == "table.npy" else NAMES), *RESULTS]


def test_predict_copies_other_columns_in_row_order(cli, folder, tmp_path):
    assert cli("predict", folder / "model.gmm", folder / "parts", "-o", tmp_path / "out.parquet").exit_code == 0
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["id", *NAMES, *RESULTS]
    assert found["id"].to_pylist() == [str(row) for row in range(N_ROWS)]


def test_score_in_blocks_gives_the_same_bits_as_all_rows_at_once(cli, folder, rows, mixture, tmp_path):
    assert cli("score", folder / "model.gmm", folder / "parts", "--rows", "-o", tmp_path / "a.npy").exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy")[:, 0], mixture.log_density(rows))


@pytest.mark.heavy
def test_predict_copies_categorical_columns(cli, folder, tmp_path):
    """Check batches with different dictionaries, because an Arrow file has a single dictionary per column."""
    kinds = pa.array(["x", "y"] * 50_000).dictionary_encode()
    table = pa.table({**{name: np.arange(100_000.0) for name in NAMES}, "kind": kinds})
    parquet.write_table(table, tmp_path / "in.parquet")
    for output in ("out.arrow", "out.parquet"):
        assert cli("predict", folder / "model.gmm", tmp_path / "in.parquet", "-o", tmp_path / output).exit_code == 0
    for found in (feather.read_table(tmp_path / "out.arrow"), parquet.read_table(tmp_path / "out.parquet")):
        assert found["kind"].to_pylist() == ["x", "y"] * 50_000


@pytest.mark.parametrize("command", ["predict", "impute"])
def test_columns_that_only_some_files_declare_nullable_are_copied(command, cli, folder, rows, tmp_path):
    for number, is_nullable in enumerate([True, False]):
        columns = [pa.field(name, pa.float64(), nullable=is_nullable) for name in NAMES]
        table = pa.table([*rows[:70_000].T], schema=pa.schema(columns))
        parquet.write_table(table, tmp_path / f"part {number}.parquet")
    for output in "out.arrow", "out.parquet":
        assert cli(command, folder / "model.gmm", tmp_path / "part *.parquet", "-o", tmp_path / output).exit_code == 0
    for found in feather.read_table(tmp_path / "out.arrow"), parquet.read_table(tmp_path / "out.parquet"):
        assert found["a"].to_pylist() == [*rows[:70_000, 0], *rows[:70_000, 0]]


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("output", ["out.parquet", "out.csv"])
def test_an_error_in_a_late_row_leaves_no_output_file(output, cli, folder, rows, tmp_path):
    bad = rows.copy()
    bad[100_003, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    result = cli("predict", folder / "model.gmm", tmp_path / "bad.npy", "-o", tmp_path / output, "--missing", "error")
    assert result.exit_code == 1
    assert "bad.npy, row 100003, column 'x1': the value is missing" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npy"]
    result = cli("predict", folder / "model.gmm", tmp_path / "bad.npy", "--to", "parquet", "--missing", "error")
    assert (result.exit_code, result.stdout_bytes) == (1, b"")


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupt_leaves_no_output_file(shell, folder, tmp_path):
    prelude = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    process = shell("predict", folder / "model.gmm", folder / "table.csv", "-o", tmp_path / "out.csv", prelude=prelude)
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.monotonic() < end:
        time.sleep(0.002)
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_predict_fails_if_the_input_file_changes_during_the_run(cli, folder, rows, tmp_path, monkeypatch):
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    density = GaussianMixture.score_samples
    monkeypatch.setattr(GaussianMixture, "score_samples", lambda *args: os.utime(path, (1, 1)) or density(*args))
    result = cli("predict", folder / "model.gmm", path, "-o", tmp_path / "out.parquet")
    assert result.exit_code == 1
    assert f"{path}: changed while it was read" in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system does not report peak memory")
def test_memory_of_predict_does_not_grow_with_the_table(shell, folder, mixture, tmp_path):
    print_status = "import atexit\natexit.register(lambda: print(open('/proc/self/status').read()))"
    peaks = []
    for n_rows in (200_000, 1_200_000):
        np.save(tmp_path / "rows.npy", mixture.sample(n_rows, np.random.default_rng(0))[0])
        process = shell(
            "predict", folder / "model.gmm", tmp_path / "rows.npy", "-o", tmp_path / "out.parquet", prelude=print_status
        )
        status, _ = process.communicate(timeout=60)
        peaks.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
    assert parquet.read_metadata(tmp_path / "out.parquet").num_rows == 1_200_000
    assert peaks[1] - peaks[0] < 30_000, "the additional rows and their results occupy 56,000 kB"


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "csv"])
def test_predictions_of_all_formats_can_be_read_again(format, cli, model, faithful, tmp_path, read_features):
    target = tmp_path / f"out.{format}"
    assert cli("predict", model, faithful, "-o", target).exit_code == 0
    expected = read_features(open_table(str(tmp_path / "input.csv"))).rows
    mixture = Mixture.load(model)
    found = read_features(open_table(str(target)))
    if format != "npy":
        assert found.names == ("eruptions", "waiting", "component", "probability", "log_density")
    assert np.array_equal(found.rows[:, :2], expected)
    assert np.array_equal(found.rows[:, 2], mixture.predict(expected))
    assert np.array_equal(found.rows[:, 4], mixture.log_density(expected))


def test_predict_preserves_column_types_and_the_text_of_csv_files(cli, model, csv_file, tmp_path):
    path = csv_file("id,eruptions,waiting\n007,3.6,79\n008,1.8,54\n")
    assert cli("predict", model, path, "-o", tmp_path / "a.parquet").exit_code == 0
    found = parquet.read_table(tmp_path / "a.parquet")
    assert found["id"].to_pylist() == ["007", "008"]
    assert found["eruptions"].to_pylist() == [3.6, 1.8]
    assert cli("predict", model, tmp_path / "a.parquet", "-o", tmp_path / "b.arrow", "-q").exit_code == 0
    assert feather.read_table(tmp_path / "b.arrow")["id"].to_pylist() == ["007", "008"]
    again = cli("predict", model, tmp_path / "a.parquet", "--quiet").stdout.splitlines()
    assert again[1].startswith("007,3.6,79.0,1,0.99")


@pytest.mark.parametrize("format", WRITERS)
def test_standard_streams_accept_all_formats(format, cli, faithful, tmp_path):
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
def test_sample_and_predict_write_only_the_table_to_a_pipe(model):
    """Check that standard output contains only the table."""
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
def test_fit_reads_a_named_pipe_only_once(shell, faithful, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    table = pd.read_csv(faithful).assign(id=range(272))
    table.to_csv(faithful, index=False)
    writer = subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', faithful, tmp_path / "pipe"])
    process = shell("fit", tmp_path / "pipe", "-k", 1, "--json")
    try:
        stdout, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        writer.kill()
        writer.wait()
    assert json.loads(stdout)["n_rows"] == 272
    assert json.loads(stdout)["feature_names"] == ["eruptions", "waiting"]  # the index of rows is not a feature


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="this system has no /dev/stdout")
def test_output_to_dev_stdout_does_not_replace_the_redirected_file(model, shell, tmp_path):
    with (tmp_path / "redirected").open("wb") as file:
        for words in (["sample", model, "-n", 1], ["merge", model, model]):
            process = shell(*words, "-o", "/dev/stdout", stdout=file)
            assert (process.communicate(timeout=60), process.returncode) == ((None, ""), 0)
    header, _, merged = (tmp_path / "redirected").read_bytes().split(b"\n", 2)
    assert header == b"eruptions,waiting"
    assert Mixture.load(io.BytesIO(merged)).n_components == 4


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX terminals")
def test_binary_formats_are_not_written_to_a_terminal(model, shell):
    import pty

    controller, terminal = pty.openpty()
    process = shell("sample", model, "-n", 3, "--to", "npy", stdout=terminal)
    _, stderr = process.communicate(timeout=60)
    os.close(terminal)
    os.close(controller)
    assert process.returncode == 1
    assert "a terminal can't show this format" in stderr


@pytest.mark.heavy
@pytest.mark.parametrize("codec", ["gz", "bz2", "zst", "lz4"])
@pytest.mark.parametrize("format", ["csv", "json"])
def test_outputs_are_compressed_according_to_the_file_extension(format, codec, cli, model, tmp_path):
    plain, packed = tmp_path / f"drawn.{format}", tmp_path / f"drawn.{format}.{codec}"
    for path in (plain, packed):
        assert cli("sample", model, "-n", 25_000, "-o", path).exit_code == 0
    with pa.input_stream(packed) as stream:  # detects the compression from the file name
        assert stream.read() == plain.read_bytes()
