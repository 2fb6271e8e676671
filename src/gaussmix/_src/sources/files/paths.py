"""Names of files on this machine, patterns and URLs."""

from __future__ import annotations

import glob
import os
import re
from fnmatch import fnmatch
from pathlib import Path
from urllib.request import url2pathname

# Of the files that gaussmix reads itself, by their formats.
EXTENSIONS = {
    "csv": (".csv", ".tsv", ".txt"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".arrows", ".ipc", ".feather"),
    "npy": (".npy",),
}
DELTA_FOLDER = "_delta_log"  # the folder that a table of Delta has
FILE_CHANGED = "changed while it was read; leave files as they are until the work has ended"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # two letters at least: C: is a disk
_SECRET = re.compile(r"(?<=://)[^/@]*:[^/@]*@|\?.*")  # in URLs


def check_versions(name: str | None) -> None:
    """Raise ValueError for a table of Delta, whose files may be those of other versions."""
    if name is not None:
        raise ValueError(
            f"{name} is a table of Delta, and its files may hold rows that were deleted: give "
            f"deltalake.DeltaTable({name!r}) instead."
        )


def is_url(name: str) -> bool:
    """Whether a name is a URL of something that is not a file of this machine."""
    return "://" in name and SCHEME.match(name) is not None and not name.startswith("file://")


def without_secrets(name: str) -> str:
    """A URL without what may be secret in it; the names of files of this machine as they are."""
    return _SECRET.sub("", name) if is_url(name) else name


def is_among(path: Path, name: str) -> bool:
    """Whether a path, pattern or folder names a file, or would once the file is written. Its folder must exist."""
    if is_url(name):
        return False
    name = local_name(name)
    if path.exists() and any(path.samefile(each) for each in matching_files(name)):
        return True
    if os.path.exists(name):
        return os.path.isdir(name) and path.resolve().is_relative_to(Path(name).resolve())
    folders, last = (name, "*") if os.path.basename(name) == "**" else os.path.split(name)
    within = glob.glob(os.path.join(glob.escape(os.getcwd()), folders, ""), recursive=True)
    return fnmatch(path.name, last) and any(path.parent.samefile(each) for each in within)


def local_name(name: str) -> str:
    """The path of a file of this machine, which a URL may name too."""
    return url2pathname(name.removeprefix("file://").removeprefix("localhost")) if name.startswith("file://") else name


def matching_files(name: str) -> list[Path]:
    name = local_name(name)
    path = Path(name)
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file() and not _is_hidden(each.relative_to(path)))
    if path.exists():
        return [path]
    return sorted(path for path in map(Path, glob.glob(name, recursive=True)) if path.is_file())


def _is_hidden(path: Path) -> bool:
    """Whether a file, or a folder above it, is one that programs keep for themselves."""
    return any(part.startswith((".", "_")) for part in path.parts)
