"""Read CSV files, including compressed CSV files."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import islice, product
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from gaussmix._src.errors import counted, invented_names, quoted
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.tables import base
from gaussmix._src.sources.tables.base import BadTable, Dialect, Input, Table, reading, typed

_DELIMITERS = ",;\t|"
_BLANKS = " "  # this delimiter means any run of blanks and tabs
NULLS = arrow_csv.ConvertOptions().null_values  # texts that usually mark a missing value
_MAX_CHECKED_ROWS = 20_000  # number of rows to search for cells that are not numbers
_MAX_TEXT_FRACTION = 0.1  # up to this fraction of non-numeric cells, a text column was probably meant to be numeric
_MAX_SHOWN = 3
_COMMA = " (where the comma is a decimal mark, say so: decimal ',')"
_EITHER = " (where ',' marks thousands, say so: thousands ','; where it is a decimal mark: decimal ',')"
# For each thousands separator: itself, and variants that texts may use (non-breaking blanks, curly apostrophe).
_THOUSANDS = {
    ",": ",",
    ".": ".",
    " ": " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}",
    "'": "'\N{RIGHT SINGLE QUOTATION MARK}",
}
_MAX_DECODED_BYTES = 2**20  # number of first bytes that are checked for valid UTF-8
# Byte order marks with which text may begin, and the encodings that they mark.
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WESTERN = "cp1252"  # Excel writes CSV files in this encoding in Western Europe and America
_MAX_HEADER_LINES = 1000  # maximum number of lines to read for a header, because quoted names may have line breaks
_MAX_GUESS_RECORDS = 20  # number of rows from which the delimiter is guessed
_MIN_BLOCK_ROWS = 16  # minimum number of rows that Arrow reads at a time, if lines are about as long as the first line
_MAX_HEADER_CHARACTERS = 2**22  # maximum number of characters to read for a header
_TOO_LONG = "has more than {:,} characters: close the open quote, or set memory= to a larger value."
_MAX_FIELD = 2**31 - 1  # largest limit of characters per field that the module csv accepts on all platforms
_LOCK = Lock()  # guards the limit of the module csv
_NAMED = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # first line "sep=;" of CSV files that Excel wrote


@dataclass
class _Cells:
    """The cells of a text column that are not numbers, and hints for reading these cells as numbers."""

    n_cells: int = 0  # number of cells that are not missing
    n_bad: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)  # line and text of the first cells that are not numbers
    hints: set[str] = field(default_factory=set)

    def add(self, line: int, text: str, hint: str) -> None:
        """Record a cell that is not a number."""
        self.n_bad += 1
        self.bad += [(line, text)] if self.n_bad <= _MAX_SHOWN else []
        self.hints.add(hint)

    @property
    def is_text(self) -> bool:
        """Return whether too many cells are not numbers for the column to be meant as numeric."""
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
    n_blank: int  # number of lines to skip at the beginning
    width: int  # number of characters in the first line

    @cached_property
    def schema(self) -> pa.Schema:
        with self._reading(), self._stream(self.names) as batches:
            schema = batches.schema
        for index, each in enumerate(schema) if self.thousands else ():
            if pa.types.is_string(each.type) and (kind := self._grouped_type(index)) is not None:
                schema = schema.set(index, each.with_type(kind))
        if all(pa.types.is_null(kind) for kind in schema.types) and next(self._data(), None) is None:
            raise BadTable(f"{self.name} has a header but no rows.")
        return typed(schema, self._first_value_types([each.name for each in schema if pa.types.is_null(each.type)]))

    def batches(self, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        types = dict.fromkeys(columns, pa.string())
        for name in numeric:
            kind = self.schema.field(name).type
            types[name] = kind if pa.types.is_boolean(kind) else pa.float64()
        grouped = {name for name in numeric if self.thousands and pa.types.is_floating(types[name])}
        types |= dict.fromkeys(grouped, pa.string())
        with self._reading(numeric), self._stream(columns, types) as batches:
            for batch in batches:
                if grouped:
                    cells = zip(batch.schema.names, batch.columns, strict=True)
                    batch = pa.record_batch({key: self._ungrouped(x) if key in grouped else x for key, x in cells})
                yield batch

    def _first_value_types(self, names: Sequence[str]) -> Iterator[pa.Schema]:
        """For columns that are empty in the first rows, yield the types of the first values in each batch."""
        with self._reading(), self._stream(names, dict.fromkeys(names, pa.string())) as batches:
            for batch in batches:
                firsts = {name: self._present(batch.column(name)).drop_null()[:1].to_pylist() for name in names}
                kinds = {name: self._is_numeric(text) for name, first in firsts.items() for text in first}
                yield pa.schema({name: pa.float64() if numeric else pa.string() for name, numeric in kinds.items()})

    def unlike(self, other: Table) -> str | None:
        """Describe a difference in column names; types of columns are not compared, because CSV types are guesses."""
        return self._other_names(other) if self.names != other.names else None

    def describe_location(self, row: int) -> str:
        """Return the name of the file and the last line of a row, which may span several lines."""
        return f"{self.name}, line {next(line for at, (line, _) in enumerate(self._data()) if at == row)}"

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """Return why a column is not numeric; for a text column, name the first value that is not a number."""
        if not pa.types.is_string(kind):
            return base.describe_type(kind)
        for line, text in self._texts(name):
            return f"line {line} holds {quoted(text)}, not a number{self._hint(text)}"
        return "it does not hold numbers"

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
        return shown + more + ("" if "" in hints else max(hints - {_EITHER} or hints, key=len))

    @cached_property
    def _cells(self) -> dict[str, _Cells]:
        """Return the non-numeric cells in the first rows of each text column."""
        texts = [name for name, kind in zip(self.names, self.schema.types, strict=True) if pa.types.is_string(kind)]
        names = {name: _Cells() for name in texts}
        wanted = [(self.column_indices[name], cells) for name, cells in names.items()]
        for line, fields in islice(self._data(), _MAX_CHECKED_ROWS) if texts else ():
            for index, cells in wanted:
                text = fields[index].strip() if index < len(fields) else ""
                if text in self.missing:
                    continue
                cells.n_cells += 1
                if not self._is_numeric(text):
                    cells.add(line, text, self._hint(text))
            if any(cells.is_text for _, cells in wanted):
                wanted = [(index, cells) for index, cells in wanted if not cells.is_text]
            if not wanted:
                break
        # Arrow took a column of numbers for text because of a later cell: its first block may have more rows.
        for name in [name for name, cells in names.items() if cells.n_cells and not cells.bad]:
            for line, text in islice(self._texts(name), 1):
                names[name].add(line, text, self._hint(text))
        return names

    def _texts(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the line and text of each cell of a column that is neither a number nor missing."""
        for line, fields in self._data():
            text = "".join(fields[self.column_indices[name] :][:1]).strip()  # "" if the line has too few fields
            if text not in self.missing and not self._is_numeric(text):
                yield line, text

    def _stream(self, columns: Sequence[str], types: Mapping[str, pa.DataType] | None = None) -> Any:
        """Open an Arrow stream of columns with the given types; if `types` is None, the first rows set them."""
        return arrow_csv.open_csv(
            _stream(self.source, self.delimiter),
            arrow_csv.ReadOptions(
                skip_rows=self.n_blank,
                column_names=self.names,
                skip_rows_after_names=int(self.has_names),
                block_size=self._block,
            ),
            arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                include_columns=list(columns),
                column_types=types,
                null_values=list(self.missing),
                strings_can_be_null=False,
                decimal_point=self.decimal,
            ),
        )

    @property
    def _block(self) -> int:
        """Return the number of bytes that Arrow reads at a time, which is also the maximum length of a row."""
        dialect = self.source.dialect
        return max(2**20, dialect.memory // 512, min(_MIN_BLOCK_ROWS * self.width, dialect.longest))

    @contextmanager
    def _reading(self, numeric: Collection[str] = ()) -> Iterator[None]:
        """Raise BadTable if the CSV file is invalid, or if one of the columns `numeric` has text."""
        with reading(self.source, "CSV"):
            try:
                yield
            except pa.ArrowInvalid as error:
                raise BadTable(self._why_unreadable(error, numeric)) from None

    def _why_unreadable(self, error: Exception, numeric: Collection[str]) -> str:
        """Describe the first line that has a wrong number of values, or text in one of the columns `numeric`."""
        has_rows, indices = False, [self.column_indices[name] for name in numeric]
        for line, fields in self._data():
            has_rows = True
            if len(fields) != len(self.names):
                values, columns = counted(len(fields), "value"), counted(len(self.names), "column")
                advice = " Leave out lines of comments." if fields[0].startswith("#") else ""
                return f"{self.name}, line {line}: {values} for {columns}.{advice}"
            for index in indices:
                if not self._is_numeric(fields[index]) and fields[index] not in self.missing:
                    cell = f"{quoted(fields[index])} is not a number{self._hint(fields[index])}"
                    return f"{self.name}, line {line}, column {self.names[index]!r}: {cell}."
        if has_rows and "straddl" in str(error):
            return f"{self.name} {_TOO_LONG.format(self._block)}"
        if not has_rows:
            return f"{self.name} has a header but no rows."
        return f"{self.name} can't be read as CSV: {base.first_line(error)}."

    def _is_numeric(self, text: str) -> bool:
        """Return whether a cell is a number with the decimal mark and thousands separator of this table."""
        return _is_numeric(text, self.decimal, self.thousands)

    def _grouped_type(self, column: int) -> pa.DataType | None:
        """Return int64 or float64 if the first values of a text column are numbers in this table's format, or None."""
        rows = islice(self._data(), _MAX_CHECKED_ROWS)
        cells = [text for _, fields in rows if (text := fields[column].strip()) not in self.missing]
        if not cells or not all(map(self._is_numeric, cells)):
            return None
        are_whole = all(text.lstrip("+-").replace(self.thousands or "", "").isdigit() for text in cells)
        return pa.int64() if are_whole else pa.float64()

    def _present(self, cells: pa.Array) -> pa.Array:
        """Strip blanks from the texts of cells, and replace texts that mark missing values by null."""
        text = pc.utf8_trim_whitespace(cells)
        return pc.if_else(pc.is_in(text, value_set=pa.array(self.missing)), pa.scalar(None, pa.string()), text)

    def _ungrouped(self, cells: pa.Array) -> pa.Array:
        """Convert texts of numbers, which may have thousands separators, to numbers; may raise ArrowInvalid."""
        text = self._present(cells)
        mark, pattern = self.thousands or ",", _grouped(self.thousands or ",", self.decimal).pattern
        is_grouped = pc.fill_null(pc.match_substring_regex(text, f"^(?:{pattern})$"), False)
        text = pc.if_else(is_grouped, pc.replace_substring_regex(text, f"[{_THOUSANDS[mark]}]", ""), text)
        if self.decimal != ".":
            text = pc.replace_substring(pc.replace_substring(text, ".", "?"), self.decimal, ".")
        return pc.cast(text, pa.float64())

    def _hint(self, text: str) -> str:
        """Return a hint if a text would be a number with a decimal comma or a thousands separator; otherwise ""."""
        if self.decimal == "." and _is_numeric(text, ","):
            return _EITHER if self.thousands is None and _grouped(",", ".").fullmatch(text) else _COMMA
        for decimal, thousands in product((self.decimal, ","), _THOUSANDS if self.thousands is None else ()):
            if thousands != decimal and _grouped(thousands, decimal).fullmatch(text):
                comma = "" if decimal == self.decimal else "decimal ',' "
                return f" (where {thousands!r} marks thousands, say so: {comma}thousands {thousands!r})"
        return ""

    def _data(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and fields of each row by Python's slow reader, only for messages and guesses."""
        with _text(self.source, self.delimiter) as lines:
            retained = islice(_decoded(lines, self.source), self.n_blank, None)
            reader = csv.reader(retained, delimiter=self.delimiter)
            rows = ((self.n_blank + reader.line_num, fields) for fields in _split(reader, self._block) if fields)
            if self.has_names:
                next(rows, None)
            try:
                yield from rows
            except csv.Error as error:
                why = f" {_TOO_LONG.format(self._block)}" if "limit" in str(error) else f": {error}."
                raise BadTable(f"{self.name}, line {self.n_blank + reader.line_num}{why}") from None


def read_csv(source: Input) -> CsvTable:
    """Read the first lines of a CSV file, and return a table that reads all rows when columns are requested.

    If the user does not set `has_header`, the first line is a header unless it has only numbers and missing values. The
    header may have one name fewer than there are columns, as in files of R's `write.table`, or may begin with "#", as
    in files of `numpy.savetxt`. Columns without names are numbered as in pandas.

    Raises BadTable if the file is empty or not text, two columns have the same name, or the first line has numbers with
    decimal commas. Raises OSError if the file can't be opened.
    """
    encoding, notices = _encoding(source)
    decimal_set = source.dialect.decimal or ("," if source.dialect.thousands == "." else None)
    source = replace(source, dialect=replace(source.dialect, encoding=encoding, decimal=decimal_set))
    n_blank, first, delimiter = _first_line(source)
    decimal = decimal_set or _decimal(first, delimiter, source.dialect.thousands)
    if decimal_set is None and decimal == ",":
        notices = [*notices, f"{source.name} has commas in its numbers, which are read as decimal marks."]
    dialect = replace(source.dialect, decimal=decimal)
    fields = _fields(first, delimiter, source.name)
    if delimiter == _BLANKS and fields[0] == "#":
        fields = fields[1:]
    missing = (*NULLS, *dialect.missing)
    has_header = dialect.has_header
    if has_header is None:
        has_header = not _are_numeric(fields, dialect, missing)
        begins = f"{source.name} begins with {quoted(first[0].strip())}"
        if has_header and decimal == "." and _are_numeric(fields, replace(dialect, decimal=","), missing):
            is_grouped = dialect.thousands is None and any(map(_grouped(",", ".").fullmatch, fields))
            raise BadTable(f"{begins}{_EITHER if is_grouped else _COMMA}; --header if these are names.")
        if has_header and fields[0] and any(_is_numeric(field, decimal, dialect.thousands) for field in fields):
            notices += [f"{begins}, which is read as names of columns; --no-header if these are values."]
        if not has_header:
            notices += [f"{source.name} begins with numbers, so it is read as having no header; --header if it has."]
    fields[0] = fields[0].removeprefix("#").lstrip() or fields[0]
    names = tuple(fields) if has_header else invented_names(len(fields))
    if has_header and _has_row_names(len(names), first[1:], delimiter, source.name):
        names = ("", *names)
    if names.count("") > 1:
        names = tuple(name or f"Unnamed: {index}" for index, name in enumerate(names))  # as named by pandas
    base.check_names(source.name, names)
    return CsvTable(
        name=source.name,
        names=names,
        has_names=has_header,
        notices=tuple(notices),
        delimiter=delimiter,
        decimal=decimal,
        missing=missing,
        thousands=dialect.thousands,
        encoding=encoding,
        files=source.files,
        source=source,
        n_blank=n_blank,
        width=len(first[0]),
    )


def _first_line(source: Input) -> tuple[int, list[str], str]:
    """Return the number of lines to skip, the next lines, and the delimiter; raise BadTable for invalid lines."""
    dialect = source.dialect
    with _text(source, dialect.delimiter or ",") as text:
        lines = ((at, line) for at, line in enumerate(_decoded(text, source)) if line.strip())
        first = next(lines, (0, ""))
        named = _NAMED.fullmatch(first[1].rstrip("\r\n"))
        if named:
            first = next(lines, (0, ""))
            dialect = replace(dialect, delimiter=dialect.delimiter or named[1])
        if not first[1]:
            raise BadTable(f"{source.name} is empty.")
        if "\0" in first[1]:
            raise BadTable(f"{source.name} holds binary data, not CSV.")
        line = first[1] if any(map(first[1].count, _DELIMITERS)) else _squeezed(first[1].encode()).decode()
        marks = dialect.delimiter or _DELIMITERS + _BLANKS * (line is not first[1])
        dialect.check_width(source.name, max(map(line.rstrip().count, marks)) + 1)  # checked before the line is split
        retained = _without_comments([first, *_header_lines(lines)], dialect, source.name)
    rest = [line for _, line in retained]
    return retained[0][0], rest, _delimiter(rest, dialect, source.name)


def _header_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the next numbered lines until the maximum size of a header is reached."""
    room = _MAX_HEADER_CHARACTERS
    for at, line in islice(lines, _MAX_HEADER_LINES):
        yield at, line
        room -= len(line)
        if room < 0:
            return


def _without_comments(lines: list[tuple[int, str]], dialect: Dialect, path: str) -> list[tuple[int, str]]:
    """Return the numbered lines after initial comments; a last comment with the right number of names is a header."""
    n_marked = next((index for index, (_, line) in enumerate(lines) if not line.startswith("#")), 0)
    if not n_marked:
        return lines
    rest = [line for _, line in lines[n_marked:]]
    delimiter = _delimiter(rest, dialect, path)
    names = lines[n_marked - 1][1].lstrip("# ")
    are_names = len(_fields([names], delimiter, path)) == len(_fields(rest, delimiter, path))
    return lines[n_marked - are_names :]


def _delimiter(lines: Sequence[str], dialect: Dialect, path: str) -> str:
    """Return the delimiter from the user's settings, or guess it from the first lines."""
    first, more, decimal, thousands = lines[0], lines[1:], dialect.decimal or ".", dialect.thousands
    marks = _DELIMITERS.replace(decimal, "")
    if thousands and all(_is_numeric(line, decimal, thousands) for line in more or [first]):
        marks = marks.replace(thousands, "")  # each line is one number, so its thousands separator is not a delimiter
    delimiter = dialect.delimiter or _guess_delimiter(lines, marks)
    delimiter = delimiter or next((mark for mark in marks if mark in first), None)
    if delimiter is None:
        counts = [len(line.split()) for line in (first.lstrip("# "), *more[:1])]
        is_blank = counts[0] > 1 and (len(counts) == 1 or counts[1] in (counts[0], counts[0] + 1))
        is_cut = len(_fields([first], ",", path)) > 1 and not _is_numeric(first, ",", thousands)
        delimiter = _BLANKS if is_blank else "," if is_cut else marks[0]
    return delimiter


def _decimal(lines: Sequence[str], delimiter: str, thousands: str | None) -> str:
    """Return "," if the first rows have decimal commas but no decimal points; otherwise "."."""
    if "," in (delimiter, thousands):
        return "."
    cells = [text.strip() for record in _records(lines, delimiter) for text in record]
    are_thousands = _grouped(",", ".").fullmatch  # matches numbers whose commas may separate thousands
    has_comma = any("," in text and _is_numeric(text, ",", thousands) and not are_thousands(text) for text in cells)
    has_point = any("." in text and _is_numeric(text, ".") for text in cells)
    return "," if has_comma and not has_point else "."


def _has_row_names(n_names: int, lines: Sequence[str], delimiter: str, path: str) -> bool:
    """Return whether rows have one value more than there are names, not counting an empty last value."""
    if delimiter == _BLANKS:
        return bool(lines) and len(_fields(lines, delimiter, path)) == n_names + 1
    if all(line.rstrip("\r\n").endswith(delimiter) for line in lines):
        return False
    return {len(record) for record in _records(lines, delimiter)} == {n_names + 1}


def _guess_delimiter(lines: Sequence[str], marks: str) -> str | None:
    """Return the delimiter in `marks` that splits lines into equal numbers of fields, preferably numbers, or None."""
    result: dict[str, tuple[float, float]] = {}
    for mark in marks:
        records = _records(lines, mark)
        n_names, *counts = map(len, records or [[]])
        if n_names > 1 and all(count in (n_names, n_names + 1) and count == counts[0] for count in counts):
            cells = [text.strip() for record in records[1:] or records for text in record]
            are = [_is_numeric(text, ".") or _is_numeric(text, ",") for text in cells]
            whole = [one or not any(other in text for other in marks) for one, text in zip(are, cells, strict=True)]
            result[mark] = sum(whole) / len(whole), sum(are) / len(are)
    return max(result, key=result.__getitem__, default=None)


def _records(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the fields of the first rows that are not empty; [] if the lines are not valid CSV with this delimiter."""
    try:
        return list(islice(filter(None, _split(csv.reader(lines, delimiter=delimiter))), _MAX_GUESS_RECORDS))
    except csv.Error:
        return []


def _are_numeric(fields: Sequence[str], dialect: Dialect, missing: Sequence[str]) -> bool:
    """Return whether all fields of a line are numbers or missing, but False for the header 0, 1, 2, … of pandas."""
    counted_from_0 = [*map(str, range(len(fields)))]
    if fields == ["", *counted_from_0[:-1]] or (fields == counted_from_0 and len(fields) > 2):
        return False
    are = [_is_numeric(field, dialect.decimal or ".", dialect.thousands) for field in fields]
    return any(are) and all(one or field in missing for one, field in zip(are, fields, strict=True))


def _encoding(source: Input) -> tuple[str, list[str]]:
    """Return the encoding of the text, set by the user or guessed, and a list of messages about guesses.

    The guess is the encoding that a byte order mark indicates, otherwise UTF-8, or cp1252 if the text is not valid
    UTF-8. Raises BadTable if Python does not have the encoding that the user sets.
    """
    encoding_set = source.dialect.encoding
    if encoding_set is not None:
        return encoding_name(encoding_set), []
    with reading(source, "CSV"), source.stream() as stream:
        start = stream.read(_MAX_DECODED_BYTES)
    mark = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if mark is not None or _is_text(start, "utf-8"):
        return mark or "utf-8", []
    if b"\0" in start or not _is_text(start, _WESTERN):
        return "utf-8", []  # the reader of UTF-8 then raises a clear error
    notice = f"{source.name} is not UTF-8 text, so it is read as {_WESTERN}; say its encoding if it is another."
    return _WESTERN, [notice]


def encoding_name(encoding: str) -> str:
    """Return Python's name of an encoding; raise BadTable if Python does not have this encoding."""
    try:
        "".encode(encoding)  # raises LookupError for codecs that do not encode text, such as zlib
        return codecs.lookup(encoding).name
    except LookupError:
        raise BadTable(
            f"Python has no encoding {encoding!r} for text: use a name such as 'cp1252' or 'utf-16'."
        ) from None


def _is_text(start: bytes, encoding: str) -> bool:
    """Return whether the first bytes of a text are valid in an encoding; their last character may be incomplete."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _stream(source: Input, delimiter: str) -> Any:
    """Open a stream of the table's text in UTF-8; if blanks are the delimiter, replace runs of blanks by one blank."""
    stream, encoding = source.stream(), source.dialect.encoding or "utf-8"
    if encoding != "utf-8":
        stream = pa.transcoding_input_stream(stream, encoding, "utf-8")
    return BufferedReader(_OneBlank(stream)) if delimiter == _BLANKS else stream


class _OneBlank(RawIOBase):
    """A stream that replaces each run of blanks by one blank, and removes blanks at the beginning and end of lines."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest, self._ready = stream, b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Copy the next bytes of whole lines, without runs of blanks, to a buffer; return the number of bytes."""
        while not self._ready:
            read = self._stream.read(2**20)
            lines, end, self._rest = (self._rest + read).rpartition(b"\n") if read else (self._rest, b"", b"")
            self._ready = _squeezed(lines + end)
            if not read:
                self._ready = self._ready.rstrip(b" ")
            if not read and not self._ready:
                return 0
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def _squeezed(lines: bytes) -> bytes:
    lines = lines.replace(b"\t", b" ").replace(b"\r\n", b"\n")
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b"\n ", b"\n").replace(b" \n", b"\n").lstrip(b" ")


def _text(source: Input, delimiter: str) -> TextIOWrapper:
    return TextIOWrapper(_stream(source, delimiter), encoding="utf-8-sig", newline="")


def _decoded(lines: TextIOWrapper, source: Input) -> Iterator[str]:
    with reading(source, "CSV"):
        try:
            for index, line in enumerate(iter(partial(lines.readline, source.dialect.longest + 1), ""), 1):
                if len(line) > source.dialect.longest:
                    raise BadTable(f"{source.name}, line {index} {_TOO_LONG.format(source.dialect.longest)}")
                yield line
        except UnicodeDecodeError:
            name = (source.dialect.encoding or "utf-8").upper()
            raise BadTable(f"{source.name} is not {name} text: save it as CSV in UTF-8, or say its encoding.") from None


def _fields(lines: Sequence[str], delimiter: str, path: str) -> list[str]:
    """Return the fields of the first row in these lines; the row may span several lines."""
    if delimiter == _BLANKS:
        lines = [" ".join(line.split()) for line in lines[:1]]
    try:
        return [field.strip() for field in next(_split(csv.reader(lines, delimiter=delimiter)))]
    except csv.Error as error:
        raise BadTable(f"{path} can't be read as CSV: {error}.") from None


def _split(reader: Any, longest: int = _MAX_FIELD) -> Iterator[list[str]]:
    """Yield the rows of a `csv.reader`, whose fields may have up to `longest` characters; raise csv.Error otherwise.

    The limit of the module csv, which by default is 131,072 characters, applies to all readers of the process, so it is
    changed only while a row is read. The lock is held during this time.
    """
    while True:
        with _LOCK:
            limit = csv.field_size_limit(min(longest, _MAX_FIELD))
            try:
                fields = next(reader, None)
            finally:
                csv.field_size_limit(limit)
        if fields is None:
            return
        yield fields


def _grouped(thousands: str, decimal: str) -> re.Pattern[str]:
    """Return a regular expression that matches numbers whose digits are grouped in threes."""
    mark = f"[{_THOUSANDS[thousands]}]"
    return re.compile(rf"[+-]?[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+(?:{re.escape(decimal)}[0-9]*)?")


def _is_numeric(text: str, decimal: str, thousands: str | None = None) -> bool:
    """Return whether a text is a number in CSV; unlike `float`, reject 1_000 and digits of other scripts."""
    if thousands and _grouped(thousands, decimal).fullmatch(text.strip()):
        text = re.sub(f"[{_THOUSANDS[thousands]}]", "", text)
    if decimal != ".":
        text = text.replace(".", "?").replace(decimal, ".")
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()
