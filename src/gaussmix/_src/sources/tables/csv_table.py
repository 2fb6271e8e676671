"""Read CSV files, including compressed CSV files."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from gaussmix._src.errors import counted, quoted
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.tables import base
from gaussmix._src.sources.tables.base import BadTable, Input, Table, fill_null_types, reading
from gaussmix._src.sources.tables.csv_text import (
    COMMA_HINT,
    EITHER_HINT,
    THOUSANDS,
    TOO_LONG,
    decoded_lines,
    grouped_pattern,
    is_numeric,
    open_stream,
    open_text,
    split_rows,
)

_MAX_CHECKED_ROWS = 20_000  # number of rows to search for cells that are not numbers
_MAX_TEXT_FRACTION = 0.1  # up to this fraction of non-numeric cells, a text column was probably meant to be numeric
_MAX_SHOWN = 3
_OUTER_BLANKS = "", " ", "  "  # Arrow compares cells with the texts of missing values without stripping blanks
_AS_TEXT = {b"read as": b"text"}  # metadata of columns of numbers that Arrow would take for text
_MIN_BLOCK_ROWS = 16  # minimum number of rows that Arrow reads at a time, if lines are about as long as the first line


@dataclass
class _Cells:
    """The cells of a text column that are not numbers, and hints for reading these cells as numbers."""

    n_cells: int = 0  # number of cells that are not missing
    n_bad: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)  # line and text of the first cells that are not numbers
    hints: set[str] = field(default_factory=set)  # "" for a cell that no other setting would make a number

    def add(self, line: int, text: str, hint: str) -> None:
        """Record a cell that is not a number."""
        self.n_bad += 1
        self.bad += [(line, text)] if self.n_bad <= _MAX_SHOWN else []
        self.hints.add(hint)

    @property
    def is_text(self) -> bool:
        """Return whether the column counts as text, because more cells than `_MAX_TEXT_FRACTION` are not numbers."""
        return "" in self.hints and self.n_bad > 1 + _MAX_TEXT_FRACTION * _MAX_CHECKED_ROWS


@dataclass(frozen=True, kw_only=True)
class CsvTable(Table):
    """A CSV file, or a table whose columns are separated by blanks.

    If the user does not set the delimiter, the comma, semicolon, tab and bar are tried in this order. The guess is the
    delimiter that splits the first lines into equal numbers of fields, preferably into numbers and texts without other
    delimiters. If no delimiter splits the lines equally, the guess is the first of these delimiters that occurs in line
    1. If line 1 has none of these delimiters, any run of blanks is the delimiter, provided that blanks split the first
    two lines into equal numbers of fields. A first line "sep=;", as written by Excel, sets the delimiter.
    """

    source: Input  # file or pipe with the bytes of the table
    n_skipped: int  # number of lines to skip at the beginning
    width: int  # number of characters in the first line

    @cached_property
    def schema(self) -> pa.Schema:
        with self._reading(), self._stream(self.names) as batches:
            schema, first = batches.schema, next(batches, None)
        for index, cells in enumerate([] if first is None else first.columns):
            each = schema.field(index)
            is_text = pa.types.is_string(each.type) and (bool(self.thousands) or self._are_numbers(cells))
            is_large = _exceeds_int64(cells.slice(0, _MAX_CHECKED_ROWS))
            if (is_text or is_large) and (kind := self._type_of_texts(index)) is not None:
                schema = schema.set(index, each.with_type(kind).with_metadata(_AS_TEXT if is_text else None))
        untyped = [each.name for each in schema if pa.types.is_null(each.type)]
        return fill_null_types(schema, self._first_value_types(untyped))

    def batches(self, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        types = dict.fromkeys(columns, pa.string())
        for name in numeric:
            kind = self.schema.field(name).type
            types[name] = kind if pa.types.is_boolean(kind) else pa.float64()
        floats = [name for name in numeric if pa.types.is_floating(types[name])]
        texts = {name for name in floats if self.thousands or self.schema.field(name).metadata == _AS_TEXT}
        types |= dict.fromkeys(texts, pa.string())
        with self._reading(numeric), self._stream(columns, types) as batches:
            for batch in batches:
                if texts:
                    cells = zip(batch.schema.names, batch.columns, strict=True)
                    batch = pa.record_batch({key: self._to_numbers(x) if key in texts else x for key, x in cells})
                yield batch

    def _first_value_types(self, names: Sequence[str]) -> Iterator[pa.Schema]:
        """Yield the types of the first values in each batch, for columns that are empty in the first rows."""
        with self._reading(), self._stream(names, dict.fromkeys(names, pa.string())) as batches:
            for batch in batches:
                firsts = {name: self._with_nulls(batch.column(name)).drop_null()[:1].to_pylist() for name in names}
                kinds = {name: self._is_numeric(text) for name, first in firsts.items() for text in first}
                yield pa.schema({name: pa.float64() if numeric else pa.string() for name, numeric in kinds.items()})

    def difference_from(self, other: Table) -> str | None:
        """Describe a difference in column names; types of columns are not compared, because CSV types are guesses."""
        return self._name_difference(other) if self.names != other.names else None

    def describe_location(self, row: int) -> str:
        """Return the name of the file and the last line of a row, which may span several lines."""
        return f"{self.name}, line {next(line for at, (line, _) in enumerate(self._data()) if at == row)}"

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """Return why a column is not numeric; for a text column, name the first value that is not a number."""
        if not pa.types.is_string(kind):
            return super().why_not_numeric(name, kind)
        for line, text in self._texts(name):
            return f"line {line} contains {quoted(text)}, not a number{self._hint(text)}"
        return "it does not contain numbers"

    def bad_cells(self, name: str) -> str | None:
        result = self._cells.get(name)
        if result is None or not result.bad or result.is_text:
            return None
        is_mostly_numeric = result.n_bad <= max(1, _MAX_TEXT_FRACTION * result.n_cells) and result.n_cells >= 3
        if not (is_mostly_numeric or "" not in result.hints):
            return None
        shown = ", ".join(f"{quoted(text)} in line {line}" for line, text in result.bad)
        more = f" and {result.n_bad - _MAX_SHOWN:,} more" if result.n_bad > _MAX_SHOWN else ""
        hints = result.hints
        return shown + more + ("" if "" in hints else max(hints - {EITHER_HINT} or hints, key=len))

    @cached_property
    def _cells(self) -> dict[str, _Cells]:
        """Return the non-numeric cells in the first rows of each text column."""
        texts = [name for name, kind in zip(self.names, self.schema.types, strict=True) if pa.types.is_string(kind)]
        result = {name: _Cells() for name in texts}
        wanted = [(self.column_indices[name], cells) for name, cells in result.items()]
        for line, fields in islice(self._data(), _MAX_CHECKED_ROWS) if texts else ():
            for index, cells in wanted:
                text = fields[index].strip() if index < len(fields) else ""
                if text in self.missing:
                    continue
                cells.n_cells += 1
                if not self._is_numeric(text):
                    cells.add(line, text, self._hint(text))
            wanted = [(index, cells) for index, cells in wanted if not cells.is_text]
            if not wanted:
                break
        # Arrow took a column of numbers for text because of a later cell: its first block may have more rows.
        for name in [name for name, cells in result.items() if cells.n_cells and not cells.bad]:
            for line, text in islice(self._texts(name), 1):
                result[name].add(line, text, self._hint(text))
        return result

    def _texts(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the line and text of each cell of a column that is neither a number nor missing."""
        for line, fields in self._data():
            text = "".join(fields[self.column_indices[name] :][:1]).strip()  # "" if the line has too few fields
            if text not in self.missing and not self._is_numeric(text):
                yield line, text

    def _stream(self, columns: Sequence[str], types: Mapping[str, pa.DataType] | None = None) -> Any:
        """Open an Arrow stream of columns with the given types; if `types` is None, the first rows set them."""
        return arrow_csv.open_csv(
            open_stream(self.source, self.delimiter),
            arrow_csv.ReadOptions(
                skip_rows=self.n_skipped,
                column_names=self.names,
                skip_rows_after_names=int(self.has_names),
                block_size=self._block,
            ),
            arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                include_columns=list(columns),
                column_types=types,
                null_values=["".join(parts) for parts in product(_OUTER_BLANKS, self.missing, _OUTER_BLANKS)],
                strings_can_be_null=False,
                decimal_point=self.decimal,
            ),
        )

    @property
    def _block(self) -> int:
        """Return the number of bytes that Arrow reads at a time, which is also the maximum length of a row."""
        dialect = self.source.dialect
        return max(2**20, dialect.memory // 512, min(_MIN_BLOCK_ROWS * self.width, dialect.max_line_length))

    @contextmanager
    def _reading(self, numeric: Collection[str] = ()) -> Iterator[None]:
        """Raise BadTable if the CSV file is invalid, or if one of the columns `numeric` has text."""
        with reading(self.source, "CSV"):
            try:
                yield
            except pa.ArrowInvalid as error:
                raise BadTable(self._why_unreadable(error, numeric)) from None

    def _why_unreadable(self, error: Exception, numeric: Collection[str]) -> str:
        """Describe the first line that has the wrong number of values, or text in one of the columns `numeric`."""
        has_rows, indices = False, [self.column_indices[name] for name in numeric]
        for line, fields in self._data():
            has_rows = True
            if len(fields) != len(self.names):
                values, columns = counted(len(fields), "value"), counted(len(self.names), "column")
                advice = " Leave out lines of comments." if fields[0].startswith("#") else ""
                return f"{self.name}, line {line}: {values} for {columns}.{advice}"
            for index in indices:
                text = fields[index].strip()
                if not self._is_numeric(text) and text not in self.missing:
                    cell = f"{quoted(text)} is not a number{self._hint(text)}"
                    return f"{self.name}, line {line}, column {self.names[index]!r}: {cell}."
        if has_rows and "straddl" in str(error):
            return f"{self.name} {TOO_LONG.format(self._block)}"
        if not has_rows:
            return f"{self.name} has a header but no rows."
        return f"{self.name} can't be read as CSV: {base.first_line(error)}."

    def _is_numeric(self, text: str) -> bool:
        """Return whether a cell is a number with the decimal mark and thousands separator of this table."""
        return is_numeric(text, self.decimal, self.thousands)

    def _type_of_texts(self, column: int) -> pa.DataType | None:
        """Return int64 or float64 if the first values of a column are numbers in this table's format, or None."""
        rows = islice(self._data(), _MAX_CHECKED_ROWS)
        texts = ("".join(fields[column : column + 1]).strip() for _, fields in rows)  # "" if there are too few fields
        cells = [text for text in texts if text not in self.missing]
        if not cells or not all(map(self._is_numeric, cells)):
            return None
        are_whole = all(text.lstrip("+-").replace(self.thousands or "", "").isdigit() for text in cells)
        return pa.int64() if are_whole else pa.float64()

    def _with_nulls(self, cells: pa.Array) -> pa.Array:
        """Strip blanks from the texts of cells, and replace texts that mark missing values with null."""
        text = pc.utf8_trim_whitespace(cells)
        return pc.if_else(pc.is_in(text, value_set=pa.array(self.missing)), pa.scalar(None, pa.string()), text)

    def _are_numbers(self, cells: pa.Array) -> bool:
        """Return whether texts are numbers and missing values, in forms that Arrow takes for text, such as "NA "."""
        try:
            self._to_numbers(cells)
        except pa.ArrowInvalid:
            return False
        return True

    def _to_numbers(self, cells: pa.Array) -> pa.Array:
        """Convert texts, which may have blanks and thousands separators, to numbers; may raise ArrowInvalid."""
        text = self._with_nulls(cells)
        if self.thousands:
            pattern = grouped_pattern(self.thousands, self.decimal).pattern
            is_grouped = pc.fill_null(pc.match_substring_regex(text, f"^(?:{pattern})$"), False)
            marks = f"[{THOUSANDS[self.thousands]}]"
            text = pc.if_else(is_grouped, pc.replace_substring_regex(text, marks, ""), text)
        if self.decimal != ".":
            text = pc.replace_substring(pc.replace_substring(text, ".", "?"), self.decimal, ".")
        return pc.cast(text, pa.float64())

    def _hint(self, text: str) -> str:
        """Return a hint if a text would be a number with a decimal comma or a thousands separator; otherwise ""."""
        if self.decimal == "." and is_numeric(text, ","):
            return EITHER_HINT if self.thousands is None and grouped_pattern(",", ".").fullmatch(text) else COMMA_HINT
        for decimal, thousands in product((self.decimal, ","), THOUSANDS if self.thousands is None else ()):
            if thousands != decimal and grouped_pattern(thousands, decimal).fullmatch(text):
                comma = "" if decimal == self.decimal else "decimal ',' "
                return f" (if {thousands!r} marks thousands, pass {comma}thousands {thousands!r})"
        return ""

    def _data(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and fields of each row by Python's slow reader, only for messages and guesses."""
        with open_text(self.source, self.delimiter) as lines:
            retained = islice(decoded_lines(lines, self.source), self.n_skipped, None)
            reader = csv.reader(retained, delimiter=self.delimiter)
            rows = ((self.n_skipped + reader.line_num, fields) for fields in split_rows(reader, self._block) if fields)
            if self.has_names:
                next(rows, None)
            try:
                yield from rows
            except csv.Error as error:
                why = f" {TOO_LONG.format(self._block)}" if "limit" in str(error) else f": {error}."
                raise BadTable(f"{self.name}, line {self.n_skipped + reader.line_num}{why}") from None


def _exceeds_int64(column: pa.Array) -> bool:
    """Return whether a column has numbers of at least 2^63, which make Arrow read the column as floats."""
    return pa.types.is_floating(column.type) and (pc.max(pc.abs(column)).as_py() or 0) >= 2**63
