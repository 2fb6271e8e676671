"""Fits and predictions of HDF5 data sets."""

import numpy as np
import pytest
from common import assert_same_bits

import gaussmix
from gaussmix import GaussianMixture
from gaussmix.testing import check_source

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "rows.h5", "w") as opened:
        yield opened


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
@pytest.mark.parametrize("memory", ["1 MB", "1 GB"])
def test_fit_to_an_hdf5_data_set_equals_the_fit_in_memory(file, memory, dtype, rng):
    rows = (100 * rng.normal(size=(70_000, 3))).astype(dtype)
    data = file.create_dataset("rows", data=rows, chunks=(999, 2), compression="gzip")
    actual = GaussianMixture(2, random_state=0, max_iter=3, tol=0.1).fit(gaussmix.open(data, memory=memory))
    expected = GaussianMixture(2, random_state=0, max_iter=3, tol=0.1).fit(rows)
    np.testing.assert_array_equal(actual.mixture_.means, expected.mixture_.means)
    np.testing.assert_array_equal(actual.predict(data), expected.predict(rows))


def test_selected_columns_are_read_in_blocks_of_whole_chunks(file, rng):
    """Check that chunks are read as a whole if a block of rows has room for them."""
    rows = rng.normal(size=(70_000, 100)).astype("f4")
    for name, chunks in ("plain", None), ("chunked", (30_000, 50)):
        data = file.create_dataset(name, data=rows, chunks=chunks)
        source = gaussmix.open(data, columns=["x1", "x0"], memory="1 MB")
        sizes = [part.n_rows for part in source.reader.parts()]
        assert sizes == ([30_000, 30_000, 10_000] if chunks else [20_971] * 3 + [7_087])
        assert_same_bits(np.concatenate([block.rows for block in source.blocks()]), rows[:, [1, 0]], name)


def test_hdf5_source_passes_check_source(file, rng):
    def make_source(rows, weight):
        columns = rows if weight is None else np.column_stack([rows, weight])
        data = file.create_dataset(f"rows {len(file)}", data=columns)
        return gaussmix.open(data, weights=None if weight is None else "x3", memory="1 kB")

    check_source(make_source, rng)


def test_data_sets_that_are_not_numeric_tables_are_rejected(file):
    for wrong in (np.ones(4), np.ones((2, 2), dtype=complex), np.ones((4, 0), dtype=int)):
        with pytest.raises(ValueError, match=r"The data set .* of .*rows.h5 contains .*, not rows and columns of"):
            gaussmix.open(file.create_dataset(str(wrong.dtype), data=wrong))
    data = file.create_dataset("incomplete", data=[[1.0, 2.0], [3.0, np.nan]])
    with pytest.raises(ValueError, match="row 1, column 'x1'"):
        gaussmix.open(data)


def test_a_closed_file_and_a_damaged_chunk_are_reported_with_advice_or_the_file(tmp_path, rng):
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as opened:
        data = opened.create_dataset("rows", data=rng.normal(size=(70_000, 3)), chunks=(1_000, 3), fletcher32=True)
        offset = data.id.get_chunk_info(69).byte_offset
        source = gaussmix.open(data, memory="1 kB")
    with pytest.raises(ValueError, match=r"The file of this HDF5 data set is closed\. Open the file again"):
        gaussmix.open(data)
    with pytest.raises(OSError, match=r"can't be read: .*: \"data set '/rows' of .*rows\.h5\""):
        list(source.blocks())
    with path.open("r+b") as damaged:
        damaged.seek(offset)
        damaged.write(b"damaged")
    with (
        h5py.File(path) as opened,
        pytest.raises(OSError, match=r"can't be read: .*: \"data set '/rows' of .*rows\.h5"),
    ):
        gaussmix.open(opened["rows"])
