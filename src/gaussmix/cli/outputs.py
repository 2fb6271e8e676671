"""Where results go: standard output, or a file that appears once it is complete."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

import click
import pyarrow as pa

from gaussmix.cli.writers import FOR_PEOPLE, WRITERS
from gaussmix.formats import whole_file
from gaussmix.sources.tables.inputs import STANDARD
from gaussmix.sources.tables.readers import EXTENSIONS


def check_target(target: str, *inputs: str) -> None:
    """See before long work that its result can be written, and that it does not replace what is read."""
    path = Path(target)
    if target == STANDARD:
        return
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, so it can't be written", target)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write to", str(path.parent))
    for given in inputs:
        if path.exists() and Path(given).exists() and path.samefile(given):
            raise click.UsageError(f"{target} is the input: give the output another name.", click.get_current_context())


def check_inputs(*inputs: str) -> None:
    """Refuse to read two things from standard input."""
    if inputs.count(STANDARD) > 1:
        raise click.UsageError("only one input can be standard input.", click.get_current_context())


def format_of(target: str, to: str | None, *, as_json: bool) -> str:
    """What to write a table as: by the user's word, the target's extension, or else CSV."""
    extension = PurePath(target).suffix.lower()
    by_name = "json" if extension == ".json" else EXTENSIONS.get(extension)
    if as_json and (to or by_name or "json") not in FOR_PEOPLE:
        raise click.UsageError(f"--json contradicts {to or by_name}.", click.get_current_context())
    return "json" if as_json else to or by_name or "csv"


def write_table(target: str, format: str, table: pa.Table, delimiter: str = ",") -> None:
    """Write a table; raises ValueError for what its format can't hold, OSError where it can't be written."""
    with opened(target, for_people=format in FOR_PEOPLE) as file:
        WRITERS[format](file, table, delimiter)


@contextmanager
def opened(target: str, *, for_people: bool) -> Iterator[BinaryIO]:
    """Standard output by "-", or a file."""
    if target != STANDARD:
        with whole_file(target) as file:
            yield file
        return
    stream = sys.stdout.buffer
    if stream.isatty() and not for_people:
        raise ValueError("standard output is a terminal, which can't show this: add -o FILE, or send it on by | or >.")
    yield stream
    stream.flush()
