"""Write model files so that no incomplete file is ever visible; read model files without running code from them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EFBIG, ENOENT, ENOSPC
from glob import escape
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import Any, BinaryIO

from gaussmix._src.errors import InvalidModelFileError, ParameterTypeError
from gaussmix._src.formats.envelope import MIXTURES_FORMAT, Header, Tensors, has_format, pack, unpack
from gaussmix._src.formats.record import Damaged, PathOrFile

# Matches a URL, even if `Path` has removed one of the slashes of the URL. The scheme must have at least two letters,
# because a single letter, as in C:, is a Windows drive.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:[/\\]", re.IGNORECASE)


def write_whole(target: PathOrFile, header: Header, tensors: Tensors) -> None:
    """Write a header and unrounded tensors to `target`, which is a path or a binary file that is open for writing.

    If `target` is a path, no incomplete file is ever visible: an existing file is replaced in one step when the new
    file is complete.

    Raises ValueError if JSON cannot express a value of the header, TypeError if `target` is neither a path nor a binary
    file, and OSError if the file can't be written.
    """
    _check_path(target, "write")
    contents = pack(header, tensors)
    if not isinstance(target, str | os.PathLike):
        target.write(contents)
        return
    with whole_file(target) as file:
        file.write(contents)


def read_record(target: PathOrFile, format: str, layouts: Mapping[int, Callable[[Header, Tensors], Any]]) -> Any:
    """Read a record from a file of the given format; `layouts` maps layout versions to functions that read them.

    `target` is a path or a binary file that is open for reading. The result is bit-identical to the saved record; the
    caller must check whether the record is a valid mixture. No version is ever removed from `layouts`, so that old
    files remain readable.

    Raises InvalidModelFileError, whose message describes the fault, if the file is damaged or truncated, has a
    different format, or was written with a later version of the layout. Raises OSError if the file does not exist or
    can't be read.
    """
    try:
        header, tensors = read_envelope(target, format)
        version = header.get("version")
        if not isinstance(version, int) or version not in layouts:
            raise Damaged(f"this version of gaussmix can't read layout version {version!r:.20}; a newer version may")
        record = layouts[version](header, tensors)
        wrong = record.invalid_reason()
        if wrong is not None:
            raise Damaged(wrong)
        return record
    except Damaged as damage:
        raise not_usable(target, str(damage)) from None


def holds_mixtures(path: str | os.PathLike[str] | BytesIO) -> bool:
    """Return whether a file, or its contents, has the header of a file with mixtures of many groups.

    The result is False if the file does not exist. Contents can be read again from their beginning.
    """
    if isinstance(path, BytesIO):
        result = has_format(path, MIXTURES_FORMAT)
        path.seek(0)
        return result
    if not os.path.isfile(path):
        return False
    with Path(path).open("rb") as file:
        return has_format(file, MIXTURES_FORMAT)


def not_usable(target: PathOrFile, why: str) -> InvalidModelFileError:
    """Return the error for a file that is not a usable model; the message ends with the reason `why`."""
    return InvalidModelFileError(f"{describe_file(target)} is not a usable gaussmix model: {why}.")


def describe_file(target: PathOrFile) -> str:
    """Return the path or the name of a file for messages."""
    return os.fspath(target) if isinstance(target, str | os.PathLike) else str(getattr(target, "name", "the file"))


def _check_path(target: object, wanted: str) -> None:
    """Raise TypeError unless `target` is a path or a binary file with the method `wanted`; raise OSError for a URL."""
    is_binary = hasattr(target, wanted) and not isinstance(target, TextIOBase)
    if not isinstance(target, str | os.PathLike) and not is_binary:
        shown = "a text file" if isinstance(target, TextIOBase) else f"{target!r:.40}"
        raise ParameterTypeError(f"Pass a path as str or pathlib.Path, or a binary file to {wanted}, not {shown}.")
    if isinstance(target, str | os.PathLike):
        check_local(target)


def check_local(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError for a URL, because models and checkpoints are always local files."""
    if _URL.match(os.fspath(path)):
        raise FileNotFoundError(ENOENT, "only tables can be read from URLs; give a local path", os.fspath(path))


def read_envelope(target: PathOrFile, format: str) -> tuple[Header, Tensors]:
    """Read the header and the tensors of a file of the given format; raise `Damaged`, TypeError or OSError."""
    _check_path(target, "read")
    if not isinstance(target, str | os.PathLike):
        return unpack(target, format)
    path = Path(target)
    if path.exists() and not path.is_file() and not path.is_dir():  # for example a pipe, which might block
        raise Damaged("the path is not a regular file")
    with path.open("rb") as file:
        return unpack(file, format)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; rename this file to `path` if the `with` block ends without an error.

    If the block raises an error or the file can't be written, the file at `path` remains unchanged. If `path` is a
    symbolic link, the file to which the link points is replaced. If `path` is not a regular file but, for example, a
    terminal or /dev/null, data is written directly to `path`, because a renamed temporary file would replace `path`.

    Raises OSError with `path` as the file name if the file can't be written.
    """
    names_no_file = not os.path.basename(path)  # for "" and "folder/", `open` raises an error
    if names_no_file or (os.path.exists(path) and not os.path.isfile(path)):
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f"{_temporary_prefix(target)}{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            # If a write to an open file fails, the system's error contains no file name.
            is_full = error.filename is None and error.errno in (ENOSPC, EFBIG)
            if is_full or str(error.filename) in (str(temporary), str(target)):
                raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove temporary files for `path` that killed processes left; no other process may be writing to `path`."""
    target = Path(os.path.realpath(path))
    for temporary in target.parent.glob(f"{escape(_temporary_prefix(target))}{'[0-9a-f]' * 16}.tmp"):
        with suppress(OSError):
            temporary.unlink()


def _temporary_prefix(target: Path) -> str:
    """Return the text with which the names of all temporary files for `target` begin."""
    return f".{target.name[:100]}."
