"""Where bytes come from: a file, or standard input, which can be read only once."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import pyarrow as pa

STANDARD = "-"


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

    @property
    def source(self) -> str | pa.BufferReader:
        """What Arrow's readers take."""
        return self.name if self.contents is None else pa.BufferReader(self.contents)

    def start(self, n_bytes: int) -> bytes:
        """The first bytes."""
        if self.contents is not None:
            return self.contents[:n_bytes]
        with open(self.name, "rb") as file:
            return file.read(n_bytes)

    def stream(self, *, compressed: bool = False) -> pa.NativeFile:
        """A binary stream; of a compressed file its contents, where its name says so."""
        return pa.input_stream(self.source, compression="detect" if compressed and self.contents is None else None)
