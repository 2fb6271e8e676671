"""The files that a path, a pattern or a folder names, and whether they are as they were."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Hashable, Sequence
from errno import EIO, ENOENT
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import url2pathname

if TYPE_CHECKING:
    from gaussmix.sources.files.stores import StoredFile

# Of the files that gaussmix reads itself, by their formats.
EXTENSIONS = {
    "csv": (".csv", ".tsv", ".txt"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".arrows", ".ipc", ".feather"),
    "npy": (".npy",),
}
DELTA = "_delta_log"  # the folder that a table of Delta has
_MOST_KINDS = 4  # that an error names
CHANGED = "changed while it was read; leave files as they are until the work has ended"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # two letters at least: C: is a disk
_SECRET = re.compile(r"(?<=://)[^/@]*:[^/@]*@|\?.*")  # in URLs


def files_of(name: str) -> list[Path] | list[StoredFile]:
    """The files of a path, a pattern, a folder or a URL, in the order of their names.

    Raises FileNotFoundError: there is none. ValueError: they have several extensions, or are of a table of Delta. Of
    URLs also as `stored`.
    """
    if not name:
        raise FileNotFoundError(ENOENT, "the path is empty: name a file", name)
    found: list[Path] | list[StoredFile] = _stored(name) if is_url(name) else _found(name)
    name = without_secrets(name)
    if not found:
        reason = os.strerror(ENOENT)
        if is_url(name) or glob.has_magic(name):
            reason = "no file has such a name"
        elif os.path.isdir(name):
            reason = "the folder holds no file"
        if _SCHEME.match(name) and "://" not in name:
            reason += "; give a URL as text, since a Path leaves out one of its slashes"
        raise FileNotFoundError(ENOENT, reason, name)
    if not is_url(name) and not Path(_local(name)).is_file():
        folders = {file.parent for file in found if isinstance(file, Path)}
        logs = (each / DELTA for folder in folders for each in (folder.resolve() / DELTA).parents)
        check_versions(next((str(log.parent) for log in logs if log.is_dir()), None))
    kinds = sorted({each.suffix.lower() for each in found})
    if len(kinds) > 1:
        readable = [kind for kind in kinds if any(kind in each for each in EXTENSIONS.values())]
        others = f" and {len(kinds) - _MOST_KINDS} more" if len(kinds) > _MOST_KINDS else ""
        raise ValueError(
            f"{name} names files of several kinds, {' and '.join(map(repr, kinds[:_MOST_KINDS]))}{others}: name one "
            f"kind, as in '{_of_one_kind(name, (readable or kinds)[-1])}'."
        )
    return found


def check_versions(name: str | None) -> None:
    """Raise ValueError for a table of Delta, whose files may be those of other versions."""
    if name is not None:
        raise ValueError(
            f"{name} is a table of Delta, and its files may hold rows that were deleted: give "
            f"deltalake.DeltaTable({name!r}) instead."
        )


def _of_one_kind(name: str, kind: str) -> str:
    """A pattern for those files of a folder, a URL or a pattern that have an extension."""
    base = name.rstrip("/")
    folder, last = os.path.split(base)
    if glob.has_magic(last) and last != "**":
        base = folder
    return f"{base}/*{kind}" if is_url(name) else str(Path(base) / f"*{kind}")


def is_url(name: str) -> bool:
    """Whether a name is a URL of something that is no file of this machine."""
    return "://" in name and _SCHEME.match(name) is not None and not name.startswith("file://")


def without_secrets(name: str) -> str:
    """A URL without what may be secret in it; the names of files of this machine as they are."""
    return _SECRET.sub("", name) if is_url(name) else name


def _stored(url: str) -> list[StoredFile]:
    try:
        from gaussmix.sources.files.stores import stored
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "pyarrow":
            raise
        raise ImportError("URLs need pyarrow: pip install 'gaussmix[cli]'.") from None
    return stored(url)


def is_among(path: Path, name: str) -> bool:
    """Whether a path, pattern or folder names a file, or would once the file is written. Its folder must exist."""
    if is_url(name):
        return False
    name = _local(name)
    if path.exists() and any(path.samefile(each) for each in _found(name)):
        return True
    if os.path.exists(name):
        return os.path.isdir(name) and path.resolve().is_relative_to(Path(name).resolve())
    folders, last = (name, "*") if os.path.basename(name) == "**" else os.path.split(name)
    within = glob.glob(os.path.join(glob.escape(os.getcwd()), folders, ""), recursive=True)
    return fnmatch(path.name, last) and any(path.parent.samefile(each) for each in within)


def _local(name: str) -> str:
    """The path of a file of this machine, which a URL may name too."""
    return url2pathname(name.removeprefix("file://").removeprefix("localhost")) if name.startswith("file://") else name


def _found(name: str) -> list[Path]:
    name = _local(name)
    path = Path(name)
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file() and not _is_hidden(each.relative_to(path)))
    if path.exists():
        return [path]
    return sorted(path for path in map(Path, glob.glob(name, recursive=True)) if path.is_file())


def _is_hidden(path: Path) -> bool:
    """Whether a file, or a folder above it, is one that programs keep for themselves."""
    return any(part.startswith((".", "_")) for part in path.parts)


class Stamps:
    """Sizes and times of files when they were opened; stored files compare theirs in each request."""

    def __init__(self, files: Sequence[Path | StoredFile]) -> None:
        self._stored = [file for file in files if not isinstance(file, Path)]
        self._stamps = {path: _stamp(path) for path in files if isinstance(path, Path)}

    def check(self) -> None:
        """Raise OSError for the first file that has changed or is gone."""
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                raise OSError(EIO, CHANGED, str(path))

    @property
    def identity(self) -> list[tuple[str, Hashable]]:
        """What changes when a file changes, beside the names of the files; empty where there are none."""
        local = [(os.path.abspath(path), stamp) for path, stamp in self._stamps.items()]
        return local + [(str(file), file.stamp) for file in self._stored]


def _stamp(path: Path) -> tuple[int, int, int]:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
