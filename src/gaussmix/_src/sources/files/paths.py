"""Resolve names of local files, patterns and URLs."""

from __future__ import annotations

import glob
import os
import re
from fnmatch import fnmatch
from pathlib import Path
from urllib.request import url2pathname

# For each file format that gaussmix itself reads, the extensions of files in this format.
EXTENSIONS = {
    "csv": (".csv", ".tsv", ".txt"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".arrows", ".ipc", ".feather"),
    "npy": (".npy",),
}
DELTA_FOLDER = "_delta_log"  # name of a folder that every Delta table has
FILE_CHANGED = "changed while it was read; do not change files until the work has ended"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # at least two letters, because C: is a Windows drive
_SECRET = re.compile(r"(?<=://)[^/@]*:[^/@]*@|\?.*")  # user names, passwords and queries in URLs


def check_versions(name: str | None) -> None:
    """Raise ValueError if `name` is a Delta table, because its files may contain rows that were deleted."""
    if name is not None:
        raise ValueError(
            f"{name} is a Delta table, and its files may contain rows that were deleted: pass "
            f"deltalake.DeltaTable({name!r}) instead."
        )


def is_url(name: str) -> bool:
    """Return whether a name is a URL, but not a file:// URL of a local file."""
    return "://" in name and SCHEME.match(name) is not None and not name.startswith("file://")


def without_secrets(name: str) -> str:
    """Return a URL without user name, password and query; return names of local files unchanged."""
    return _SECRET.sub("", name) if is_url(name) else name


def is_among(path: Path, name: str) -> bool:
    """Return whether the path, pattern or folder `name` matches a file, or will match this file once it is written."""
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
    """Return the path of a local file, given its path or its file:// URL."""
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
    """Return whether the name of a file or of one of its folders begins with "." or "_", which hides the file."""
    return any(part.startswith((".", "_")) for part in path.parts)
