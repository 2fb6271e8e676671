"""Model files: written completely or not at all, read without running code, and checked."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EFBIG, ENOENT, ENOSPC
from glob import escape
from io import TextIOBase
from pathlib import Path
from typing import Any, BinaryIO

from gaussmix._src.errors import InvalidModelFileError, ParameterTypeError
from gaussmix._src.formats.envelope import MIXTURES_FORMAT, Header, Tensors, has_format, pack, unpack
from gaussmix._src.formats.record import Damaged, PathOrFile

_URL = re.compile(r"[a-z][a-z0-9+.-]+:[/\\]", re.IGNORECASE)  # also what a Path leaves of one; C: is a disk


def write_whole(target: PathOrFile, header: Header, tensors: Tensors) -> None:
    """Write a header and tensors to a path, or to a binary file open for writing, their numbers bit for bit.

    A file at the path appears whole or not at all: an existing one is replaced in one step, once the new one is
    complete.

    Raises ValueError: the header holds a value that JSON cannot express. TypeError: place is neither a path nor a
    binary file. OSError: the file can't be written.
    """
    _check_path(target, "write")
    contents = pack(header, tensors)
    if not isinstance(target, str | os.PathLike):
        target.write(contents)
        return
    with whole_file(target) as file:
        file.write(contents)


def checked(target: PathOrFile, format: str, layouts: Mapping[int, Callable[[Header, Tensors], Any]]) -> Any:
    """Read the record in a file of a format, from a path or a binary file open for reading, by its layout's function.

    It is bit for bit as it was saved. Nothing has checked whether its numbers make a mixture. A layout is never removed
    from `layouts`, because files last longer than programs.

    Raises InvalidModelFileError: the file is damaged, truncated, of a later layout or of another kind; the message says
    which. OSError: there is no such file, or it can't be read.
    """
    try:
        header, tensors = unpacked(target, format)
        version = header.get("version")
        if not isinstance(version, int) or version not in layouts:
            raise Damaged(f"it has layout version {version!r:.20}, which this gaussmix can't read; a newer one may")
        record = layouts[version](header, tensors)
        wrong = record.invalid_reason()
        if wrong is not None:
            raise Damaged(wrong)
        return record
    except Damaged as damage:
        raise not_usable(target, str(damage)) from None


def holds_mixtures(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as one with the mixtures of many groups does; false where there is no such file."""
    if not os.path.isfile(path):
        return False
    with Path(path).open("rb") as file:
        return has_format(file, MIXTURES_FORMAT)


def not_usable(target: PathOrFile, why: str) -> InvalidModelFileError:
    """The error for a file that is not a model; `why` ends its sentence."""
    return InvalidModelFileError(f"{describe_file(target)} is not a usable gaussmix model: {why}.")


def describe_file(target: PathOrFile) -> str:
    """The name of a file in messages."""
    return os.fspath(target) if isinstance(target, str | os.PathLike) else str(getattr(target, "name", "the file"))


def _check_path(target: object, wanted: str) -> None:
    """Raise TypeError for what is neither a path nor a binary file with a method `wanted`; for a URL `check_local`."""
    is_binary = hasattr(target, wanted) and not isinstance(target, TextIOBase)
    if not isinstance(target, str | os.PathLike) and not is_binary:
        shown = "a text file" if isinstance(target, TextIOBase) else f"{target!r:.40}"
        raise ParameterTypeError(f"Give a path as str or pathlib.Path, or a binary file to {wanted}, not {shown}.")
    if isinstance(target, str | os.PathLike):
        check_local(target)


def check_local(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError for a URL, where models and checkpoints are files of this machine."""
    if _URL.match(os.fspath(path)):
        raise FileNotFoundError(ENOENT, "only tables are read from URLs; name a file of this machine", os.fspath(path))


def unpacked(target: PathOrFile, format: str) -> tuple[Header, Tensors]:
    """The header and tensors of a file of a format; raises `Damaged`, TypeError or OSError."""
    _check_path(target, "read")
    if not isinstance(target, str | os.PathLike):
        return unpack(target, format)
    path = Path(target)
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would keep us waiting
        raise Damaged("it is not a regular file")
    with path.open("rb") as file:
        return unpack(file, format)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing next to the target, and rename it onto the target if the block ends without an error.

    If the block or the writing fails, the target stays as it was. A link is followed. A target that is not a regular
    file (a terminal, /dev/null) is written to directly, because renaming would replace it.

    Raises OSError: the file can't be written. It names the target.
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
        if isinstance(error, OSError):
            is_full = error.filename is None and error.errno in (ENOSPC, EFBIG)  # as said of open files
            if is_full or str(error.filename) in (str(beside), str(target)):
                raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed left next to a target, which nobody else writes to now."""
    target = Path(os.path.realpath(path))
    for beside in target.parent.glob(f"{escape(_beginning(target))}{'[0-9a-f]' * 16}.tmp"):
        with suppress(OSError):
            beside.unlink()


def _beginning(target: Path) -> str:
    """How the names of files begin that are written to be renamed onto a target."""
    return f".{target.name[:100]}."
