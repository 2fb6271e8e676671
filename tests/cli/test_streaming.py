"""`predict` of tables of any size: the bits of all rows at once, in bounded memory, and a whole output or none."""

import os
import signal
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from pyarrow import feather, parquet

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.estimators.regressor import regressor_of
from gaussmix.sources.tables import open_table

N_ROWS, NAMES = 2 * 65_536 + 4_321, ["a", "b", "c"]


@pytest.fixture(scope="module")
def mixture():
    covariances = np.array([[[1.0, 0.4, 0.1], [0.4, 2.0, 0.3], [0.1, 0.3, 0.5]], np.eye(3)])
    return Mixture([0.3, 0.7], [[0.0, 0.0, 0.0], [3.0, 3.0, 1.0]], covariances, FAMILIES["full"], NAMES)


@pytest.fixture(scope="module")
def folder(mixture, tmp_path_factory):
    """A model, and the same table in files of several formats; with a column that is no feature."""
    place = tmp_path_factory.mktemp("tables")
    rows, _ = mixture.sample(N_ROWS, np.random.default_rng(1))
    table = pa.table({"id": pa.array(np.arange(N_ROWS)).cast(pa.string()), **dict(zip(NAMES, rows.T, strict=True))})
    mixture.save(place / "model.gmm")
    (place / "parts").mkdir()
    parquet.write_table(table.slice(0, 50_001), place / "parts" / "1.parquet", row_group_size=10_000)
    parquet.write_table(table.slice(50_001), place / "parts" / "2.parquet", compression="zstd")
    feather.write_feather(table, place / "table.arrow")
    pa.csv.write_csv(table, place / "table.csv")
    np.save(place / "table.npy", rows)
    return place


@pytest.fixture(scope="module")
def rows(folder):
    return np.load(folder / "table.npy")


INPUTS = ["parts", "parts/*.parquet", "table.arrow", "table.csv", "table.npy"]
OUTPUTS = ["out.parquet", "out.arrow", "out.npy", "out.csv"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "output"), [*((name, "out.parquet") for name in INPUTS), *(("table.npy", output) for output in OUTPUTS)]
)
def test_the_results_have_the_bits_of_all_rows_at_once(name, output, cli, folder, rows, mixture, tmp_path):
    result = cli("predict", folder / "model.gmm", folder / name, "-o", tmp_path / output)
    assert (result.exit_code, result.stderr, result.stdout) == (0, "", "")
    found = np.concatenate(list(open_table(str(tmp_path / output)).rows(names_of(name, output), N_ROWS)))
    np.testing.assert_array_equal(found[:, :3], rows)
    np.testing.assert_array_equal(found[:, 3], mixture.predict(rows))
    np.testing.assert_array_equal(found[:, 4], mixture.responsibilities(rows).max(axis=1))
    np.testing.assert_array_equal(found[:, 5], mixture.log_density(rows))


