"""Functions that write tables in several formats, to standard output or to a file that is never left incomplete."""

from __future__ import annotations

import codecs
import csv
import errno
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import click
import numpy as np
import pyarrow as pa

from gaussmix._src.errors import listed
from gaussmix._src.formats.files import check_local, whole_file
from gaussmix._src.sources.files.paths import is_among
from gaussmix._src.sources.tables import Files, format_by_name
from gaussmix._src.sources.tables.base import STANDARD, BadTable, doubles, is_numeric

_ROWS_AT_ONCE = 10_000
# This dictionary maps file extensions to compression formats, which `open_table` can also read.
_SUFFIX_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


def check_target(target: str, *inputs: str | None) -> None:
    """Check, before the work begins, that the result can be written and does not overwrite an input file.

    Each input is the path of a file, a pattern or a folder. Raises OSError if the target can't be written, and
    UsageError if the target is an input file or if more than one input is standard input.
    """
    path = Path(target)
    if inputs.count(STANDARD) > 1:
        raise click.UsageError("only one input can be read from standard input.")
    if target == STANDARD:
        return
    check_local(target)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; give the path of a file to write", target)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder of the output does not exist", str(path.parent))
    for input_path in inputs:
        if input_path not in (None, "", STANDARD) and is_among(path, input_path):
            sentence = f"{target} is among the files of the input {input_path}: write the output elsewhere."
            raise click.UsageError(sentence)


def output_format(target: str, to: str | None, *, as_json: bool) -> str:
    """Return the format of an output table, which is `to` if set, otherwise the extension's format, or CSV.

    Raises UsageError if --json contradicts the format, if the extension is unknown, or if the extension stands for a
    compression that the format does not support.
    """
    path = Path(target)
    name = path.stem if _codec(target) else path.name
    by_name = "json" if name.lower().endswith(".json") else format_by_name(name)
    if as_json and (to or by_name or "json") != "json":
        what = f"the format {to}" if to else f"the output {target}, whose format is {by_name}"
        raise click.UsageError(f"--json contradicts {what}.")
    if target != STANDARD and not (to or by_name or as_json) and Path(name).suffix:
        extensions = listed([f".{each}" for each in WRITERS])
        raise click.UsageError(f"{target}: gaussmix can't write {Path(name).suffix}. Use {extensions}, or add --to.")
    format = "json" if as_json else to or by_name or "csv"
    if _codec(target) and format not in FOR_PEOPLE:
        raise click.UsageError(f"{target}: only csv and json can be compressed as {path.suffix}, not {format}.")
    return format


