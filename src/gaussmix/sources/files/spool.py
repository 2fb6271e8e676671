"""Numbers of tables that are slow to read, or can be read once only, written to a file that is fast to read."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix.sources.files.arrow import BatchReader, put
from gaussmix.sources.files.npy import NpyReader
from gaussmix.sources.tables import batch_rows

HEADER = 128  # bytes, room for any number of rows


def spooled(table: BatchReader) -> NpyReader:
    """The numbers of a table in a temporary .npy file, which goes with the reader.

    Raises
    ------
    OSError : the disk is full, or the table can't be read.
    """
    place = tempfile.mkdtemp(prefix="gaussmix-")
    path = Path(place) / "rows.npy"
    try:
        write(table, path)
        reader = NpyReader([path], table.read_columns, table.names, table.weights, table.dtype)
    except BaseException:
        _remove(place)
        raise
    reader.name, reader.origin, reader.has_names = table.name, table, table.has_names
    reader.spool = _Spool(place)
    return reader


class _Spool:
    """Removes a folder once no reader has it: copies of a reader have it too, those in other processes have not."""

    def __init__(self, place: str) -> None:
        weakref.finalize(self, _remove, place)

    def __deepcopy__(self, memo: object) -> _Spool:
        return self

    def __reduce__(self) -> Any:
        return type(None), ()


def write(table: BatchReader, path: Path) -> None:
    """Write the numbers of a table, by rows, as .npy."""
    n_rows, columns = 0, table.read_columns
    step = batch_rows(len(columns))
    dtype = table.dtype if table.weights is None else np.dtype(np.float64)  # weights are never rounded
    try:
        with open(path, "wb") as file:
            file.write(bytes(HEADER))
            for whole in table.batches():
                for first in range(0, whole.num_rows, step):
                    batch = whole.slice(first, step)
                    rows = np.empty((batch.num_rows, len(columns)), dtype)
                    for column, name in enumerate(columns):
                        put(table, name, batch.column(name), rows[:, column])
                    file.write(rows.data)
                    n_rows += len(rows)
            file.seek(0)
            file.write(_header(n_rows, len(columns), dtype))
    except OSError as error:
        if error.errno is None:
            raise
        reason = f"{error.strerror} while {table.name} was spooled; set TMPDIR to a folder on a larger disk"
        raise OSError(error.errno, reason, str(path)) from None


def _header(n_rows: int, n_columns: int, dtype: np.dtype[np.generic]) -> bytes:
    what = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({n_rows}, {n_columns}), }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + what.ljust(HEADER - 11).encode() + b"\n"


def _remove(place: str) -> None:
    import shutil

    shutil.rmtree(place, ignore_errors=True)
