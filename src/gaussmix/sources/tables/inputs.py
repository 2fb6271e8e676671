"""Where bytes come from: a file, or standard input, which can be read only once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError

import pyarrow as pa

from gaussmix.sources.tables.tables import BadTable

STANDARD = "-"
# How compressed bytes begin.
_CODECS = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](1AY|\x17rE)": "bz2",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
}


@dataclass(frozen=True)
class Input:
    """Bytes that can be read again and again.

    Parameters
    ----------
    name : for messages.
    contents : of what can't be opened twice; None for a file.
    """

    name: str
    contents: bytes | None = None

    @classmethod
    def of(cls, path: str) -> Input:
        """A file, a pipe, or by "-" standard input; raises OSError where it can't be opened."""
        if path == STANDARD:
            return cls("standard input", sys.stdin.buffer.read())
        with open(path, "rb") as file:
            return cls(path, None if os.path.isfile(path) else file.read())

    def start(self, n_bytes: int) -> bytes:
        """The first bytes."""
        if self.contents is not None:
            return self.contents[:n_bytes]
        with open(self.name, "rb") as file:
            return file.read(n_bytes)

    @property
    def source(self) -> str | pa.BufferReader:
        """What Arrow's readers take."""
        return self.name if self.contents is None else pa.BufferReader(self.contents)

    def stream(self, *, compressed: bool = False) -> pa.NativeFile:
        """A binary stream; the contents of compressed bytes if `compressed`, by whatever name."""
        start = self.start(8) if compressed else b""
        codec = next((codec for beginning, codec in _CODECS.items() if re.match(beginning, start)), None)
        return pa.input_stream(self.source, compression=codec)


@contextmanager
def reading(source: Input, format: str) -> Iterator[None]:
    """Raise BadTable with what a reader complains of in one sentence; an error of the system says enough by itself."""
    try:
        yield
    except BadTable:
        raise
    except (pa.ArrowException, ValueError, EOFError, TypeError, OSError, TokenError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        sentence = "a bracket or quote is not closed" if isinstance(error, TokenError) else str(error)
        reason = sentence.partition("\n")[0].rstrip(".")
        raise BadTable(f"{source.name} can't be read as {format}: {reason}.") from None
