"""CSV files, also compressed."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from itertools import chain, islice
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from gaussmix.errors import counted, quoted
from gaussmix.sources.tables.base import (
    BadTable,
    Input,
    Table,
    check_names,
    first_line,
    invented_names,
    kind_of,
    reading,
)

_DELIMITERS = ",;\t|"
_NULLS = arrow_csv.ConvertOptions().null_values  # how text says that a number is missing


@dataclass(frozen=True, kw_only=True)
class CsvTable(Table):
    """A CSV file. Its delimiter is the first of comma, semicolon, tab and bar that is in its first line.

    Parameters
    ----------
    source : its bytes.
    n_blank : blank lines at its beginning.
    """

    source: Input
    n_blank: int

    @cached_property
    def schema(self) -> pa.Schema:
        with self._reading(), self._stream(self.names) as batches:
            schema = batches.schema
        if all(pa.types.is_null(kind) for kind in schema.types) and next(self._data(), None) is None:
            raise BadTable(f"{self.name} has a header but no rows.")
        return schema

    def batches(self, columns: Sequence[str], numbers: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        types = {name: self._type_of_number(name) if name in numbers else pa.string() for name in columns}
        with self._reading(numbers), self._stream(columns, types) as batches:
            yield from batches

    def unlike(self, other: Table) -> str | None:
        """Types of text are guesses."""
        return "other columns" if self.names != other.names else None

    def place(self, row: int) -> str:
        """The line that a row ends on: not the row's number if lines are empty or fields span several."""
        return f"{self.name}, line {next(line for at, (line, _) in enumerate(self._data()) if at == row)}"

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """For text, name the first value that is no number: a typing error in a column of numbers shows."""
        if not pa.types.is_string(kind):
            return kind_of(kind)
        column = self.names.index(name)
        for line, fields in self._data():
            if not _is_number(fields[column]):
                return f"line {line} holds {quoted(fields[column])}, not a number"
        return "it does not hold numbers"

    def _type_of_number(self, name: str) -> pa.DataType:
        kind = self.schema.field(name).type
        return kind if pa.types.is_boolean(kind) else pa.float64()

    def _stream(self, columns: Sequence[str], types: Mapping[str, pa.DataType] | None = None) -> Any:
        """Columns of these types, or of those of their first rows."""
        return arrow_csv.open_csv(self.source.stream(), **self._options(columns, types))

    @contextmanager
    def _reading(self, numbers: Collection[str] = ()) -> Iterator[None]:
        """Raise BadTable for what is not CSV, and for text in one of the columns `numbers`."""
        with reading(self.source, "CSV"):
            try:
                yield
            except pa.ArrowInvalid as error:
                raise BadTable(self._why_unreadable(error, numbers)) from None

    def _options(self, columns: Sequence[str], types: Mapping[str, pa.DataType] | None = None) -> dict[str, Any]:
        """How Arrow finds columns in the text."""
        return {
            "read_options": arrow_csv.ReadOptions(
                skip_rows=self.n_blank, column_names=self.names, skip_rows_after_names=int(self.has_names)
            ),
            "parse_options": arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            "convert_options": arrow_csv.ConvertOptions(
                include_columns=list(columns), column_types=types, strings_can_be_null=False
            ),
        }

    def _why_unreadable(self, error: Exception, numbers: Collection[str]) -> str:
        """Name the first line with too many or too few values, or with text in one of the columns `numbers`."""
        has_rows, places = False, [self.names.index(name) for name in numbers]
        for line, fields in self._data():
            has_rows = True
            if len(fields) != len(self.names):
                values, columns = counted(len(fields), "value"), counted(len(self.names), "column")
                return f"{self.name}, line {line}: {values} for {columns}."
            for place in places:
                if not _is_number(fields[place]) and fields[place] not in _NULLS:
                    return (
                        f"{self.name}, line {line}, column {self.names[place]!r}: {quoted(fields[place])} is no number."
                    )
        return (
            f"{self.name} can't be read as CSV: {first_line(error)}."
            if has_rows
            else f"{self.name} has a header but no rows."
        )

    def _data(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and fields, by Python's slow reader: for messages."""
        with _text(self.source) as lines:
            kept = islice(_decoded(lines, self.source), self.n_blank, None)
            reader = csv.reader(kept, delimiter=self.delimiter)
            rows = ((self.n_blank + reader.line_num, fields) for fields in reader if fields)
            if self.has_names:
                next(rows, None)
            try:
                yield from rows
            except csv.Error as error:
                raise BadTable(f"{self.name}, line {self.n_blank + reader.line_num}: {error}.") from None


def read_csv(source: Input) -> CsvTable:
    """Read the first line of a CSV file; the rest is read when columns are asked for.

    If the user does not say whether the first line is a header, it is one unless it holds numbers only.

    Raises
    ------
    BadTable : the file is empty or not text, or two columns have the same name.
    OSError : it can't be opened.
    """
    with _text(source) as text:
        lines = _decoded(text, source)
        n_blank, first = next(((at, line) for at, line in enumerate(lines) if line.strip()), (0, ""))
        if not first:
            raise BadTable(f"{source.name} is empty.")
        if "\0" in first:
            raise BadTable(f"{source.name} holds binary data, not CSV.")
        delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
        fields = _first_fields(chain([first], lines), delimiter, source.name)
    has_header, notices = source.has_header, []
    if has_header is None:
        has_header = not all(_is_number(field) for field in fields)
        if not has_header:
            notices = [f"{source.name} begins with numbers, so it is read as having no header; --header if it has."]
    names = tuple(fields) if has_header else invented_names(len(fields))
    check_names(source.name, names)
    return CsvTable(
        name=source.name,
        names=names,
        has_names=has_header,
        notices=tuple(notices),
        delimiter=delimiter,
        files=source.files,
        source=source,
        n_blank=n_blank,
    )


def _text(source: Input) -> TextIOWrapper:
    return TextIOWrapper(source.stream(), encoding="utf-8-sig", newline="")


def _decoded(lines: TextIOWrapper, source: Input) -> Iterator[str]:
    with reading(source, "CSV"):
        try:
            yield from lines
        except UnicodeDecodeError:
            raise BadTable(f"{source.name} is not UTF-8 text: save it as CSV in UTF-8.") from None


def _first_fields(lines: Iterable[str], delimiter: str, path: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader(lines, delimiter=delimiter))]
    except csv.Error as error:
        raise BadTable(f"{path} can't be read as CSV: {error}.") from None


def _is_number(text: str) -> bool:
    """Whether text is a number in CSV too: Python also takes 1_000, and digits of other scripts."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()
