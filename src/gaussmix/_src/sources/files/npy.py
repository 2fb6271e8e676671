"""Read rows of .npy files directly into the arrays of blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from errno import EIO
from io import SEEK_END, BytesIO, FileIO
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import invented_names
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.files.base import Chosen, Reader, open_source
from gaussmix._src.sources.files.listing import FileVersions, list_files

if TYPE_CHECKING:
    from gaussmix._src.sources.base import Source
    from gaussmix._src.sources.open_options import OpenOptions

MAGIC = b"\x93NUMPY"
MAX_ESCAPED_HEADER_BYTES = 60_000  # six times NumPy's limit for headers, because an escape sequence takes six bytes
PIECE_BYTES = 2**20  # number of bytes to read at a time if values are converted or columns are selected


def _read_header_3(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read a header of version 3, whose text is UTF-8; NumPy has no public function for this version."""
    size = int.from_bytes(file.read(4), "little")
    text = file.read(size).decode().encode("ascii", "backslashreplace")  # letters in names become escape sequences
    escaped = BytesIO(len(text).to_bytes(4, "little") + text)
    return np.lib.format.read_array_header_2_0(escaped, max_header_size=MAX_ESCAPED_HEADER_BYTES)


class NpyFile(NamedTuple):
    """The header of a .npy file."""

    path: Path
    n_rows: int
    start: int  # offset of the first number in the file, in bytes
    is_by_columns: bool
    dtype: np.dtype[Any]
    n_columns: int

    @classmethod
    def from_file(cls, path: Path | str, file: Any) -> NpyFile:
        """Read the header of an open file; raise ValueError if the file is not a table of numbers."""
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_by_columns, dtype = _read_header_3(file) if version == (3, 0) else read(file)
        except (ValueError, TokenError) as error:
            reason = "a bracket or quote is not closed" if isinstance(error, TokenError) else str(error)
            raise ValueError(f"{path} can't be read as .npy: {reason}.") from None
        start = file.tell()
        is_table = min(shape, default=-1) >= 0 and len(shape) <= (1 if dtype.names else 2)
        fields = [dtype[name] for name in dtype.names or ()]
        if not is_table or any(field.kind in "OVc" for field in fields) or dtype.kind not in "fiubV":
            raise ValueError(f"{path} contains {dtype} of shape {shape}, not rows and columns of numbers.")
        n_rows, n_columns = shape if len(shape) == 2 else (*shape, 1)
        if file.seek(0, SEEK_END) < start + n_rows * n_columns * dtype.itemsize:
            raise ValueError(f"{path} is truncated: it ends before the {n_rows} rows that its header declares.")
        return cls(Path(path), n_rows, start, is_by_columns and len(shape) == 2, dtype, n_columns)


def open_npy(data: Any, request: OpenOptions) -> Source:
    """Open the .npy files of a path, a pattern or a folder."""
    paths = [file for file in list_files(os.fspath(data)) if isinstance(file, Path)]
    reader = NpyReader(paths, None, request.columns, request.weights)
    reader.may_miss = request.missing
    return open_source(reader, request.memory)


def is_numeric_array(path: Path) -> bool:
    """Return whether a file is intended as a .npy file of plain numbers, rather than records with named fields."""
    with open(path, "rb") as file:
        try:
            return not NpyFile.from_file(path, file).dtype.names
        except ValueError:
            file.seek(0)
            return path.suffix.lower() == ".npy" or file.read(len(MAGIC)) == MAGIC


class NpyReader(Reader):
    """A reader of one or more .npy files. By default, every column except the weights is a feature.

    `names` lists the names of all columns, by default x0, x1, and so on. `columns` selects the features. `dtype` is the
    type of the rows in memory, by default float32 if the files have float32, otherwise float64.
    """

    origin: Reader | None = None  # reader of the original table if the file is a copy, otherwise None
    spool: object = None  # object that deletes a temporary file when the file's last reader is deleted

    def __init__(
        self,
        paths: Sequence[Path],
        names: Sequence[str] | None,
        columns: Sequence[str] | None,
        weights: str | None,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        self.has_names = names is not None
        self.files, self.name = [_header(path) for path in paths], str(paths[0])
        first = self.files[0]
        for file in self.files:
            if (file.n_columns, file.dtype) != (first.n_columns, first.dtype):
                raise ValueError(
                    f"{file.path} has {file.n_columns} columns of {file.dtype}, but {first.path} has {first.n_columns} "
                    f"of {first.dtype}: all files must have the same columns."
                )
        all_names = names or invented_names(first.n_columns)
        chosen = Chosen.from_columns(self.name, all_names, columns, weights, first.dtype)
        self.names, self.column_indices, self.weight_index, _, self.integer_columns = chosen
        self.weights, self.dtype = weights, dtype or chosen.dtype
        self.n_rows = sum(file.n_rows for file in self.files)
        self.copies_rows = self.column_indices == list(range(first.n_columns)) and first.dtype == self.dtype
        self.order = "F" if first.is_by_columns or not self.copies_rows else "C"
        self.versions = FileVersions([file.path for file in self.files])

    def parts(self) -> Iterator[_Open]:
        for file in self.files:
            with FileIO(file.path) as stream:
                yield _Open(file, stream, file.n_rows)

    def put_part(self, part: _Open, first: int, rows: Rows, row_weight: Array | None) -> None:
        file, size = part.file, part.file.dtype.itemsize
        if file.is_by_columns:
            columns = [*zip(self.column_indices, rows.T, strict=True)]
            if row_weight is not None and self.weight_index is not None:
                columns.append((self.weight_index, row_weight))
            for index, column in columns:
                part.read((index * file.n_rows + first) * size, column)
            return
        width = file.n_columns * size
        if self.copies_rows:
            part.read(first * width, rows)
            return
        step = max(1, PIECE_BYTES // width)
        buffer = np.empty((min(step, len(rows)), file.n_columns), file.dtype)
        for start in range(0, len(rows), step):
            piece = buffer[: min(step, len(rows) - start)]
            part.read((first + start) * width, piece)
            rows[start : start + len(piece)] = piece[:, self.column_indices]
            if row_weight is not None:
                row_weight[start : start + len(piece)] = piece[:, self.weight_index]

    def describe_location(self, row: int) -> str:
        if self.origin is not None:
            return self.origin.describe_location(row)
        for file in self.files:
            if row < file.n_rows:
                return f"{file.path}, row {row}"
            row -= file.n_rows
        raise IndexError(row)


def _header(path: Path) -> NpyFile:
    with open(path, "rb") as file:
        return NpyFile.from_file(path, file)


class _Open(NamedTuple):
    """An open file."""

    file: NpyFile
    stream: FileIO
    n_rows: int

    def read(self, at: int, target: NDArray[Any]) -> None:
        """Read the numbers that begin at byte `at` into an array, and convert them if the types differ."""
        file, stream = self.file, self.stream
        if target.dtype != file.dtype or not target.flags.c_contiguous:
            values = np.empty(target.shape, file.dtype)
            self.read(at, values)
            target[...] = values
            return
        stream.seek(file.start + at)
        room = target.reshape(-1).view(np.uint8).data
        while room:
            n_read = stream.readinto(room)
            if not n_read:
                raise OSError(EIO, f"became shorter while it was read; it ends at byte {stream.tell()}", str(file.path))
            room = room[n_read:]