@pytest.mark.heavy
def test_less_memory_gives_the_same_in_smaller_parts(cli, folder, tmp_path):
    few, many = tmp_path / "few.parquet", tmp_path / "many.parquet"
    assert cli("predict", folder / "model.gmm", folder / "parts", "-o", few).exit_code == 0
    assert cli("predict", folder / "model.gmm", folder / "parts", "-o", many, "--memory", "4MB").exit_code == 0
    assert parquet.read_metadata(few).num_row_groups == 3
    assert parquet.read_metadata(many).num_row_groups == -(-N_ROWS // 4096)
    assert parquet.read_table(many).equals(parquet.read_table(few))


RESULTS = ["component", "probability", "log_density"]


def names_of(name, output):
    """The columns of numbers in an output."""
    if output == "out.npy":
        return [f"x{place}" for place in range(6)]
    return [*(["x0", "x1", "x2"] if name == "table.npy" else NAMES), *RESULTS]


def test_other_columns_pass_in_the_order_of_the_rows(cli, folder, tmp_path):
    assert cli("predict", folder / "model.gmm", folder / "parts", "-o", tmp_path / "out.parquet").exit_code == 0
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["id", *NAMES, *RESULTS]
    assert found["id"].to_pylist() == [str(row) for row in range(N_ROWS)]


@pytest.mark.heavy
def test_targets_and_p_values_have_the_bits_of_all_rows_at_once(cli, folder, rows, mixture, tmp_path):
    model, table = folder / "model.gmm", folder / "parts"
    assert cli("predict", model, table, "--targets", "b", "-o", tmp_path / "a.parquet").exit_code == 0
    mean, deviation = regressor_of(mixture.with_feature_names(None), [1], None).predict(
        rows[:, [0, 2]], return_std=True
    )
    found = parquet.read_table(tmp_path / "a.parquet")
    np.testing.assert_array_equal(found["b_predicted"].to_numpy(), mean[:, 0])
    np.testing.assert_array_equal(found["b_std"].to_numpy(), deviation[:, 0])
    assert cli("predict", model, table, "--outliers", "-o", tmp_path / "b.parquet").exit_code == 0
    found = parquet.read_table(tmp_path / "b.parquet")
    np.testing.assert_array_equal(found["p_value"].to_numpy(), mixture.tail_probability(rows))


def test_scores_are_those_of_all_rows_at_once(cli, folder, rows, mixture, tmp_path):
    assert cli("score", folder / "model.gmm", folder / "parts", "--rows", "-o", tmp_path / "a.npy").exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy")[:, 0], mixture.log_density(rows))


@pytest.mark.heavy
def test_a_column_of_categories_passes(cli, folder, tmp_path):
    """An Arrow file holds one dictionary for a column, and its parts have several."""
    kinds = pa.array(["x", "y"] * 50_000).dictionary_encode()
    table = pa.table({**{name: np.arange(100_000.0) for name in NAMES}, "kind": kinds})
    parquet.write_table(table, tmp_path / "in.parquet")
    for output in ("out.arrow", "out.parquet"):
        assert cli("predict", folder / "model.gmm", tmp_path / "in.parquet", "-o", tmp_path / output).exit_code == 0
    for found in (feather.read_table(tmp_path / "out.arrow"), parquet.read_table(tmp_path / "out.parquet")):
        assert found["kind"].to_pylist() == ["x", "y"] * 50_000


@pytest.mark.parametrize("output", ["out.parquet", "out.csv"])
def test_an_error_in_a_late_row_leaves_nothing(output, cli, folder, rows, tmp_path):
    bad = rows.copy()
    bad[100_003, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    result = cli("predict", folder / "model.gmm", tmp_path / "bad.npy", "-o", tmp_path / output)
    assert result.exit_code == 1
    assert "bad.npy, row 100003, column 'x1': the value is missing" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npy"]
    result = cli("predict", folder / "model.gmm", tmp_path / "bad.npy", "--to", "parquet")
    assert (result.exit_code, result.stdout_bytes) == (1, b"")


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_leaves_nothing(shell, folder, tmp_path):
    heeding = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    process = shell("predict", folder / "model.gmm", folder / "table.csv", "-o", tmp_path / "out.csv", prelude=heeding)
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.monotonic() < end:
        time.sleep(0.002)
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_a_file_that_changes_meanwhile_is_named(cli, folder, rows, tmp_path, monkeypatch):
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    density = GaussianMixture.score_samples
    monkeypatch.setattr(GaussianMixture, "score_samples", lambda *how: os.utime(path, (1, 1)) or density(*how))
    result = cli("predict", folder / "model.gmm", path, "-o", tmp_path / "out.parquet")
    assert result.exit_code == 1
    assert f"{path}: changed while it was read" in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system does not say the peak of memory")
def test_memory_does_not_grow_with_the_table(shell, folder, mixture, tmp_path):
    said = "import atexit\natexit.register(lambda: print(open('/proc/self/status').read()))"
    peaks = []
    for n_rows in (200_000, 1_200_000):
        np.save(tmp_path / "rows.npy", mixture.sample(n_rows, np.random.default_rng(0))[0])
        process = shell(
            "predict", folder / "model.gmm", tmp_path / "rows.npy", "-o", tmp_path / "out.parquet", prelude=said
        )
        status, _ = process.communicate(timeout=60)
        peaks.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
    assert parquet.read_metadata(tmp_path / "out.parquet").num_rows == 1_200_000
    assert peaks[1] - peaks[0] < 30_000, "kB; the rows that were added have 56,000 with their results"