@dataclass(frozen=True)
class Writing:
    """Values of the options that determine how a subcommand writes its table.

    Parameters
    ----------
    output : path of the output, or "-" for standard output.
    format : name of the output format, a key of `WRITERS`.
    as_json : whether --json is set.
    is_plain : whether the user has set neither -o nor --to.
    """

    output: str
    format: str
    as_json: bool
    is_plain: bool

    def numbers(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns whose cells are copied as numbers; none for CSV, because CSV keeps the original texts."""
        return () if self.format == "csv" else columns

    def write(self, parts: Iterable[pa.Table], read: Files | None = None) -> None:
        """Write a table that is passed in one or more parts; compress it if the output's extension is .gz or similar.

        CSV is written with the delimiter and the decimal mark of the input table `read`, or "," and "." if `read` is
        None. Raises ValueError if the format can't represent the table, and OSError if the output can't be written.
        """
        codec, write = _codec(self.output), WRITERS[self.format]
        if self.format == "csv" and read is not None:
            write = partial(write_csv, delimiter=read.delimiter, decimal=read.decimal)
        with open_target(self.output, for_people=self.format in FOR_PEOPLE) as file:
            if codec is None:
                write(file, parts)
                return
            # The file descriptor is duplicated, because the compressing stream closes the file to which it writes.
            with pa.CompressedOutputStream(open(os.dup(file.fileno()), "wb"), codec) as stream:
                write(stream, parts)


def _codec(target: str) -> str | None:
    return _SUFFIX_CODECS.get(Path(target).suffix.lower())


@contextmanager
def open_target(target: str, *, for_people: bool) -> Iterator[BinaryIO]:
    """Open a file, or standard output for "-"; raise ValueError for a binary format on a terminal.

    On standard output, text appears while it is being written, but binary formats are written only when the output is
    complete.
    """
    if target != STANDARD:
        with whole_file(target) as file:
            yield file
        return
    stream = sys.stdout.buffer
    if for_people:
        yield stream
    elif stream.isatty():
        raise ValueError("a terminal can't show this format: add -o FILE, or redirect the output with | or >.")
    else:
        with TemporaryFile() as whole:
            yield whole
            whole.seek(0)
            shutil.copyfileobj(whole, stream)
    stream.flush()


def write_csv(file: BinaryIO, parts: Iterable[pa.Table], delimiter: str = ",", decimal: str = ".") -> None:
    """Write CSV: texts are unchanged, numbers have all digits, and lines end with LF."""
    writer = csv.writer(codecs.getwriter("utf-8")(file), delimiter=delimiter, lineterminator="\n")
    for index, table in enumerate(parts):
        if not index:
            writer.writerow(table.column_names)
        writer.writerows(_rows(table) if decimal == "." else _with_decimal(_rows(table), decimal))


def write_json(file: BinaryIO, parts: Iterable[pa.Table]) -> None:
    """Write a JSON array with one object per row, each on a separate line."""
    text, before = codecs.getwriter("utf-8")(file), "[\n"
    for table in parts:
        for row in _rows(table):
            record = {name: json_value(value) for name, value in zip(table.column_names, row, strict=True)}
            text.write(before + json.dumps(record, ensure_ascii=False, default=str))
            before = ",\n"
    text.write("\n]\n" if before == ",\n" else "[\n]\n")


def write_parquet(file: BinaryIO, parts: Iterable[pa.Table]) -> None:
    """Write a Parquet file with one row group for each part of the table."""
    from pyarrow import parquet  # imported late, because the import is slow

    _write_parts(partial(parquet.ParquetWriter, pa.PythonFile(file, "w")), parts)


def write_arrow(file: BinaryIO, parts: Iterable[pa.Table]) -> None:
    """Write an Arrow file; the same format is known as Feather version 2."""
    _write_parts(partial(pa.ipc.new_file, pa.PythonFile(file, "w")), map(_without_dictionaries, parts))


def _write_parts(open_writer: Callable[[pa.Schema], Any], parts: Iterable[pa.Table]) -> None:
    with ExitStack() as open_files:
        writer: Any = None
        for table in parts:
            if writer is None:
                writer = open_files.enter_context(open_writer(table.schema))
            writer.write_table(table)


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Decode dictionary columns, because parts may have different dictionaries, but an Arrow file can have only one."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            kind = field.type.value_type
            table = table.set_column(index, field.with_type(kind), table.column(index).cast(kind))
    return table


def write_npy(file: BinaryIO, parts: Iterable[pa.Table]) -> None:
    """Write the columns as a float64 array (n_rows, n_columns); raise BadTable if a column is not numeric."""
    n_rows = 0
    with TemporaryFile() as numbers:  # the header, which comes first in a .npy file, needs the total number of rows
        for table in parts:
            rows = np.empty((table.num_rows, table.num_columns))
            for at, name in enumerate(table.column_names):
                if not is_numeric(table[name].type):
                    raise BadTable(
                        f"column {name!r} contains no numbers, but .npy can only store numbers: use another format."
                    )
                rows[:, at] = doubles(table[name])
            numbers.write(rows.data)
            n_rows += len(rows)
        header = {"descr": "<f8", "fortran_order": False, "shape": (n_rows, table.num_columns)}
        np.lib.format.write_array_header_1_0(file, header)
        numbers.seek(0)
        shutil.copyfileobj(numbers, file)


WRITERS: dict[str, Callable[[BinaryIO, Iterable[pa.Table]], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
    "arrow": write_arrow,
    "npy": write_npy,
}
FOR_PEOPLE = ("csv", "json")  # text formats that a terminal can show


def rows_at_once(n_numbers: int, memory: int) -> int:
    """Return the number of rows to process at the same time if each row has `n_numbers` values.

    The rows processed at the same time take at most 32 MB and at most a sixteenth of `memory`. The number of rows is a
    power of two, so that BLAS rounds the products of the last rows exactly as if all rows were in memory.
    """
    n_rows = min(2**25, memory // 16) // (8 * n_numbers)
    return 1 << min(16, max(0, n_rows.bit_length() - 1))


def json_value(value: Any) -> Any:
    """Return the value, but None for NaN and infinity, which JSON can't represent."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def free_name(name: str, columns: list[str]) -> str:
    """Return a name for a new column; underscores are appended until no column has this name."""
    while name in columns:
        name += "_"
    return name


def _with_decimal(rows: Iterable[tuple[Any, ...]], decimal: str) -> Iterator[list[Any]]:
    for row in rows:
        yield [str(value).replace(".", decimal) if isinstance(value, float) else value for value in row]


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
