"""Streams, lines and fields of CSV text, and numbers in it; shared by tables and by guesses of their dialect."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import partial
from io import BufferedReader, RawIOBase, TextIOWrapper
from threading import Lock
from typing import Any

import pyarrow as pa

from gaussmix._src.sources.tables.base import BadTable, Input, reading

BLANKS = " "  # this delimiter means any run of blanks and tabs
COMMA_HINT = " (if the comma is a decimal mark, pass decimal ',')"
EITHER_HINT = " (if ',' marks thousands, pass thousands ','; if it is a decimal mark, pass decimal ',')"
# For each thousands separator: itself, and variants that texts may use (non-breaking blanks, curly apostrophe).
THOUSANDS = {
    ",": ",",
    ".": ".",
    " ": " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}",
    "'": "'\N{RIGHT SINGLE QUOTATION MARK}",
}
TOO_LONG = "has more than {:,} characters: close the open quote, or set memory= to a larger value."
_MAX_FIELD = 2**31 - 1  # largest limit of characters per field that the module csv accepts on all platforms
_LOCK = Lock()  # guards the limit of the module csv


def open_stream(source: Input, delimiter: str) -> Any:
    """Open the table's text as a UTF-8 stream; if blanks are the delimiter, replace runs of blanks with one blank."""
    stream, encoding = source.stream(), source.dialect.encoding or "utf-8"
    if encoding != "utf-8":
        stream = pa.transcoding_input_stream(stream, encoding, "utf-8")
    return BufferedReader(_OneBlank(stream)) if delimiter == BLANKS else stream


class _OneBlank(RawIOBase):
    """A stream that replaces each run of blanks with one blank, and removes blanks at both ends of each line."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest, self._ready = stream, b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Copy the next bytes of whole lines, without runs of blanks, to a buffer; return the number of bytes."""
        while not self._ready:
            read = self._stream.read(2**20)
            lines, end, self._rest = (self._rest + read).rpartition(b"\n") if read else (self._rest, b"", b"")
            self._ready = squeezed(lines + end)
            if not read:
                self._ready = self._ready.rstrip(b" ")
            if not read and not self._ready:
                return 0
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def squeezed(lines: bytes) -> bytes:
    lines = lines.replace(b"\t", b" ").replace(b"\r\n", b"\n")
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b"\n ", b"\n").replace(b" \n", b"\n").lstrip(b" ")


def open_text(source: Input, delimiter: str) -> TextIOWrapper:
    return TextIOWrapper(open_stream(source, delimiter), encoding="utf-8-sig", newline="")


def decoded_lines(lines: TextIOWrapper, source: Input) -> Iterator[str]:
    with reading(source, "CSV"):
        try:
            for index, line in enumerate(iter(partial(lines.readline, source.dialect.max_line_length + 1), ""), 1):
                if len(line) > source.dialect.max_line_length:
                    raise BadTable(f"{source.name}, line {index} {TOO_LONG.format(source.dialect.max_line_length)}")
                yield line
        except UnicodeDecodeError:
            name = (source.dialect.encoding or "utf-8").upper()
            raise BadTable(f"{source.name} is not {name} text: save it as CSV in UTF-8 or pass its encoding.") from None


def first_fields(lines: Sequence[str], delimiter: str, path: str) -> list[str]:
    """Return the fields of the first row, which may span several of these lines unless blanks separate the fields."""
    if delimiter == BLANKS:
        lines = [" ".join(line.split()) for line in lines[:1]]
    try:
        return [field.strip() for field in next(split_rows(csv.reader(lines, delimiter=delimiter)))]
    except csv.Error as error:
        raise BadTable(f"{path} can't be read as CSV: {error}.") from None


def split_rows(reader: Any, longest: int = _MAX_FIELD) -> Iterator[list[str]]:
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


def grouped_pattern(thousands: str, decimal: str) -> re.Pattern[str]:
    """Return a regular expression that matches numbers whose digits are grouped in threes."""
    mark = f"[{THOUSANDS[thousands]}]"
    return re.compile(rf"[+-]?[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+(?:{re.escape(decimal)}[0-9]*)?")


def is_numeric(text: str, decimal: str, thousands: str | None = None) -> bool:
    """Return whether a text is a number in CSV; unlike `float`, reject 1_000 and digits of other scripts."""
    if thousands and grouped_pattern(thousands, decimal).fullmatch(text.strip()):
        text = re.sub(f"[{THOUSANDS[thousands]}]", "", text)
    if decimal != ".":
        text = text.replace(".", "?").replace(decimal, ".")
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()
