"""The files that a path, a pattern or a folder names, and whether they are as they were."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from errno import EIO, ENOENT
from fnmatch import fnmatch
from pathlib import Path

# Of the files that gaussmix reads itself, by their formats.
EXTENSIONS = {
    "csv": (".csv", ".tsv", ".txt"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".arrows", ".ipc", ".feather"),
    "npy": (".npy",),
}


def paths_of(name: str) -> list[Path]:
    """The files of a path, a pattern or a folder, in the order of their names.

    Raises FileNotFoundError: there is none. ValueError: they have several extensions.
    """
    path = Path(name)
    if not name:
        raise FileNotFoundError(ENOENT, "the path is empty: name a file", name)
    found = _found(name)
    if not found:
        is_one = not path.is_dir() and not glob.has_magic(name)
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT) if is_one else "no file has such a name", name)
    kinds = sorted({each.suffix.lower() for each in found})
    if len(kinds) > 1:
        raise ValueError(
            f"{name} names files of several kinds, {' and '.join(map(repr, kinds))}: name one kind, as in "
            f"'{Path(name) / '*'}{kinds[-1]}'."
        )
    return found


def is_among(path: Path, name: str) -> bool:
    """Whether a path, pattern or folder names a file, or would once the file is written. Its folder must exist."""
    if path.exists() and any(path.samefile(each) for each in _found(name)):
        return True
    if os.path.exists(name):
        return os.path.isdir(name) and path.resolve().is_relative_to(Path(name).resolve())
    folders, last = (name, "*") if os.path.basename(name) == "**" else os.path.split(name)
    within = glob.glob(os.path.join(glob.escape(os.getcwd()), folders, ""), recursive=True)
    return fnmatch(path.name, last) and any(path.parent.samefile(each) for each in within)


def _found(name: str) -> list[Path]:
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
    """Sizes and times of files when they were opened."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stamps = {path: _stamp(path) for path in paths}

    def check(self) -> None:
        """Raise OSError for the first file that has changed or is gone."""
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                raise OSError(
                    EIO, "changed while it was read; leave files as they are until the work has ended", str(path)
                )


def _stamp(path: Path) -> tuple[int, int, int]:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
