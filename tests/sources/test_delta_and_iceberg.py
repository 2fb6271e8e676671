"""Delta and Iceberg tables give the same bits as the rows that their own libraries read."""

import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from common import LEAF_ROWS, FileSource, assert_same_fit

import gaussmix
from gaussmix import GaussianMixture

SMALL = "2 MB"  # less memory than the rows take
HOW = {"random_state": 0, "max_iter": 3}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(5)
    return [pa.table({name: rng.normal(size=LEAF_ROWS // 2 + 7) for name in "ab"}) for _ in range(3)]


@pytest.fixture
def delta(parts, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    for part in parts:
        deltalake.write_deltalake(str(tmp_path), part, mode="append")
    return deltalake.DeltaTable(str(tmp_path))


@pytest.fixture
def iceberg(parts, tmp_path):
    catalog = pytest.importorskip("pyiceberg.catalog.sql").SqlCatalog(
        "here", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=tmp_path.as_uri()
    )
    catalog.create_namespace("of")
    table = catalog.create_table("of.rows", schema=parts[0].schema)
    for part in parts:
        table.append(part)
    yield table
    catalog.close()


@pytest.mark.parametrize("memory", [SMALL, "128 MB"])
def test_fit_to_a_delta_table_gives_the_same_bits_as_in_memory(memory, delta):
    source = gaussmix.open(delta, memory=memory)
    assert isinstance(source, FileSource) == (memory == SMALL)
    rows = delta.to_pyarrow_table().to_pandas().to_numpy()
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([block.rows.copy() for block in source.blocks()]), rows)
    assert_same_fit(GaussianMixture(2, **HOW).fit(source), GaussianMixture(2, **HOW).fit(rows))


def test_a_missing_file_of_a_delta_table_is_reported(delta, tmp_path):
    source = gaussmix.open(delta, memory=SMALL)
    os.remove(next(tmp_path.glob("*.parquet")))
    with pytest.raises(FileNotFoundError, match=r"\.parquet"):
        list(source.blocks())


def test_files_of_a_delta_version_that_vacuum_removed_are_reported(delta, parts, tmp_path):
    deltalake, folder = pytest.importorskip("deltalake"), str(tmp_path)
    source = gaussmix.open(delta, memory=SMALL)
    deltalake.write_deltalake(folder, parts[0], mode="overwrite")
    deltalake.DeltaTable(folder).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    sentence = r"\.parquet not found; `vacuum` removes files of old versions: 'version 2 of the Delta table'"
    with pytest.raises(FileNotFoundError, match=sentence):
        list(source.blocks())
    with pytest.raises(FileNotFoundError, match=sentence):
        gaussmix.open(deltalake.DeltaTable(folder, version=2))


@pytest.mark.filterwarnings("ignore:.* is slow to read")
def test_fit_to_an_iceberg_table_gives_the_same_bits_as_in_memory(iceberg):
    positive = iceberg.scan(row_filter="a > 0")
    for table, scan in ((iceberg, iceberg.scan()), (positive, positive)):
        source = gaussmix.open(table, memory=SMALL)
        rows = scan.to_arrow().to_pandas().to_numpy()
        assert_same_fit(GaussianMixture(2, **HOW).fit(source), GaussianMixture(2, **HOW).fit(rows))


def test_an_iceberg_scan_without_rows_is_rejected(iceberg):
    with pytest.raises(ValueError, match="the Iceberg table has no rows"):
        gaussmix.open(iceberg.scan(row_filter="a > 100"))


def test_a_delta_source_reads_its_version_while_others_write(delta, parts, tmp_path):
    source, rows = gaussmix.open(delta, memory=SMALL), delta.to_pyarrow_table().to_pandas().to_numpy()
    pytest.importorskip("deltalake").write_deltalake(str(tmp_path), parts[0], mode="overwrite")
    np.testing.assert_array_equal(np.concatenate([block.rows.copy() for block in source.blocks()]), rows)


def test_guide_code_for_delta_and_iceberg_runs(delta, iceberg, parts, tmp_path, monkeypatch):
    monkeypatch.setattr("pyiceberg.catalog.load_catalog", {"mine": iceberg.catalog}.get)
    text = (Path(__file__).parents[2] / "docs/guide/files.md").read_text(encoding="utf-8")
    section = re.search(r"^## Delta and Iceberg tables.*?(?=^## )", text, re.MULTILINE | re.DOTALL)[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    namespace = {"gaussmix": gaussmix}
    exec(code.replace('"rows"', repr(str(tmp_path))), namespace)
    all_rows = delta.to_pyarrow_table().to_pandas().to_numpy()
    first = parts[0].to_pandas().to_numpy()
    positive = iceberg.scan(row_filter="a > 0").to_arrow().to_pandas().to_numpy()
    for name, rows in {"gm": all_rows, "gm_of_first": first, "gm_of_positive": positive}.items():
        assert_same_fit(namespace[name], GaussianMixture(2, random_state=0).fit(rows))
