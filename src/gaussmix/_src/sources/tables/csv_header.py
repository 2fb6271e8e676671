"""Read the first lines of a CSV file, and guess its encoding, delimiter, decimal mark and header."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from pyarrow import csv as arrow_csv

from gaussmix._src.errors import invented_names, quoted
from gaussmix._src.sources.tables import base
from gaussmix._src.sources.tables.base import BadTable, Dialect, Input, NoRows, reading
from gaussmix._src.sources.tables.csv_table import CsvTable
from gaussmix._src.sources.tables.csv_text import (
    BLANKS,
    COMMA_HINT,
    EITHER_HINT,
    decoded_lines,
    first_fields,
    grouped_pattern,
    is_numeric,
    open_text,
    split_rows,
    squeezed,
)

_DELIMITERS = ",;\t|"
NULLS = arrow_csv.ConvertOptions().null_values  # texts that usually mark a missing value
_MAX_DECODED_BYTES = 2**20  # number of first bytes that are checked for valid UTF-8
# Byte order marks with which text may begin, and the encodings that they mark.
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WESTERN = "cp1252"  # Excel writes CSV files in this encoding in Western Europe and America
_MAX_HEADER_LINES = 1000  # maximum number of lines to read for a header, because quoted names may have line breaks
_MAX_GUESS_RECORDS = 20  # number of rows from which the delimiter is guessed
_MAX_HEADER_CHARACTERS = 2**22  # maximum number of characters to read for a header
_NAMED = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # first line "sep=;" of CSV files that Excel wrote


def read_csv(source: Input) -> CsvTable:
    """Read the first lines of a CSV file, and return a table that reads all rows when columns are requested.

    If the user does not set `has_header`, the first line is a header unless it has only numbers and missing values. The
    header may have one name fewer than there are columns, as in files of R's `write.table`, or may begin with "#", as
    in files of `numpy.savetxt`. Columns without names are numbered as in pandas.

    Raises NoRows if the file has no rows. Raises BadTable if the file is not text, two columns have the same name, or
    the first line has numbers with decimal commas. Raises OSError if the file can't be opened.
    """
    encoding, notices = _encoding(source)
    decimal_set = source.dialect.decimal or ("," if source.dialect.thousands == "." else None)
    source = replace(source, dialect=replace(source.dialect, encoding=encoding, decimal=decimal_set))
    n_skipped, lines, delimiter = _read_head(source)
    decimal = decimal_set or _decimal(lines, delimiter, source.dialect.thousands)
    if decimal_set is None and decimal == ",":
        notices = [*notices, f"{source.name} has commas in its numbers, which are read as decimal marks."]
    dialect = replace(source.dialect, decimal=decimal)
    fields = first_fields(lines, delimiter, source.name)
    if delimiter == BLANKS and fields[0] == "#":
        fields = fields[1:]
    has_header = dialect.has_header
    if has_header is None:
        has_header, guess = _guess_header(fields, dialect, source.name, lines[0])
        notices = [*notices, *guess]
    fields[0] = fields[0].removeprefix("#").lstrip() or fields[0]
    names = tuple(fields) if has_header else invented_names(len(fields))
    if has_header and _has_row_names(len(names), lines[1:], delimiter, source.name):
        names = ("", *names)
    if names.count("") > 1:
        names = tuple(name or f"Unnamed: {index}" for index, name in enumerate(names))  # as named by pandas
    base.check_names(source.name, names)
    if has_header and len(lines if delimiter == BLANKS else _records(lines, delimiter)) == 1:
        raise NoRows(f"{source.name} has a header but no rows.", names)
    return CsvTable(
        name=source.name,
        names=names,
        has_names=has_header,
        notices=tuple(notices),
        delimiter=delimiter,
        decimal=decimal,
        missing=(*NULLS, *dialect.missing),
        thousands=dialect.thousands,
        encoding=encoding,
        files=source.files,
        source=source,
        n_skipped=n_skipped,
        width=len(lines[0]),
    )


def _read_head(source: Input) -> tuple[int, list[str], str]:
    """Return the number of lines to skip, the next lines, and the delimiter; raise BadTable for invalid lines."""
    dialect = source.dialect
    with open_text(source, dialect.delimiter or ",") as text:
        lines = ((at, line) for at, line in enumerate(decoded_lines(text, source)) if line.strip())
        first = next(lines, (0, ""))
        named = _NAMED.fullmatch(first[1].rstrip("\r\n"))
        if named:
            first = next(lines, (0, ""))
            dialect = replace(dialect, delimiter=dialect.delimiter or named[1])
        if not first[1]:
            raise NoRows(f"{source.name} is empty.")
        if "\0" in first[1]:
            raise BadTable(f"{source.name} contains binary data, not CSV.")
        line = first[1] if any(map(first[1].count, _DELIMITERS)) else squeezed(first[1].encode()).decode()
        marks = dialect.delimiter or _DELIMITERS + BLANKS * (line is not first[1])
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
    are_names = len(first_fields([names], delimiter, path)) == len(first_fields(rest, delimiter, path))
    return lines[n_marked - are_names :]


def _delimiter(lines: Sequence[str], dialect: Dialect, path: str) -> str:
    """Return the delimiter from the user's settings, or guess it from the first lines."""
    first, more, decimal, thousands = lines[0], lines[1:], dialect.decimal or ".", dialect.thousands
    marks = _DELIMITERS.replace(decimal, "")
    if thousands and all(is_numeric(line, decimal, thousands) for line in more or [first]):
        marks = marks.replace(thousands, "")  # each line is one number, so its thousands separator is not a delimiter
    delimiter = dialect.delimiter or _guess_delimiter(lines, marks)
    delimiter = delimiter or next((mark for mark in marks if mark in first), None)
    if delimiter is None:
        counts = [len(line.split()) for line in (first.lstrip("# "), *more[:1])]
        is_blank = counts[0] > 1 and (len(counts) == 1 or counts[1] in (counts[0], counts[0] + 1))
        is_cut = len(first_fields([first], ",", path)) > 1 and not is_numeric(first, ",", thousands)
        delimiter = BLANKS if is_blank else "," if is_cut else marks[0]
    return delimiter


