"""Tests with damaged files and extreme values, which give valid results or clear errors; `nox -s fuzz` tests longer."""

import gzip
import io
import os
import resource
import tempfile
import warnings
from pathlib import Path

import hypothesis.extra.numpy as numpy_values
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gaussmix
from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.cli.subcommands.convert import _read
from gaussmix._src.sources.tables import open_table

EXAMPLES = int(os.environ.get("GAUSSMIX_FUZZ_EXAMPLES", 0))
fuzzed = settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
EXPECTED_ERRORS = ValueError, TypeError, OSError
MAX_MEMORY_GROWTH = 2**20  # memory in kB that reading a small file may add
ROWS = np.random.default_rng(0).normal(size=(24, 2))
TEXT = [f"text {i % 3}" for i in range(24)]
TABLE = pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1], "s": TEXT, "d": pa.array(TEXT).dictionary_encode()})


def written(write, *arguments, **options):
    """Return the bytes of a file."""
    file = io.BytesIO()
    write(file, *arguments, **options)
    return file.getvalue()


def ipc(file, new, codec):
    with new(file, TABLE.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(TABLE, max_chunksize=16)


CSV = written(lambda file: pa.csv.write_csv(TABLE, file))
MIXTURE = Mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], np.stack([np.eye(2)] * 2), FAMILIES["full"])
ARRAYS = {"weights": MIXTURE.weights, "means": MIXTURE.means, "covariances": MIXTURE.covariances}
FILES = [
    *[("rows.arrow", written(ipc, pa.ipc.new_file, codec)) for codec in (None, "lz4", "zstd")],
    *[("rows.arrows", written(ipc, pa.ipc.new_stream, codec)) for codec in (None, "lz4")],
    *[
        ("rows.parquet", written(lambda f, c=c: pa.parquet.write_table(TABLE, f, compression=c)))
        for c in ("none", "zstd")
    ],
    ("rows.csv", CSV),
    ("rows.csv.gz", gzip.compress(CSV)),
    *[("rows.npy", written(np.save, np.asarray(ROWS, order=order))) for order in "CF"],
    *[("model.npz", written(save, **ARRAYS)) for save in (np.savez, np.savez_compressed)],
    ("model.gmm", written(lambda file: MIXTURE.save(file))),
]
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from([0, 1, 4, 8, 2**20]),
        st.binary(max_size=8)
        | st.sampled_from([(x % 2**64).to_bytes(8, "little") for x in (-1, 0, 2**30, 2**40, 2**62)])
        | st.sampled_from([b"\xfe\xff\xff\xff\x0f", b"\xff\xff\xff\x7f", b"\0\0\0\x40"]),
    ),
    min_size=1,
    max_size=4,
)


def error_message(call, *arguments):
    """Return the message of an expected error, or None if there is no error. Other errors are raised."""
    try:
        call(*arguments)
    except EXPECTED_ERRORS as error:
        return str(error)
    return None


def read(path):
    """Read and use a file as the command line does."""
    if path.suffix in (".npz", ".gmm"):
        mixture, _ = _read(str(path), path.suffix, 2**28)
        assert not np.isnan(mixture.log_density(mixture.means)).any()
        return
    table = open_table(str(path))
    for batch in table.batches(table.names):
        batch.to_pylist()
    for memory in "512 MB", "100 kB":
        for block in gaussmix.open(path, missing=True, memory=memory).blocks():
            assert not np.isinf(block.rows).any()


@fuzzed
@given(st.sampled_from(FILES), CHANGES)
def test_a_damaged_file_is_read_or_raises_an_error_that_names_the_file(file, changes):
    (name, contents), before = file, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for where, length, piece in changes:
        position = int(where * len(contents))
        contents = contents[:position] + piece + contents[position + length :]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        path = Path(folder) / name
        path.write_bytes(contents)
        message = error_message(read, path)
    assert message is None or (str(path) in message and not {"\n", "TMPDIR"} & {*message, *message.split()})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + MAX_MEMORY_GROWTH


EXTREMES = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e-160, 1e154, -1e154, 1e200, 1.7e308, np.nan, np.inf, -np.inf]
NUMBERS = st.sampled_from(EXTREMES) | st.floats(-10, 10)


def fitted(X, weights, options):
    estimator = GaussianMixture(random_state=0, n_jobs=1, max_iter=20, **options).fit(X, sample_weight=weights)
    parameters = estimator.weights_, estimator.means_, estimator.covariances_
    assert all(
        np.isfinite(each).all() for each in (estimator.score_samples(X), estimator.predict_proba(X), *parameters)
    )


@fuzzed
@given(
    numpy_values.arrays(
        st.sampled_from(["f8", "f4", "i8", "?", "O"]),
        numpy_values.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
        elements=st.sampled_from([0, 1]),
    ),
    st.lists(NUMBERS, max_size=5),
    st.fixed_dictionaries(
        {"n_components": st.sampled_from([1, 2, 3, 0, -1, 1.5, "2", 2**63])},
        optional={
            "covariance_type": st.sampled_from(["full", "tied", "diag", "spherical", "VEV", "", None, 3]),
            "reg_covar": st.sampled_from([0.0, 1e-6, 1e150, -1.0, np.nan, np.inf]),
            "tol": NUMBERS,
            "init_params": st.sampled_from(["kmeans", "k-means++", "random", "", 1]),
            "trim": NUMBERS,
            "n_init": st.sampled_from([1, 2, 0, -1]),
        },
    ),
    st.none() | st.lists(NUMBERS, max_size=9),
)
def test_extreme_values_are_fitted_or_raise_an_error_with_a_message(X, values, options, weights):
    for position, value in enumerate(values if X.dtype.kind == "f" and X.size else ()):
        with np.errstate(over="ignore"):
            X.flat[position * 7 % X.size] = value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert error_message(fitted, X, weights, options) != ""
    assert not [each for each in caught if " encountered in " in str(each.message)]


@pytest.mark.parametrize("n_rows", [2**63, 2**62])
def test_sample_rejects_more_rows_than_memory_can_hold(n_rows):
    with pytest.raises(ValueError, match=f"^n_rows={n_rows} must be at most "):
        MIXTURE.sample(n_rows)
