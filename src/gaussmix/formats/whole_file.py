"""Files that appear completely or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing beside the target, and rename it onto the target if the block ends without an error.

    Parameters
    ----------
    path : the target. A link is followed. A target that is no regular file (a terminal, /dev/null) is written to
        directly, because renaming would replace it.

    Yields
    ------
    file : binary, to write to. If the block or the writing fails, the target stays as it was.

    Raises
    ------
    OSError : the file can't be written. It names the target.
    """
    names_no_file = not os.path.basename(path)  # "" or "folder/": `open` says so
    if names_no_file or (os.path.exists(path) and not os.path.isfile(path)):
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    beside = target.with_name(f"{_beginning(target)}{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and str(error.filename) in (str(beside), str(target)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed left beside a target, which nobody else writes to now."""
    target = Path(os.path.realpath(path))
    for beside in target.parent.glob(f"{escape(_beginning(target))}{'[0-9a-f]' * 16}.tmp"):
        with suppress(OSError):
            beside.unlink()


def _beginning(target: Path) -> str:
    """How the names of files begin that are written to be renamed onto a target."""
    return f".{target.name[:100]}."