def _decimal(lines: Sequence[str], delimiter: str, thousands: str | None) -> str:
    """Return "," if the first rows have decimal commas but no decimal points; otherwise "."."""
    if "," in (delimiter, thousands):
        return "."
    cells = [text.strip() for record in _records(lines, delimiter) for text in record]
    are_thousands = grouped_pattern(",", ".").fullmatch  # matches numbers whose commas may separate thousands
    has_comma = any("," in text and is_numeric(text, ",", thousands) and not are_thousands(text) for text in cells)
    has_point = any("." in text and is_numeric(text, ".") for text in cells)
    return "," if has_comma and not has_point else "."


def _has_row_names(n_names: int, lines: Sequence[str], delimiter: str, path: str) -> bool:
    """Return whether rows have one value more than there are names, not counting an empty last value."""
    if delimiter == BLANKS:
        return bool(lines) and len(first_fields(lines, delimiter, path)) == n_names + 1
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
            are = [is_numeric(text, ".") or is_numeric(text, ",") for text in cells]
            whole = [one or not any(other in text for other in marks) for one, text in zip(are, cells, strict=True)]
            result[mark] = sum(whole) / len(whole), sum(are) / len(are)
    return max(result, key=result.__getitem__, default=None)


def _records(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the fields of the first rows that are not empty; [] if the lines are not valid CSV with this delimiter."""
    try:
        return list(islice(filter(None, split_rows(csv.reader(lines, delimiter=delimiter))), _MAX_GUESS_RECORDS))
    except csv.Error:
        return []


def _guess_header(fields: Sequence[str], dialect: Dialect, path: str, line: str) -> tuple[bool, list[str]]:
    """Return whether the fields of the first line are names of columns, and a list of messages about the guess.

    Raises BadTable if the fields would be numbers with decimal commas.
    """
    if _are_numeric(fields, dialect):
        return False, [f"{path} begins with numbers, which are read as data; pass --header if these are names."]
    begins = f"{path} begins with {quoted(line.strip())}"
    if dialect.decimal == "." and _are_numeric(fields, replace(dialect, decimal=",")):
        is_grouped = dialect.thousands is None and any(map(grouped_pattern(",", ".").fullmatch, fields))
        raise BadTable(f"{begins}{EITHER_HINT if is_grouped else COMMA_HINT}; pass --header if these are names.")
    if fields[0] and any(is_numeric(field, dialect.decimal or ".", dialect.thousands) for field in fields):
        return True, [f"{begins}, which is read as names of columns; pass --no-header if these are values."]
    return True, []


def _are_numeric(fields: Sequence[str], dialect: Dialect) -> bool:
    """Return whether all fields of a line are numbers or missing, but False for the header 0, 1, 2, … of pandas."""
    counted_from_0 = [*map(str, range(len(fields)))]
    if fields == ["", *counted_from_0[:-1]] or (fields == counted_from_0 and len(fields) > 2):
        return False
    are = [is_numeric(field, dialect.decimal or ".", dialect.thousands) for field in fields]
    missing = {*NULLS, *dialect.missing}
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
    notice = f"{source.name} is not UTF-8 text, so it is read as {_WESTERN}; if this is wrong, pass its encoding."
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
