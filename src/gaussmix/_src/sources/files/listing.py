"""List the files of a path, a pattern, a folder or a URL, and check whether they have changed."""

from __future__ import annotations

import glob
import os
from collections.abc import Hashable, Sequence
from errno import EIO, ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

from gaussmix._src.sources.files import paths
from gaussmix._src.sources.files.paths import DELTA_FOLDER, EXTENSIONS, FILE_CHANGED, check_versions, is_url

if TYPE_CHECKING:
    from gaussmix._src.sources.files.stores import StoredFile

_MAX_KINDS = 4  # maximum number of extensions in an error message


def list_files(name: str) -> list[Path] | list[StoredFile]:
    """Return the files of a path, a pattern, a folder or a URL, in the order of their names.

    Raises FileNotFoundError if no file matches, and ValueError if the files have different extensions or belong to a
    Delta table. For a URL, the errors of the function `stores.find_stored_files` are also possible.
    """
    if not name:
        raise FileNotFoundError(ENOENT, "the path is empty: pass the name of a file", name)
    result: list[Path] | list[StoredFile] = _find_stored_files(name) if is_url(name) else paths.matching_files(name)
    name = paths.without_secrets(name)
    if not result:
        reason = os.strerror(ENOENT)
        if is_url(name) or glob.has_magic(name):
            reason = "no file name matches"
        elif os.path.isdir(name):
            reason = "the folder has no files"
        if paths.SCHEME.match(name) and "://" not in name:
            reason += "; pass a URL as a string, because a Path removes one of its slashes"
        raise FileNotFoundError(ENOENT, reason, name)
    if not is_url(name) and not Path(paths.local_name(name)).is_file():
        folders = {file.parent for file in result if isinstance(file, Path)}
        logs = (each / DELTA_FOLDER for folder in folders for each in (folder.resolve() / DELTA_FOLDER).parents)
        check_versions(next((str(log.parent) for log in logs if log.is_dir()), None))
    kinds = sorted({each.suffix.lower() for each in result})
    if len(kinds) > 1:
        readable = [kind for kind in kinds if any(kind in each for each in EXTENSIONS.values())]
        others = f" and {len(kinds) - _MAX_KINDS} more" if len(kinds) > _MAX_KINDS else ""
        raise ValueError(
            f"{name} matches files with different extensions, {' and '.join(map(repr, kinds[:_MAX_KINDS]))}{others}: "
            f"choose one extension, for example '{_of_one_kind(name, (readable or kinds)[-1])}'."
        )
    return result


def _of_one_kind(name: str, kind: str) -> str:
    """Return a pattern for those files of a folder, a URL or a pattern that have the extension `kind`."""
    base = name.rstrip("/")
    folder, last = os.path.split(base)
    if glob.has_magic(last) and last != "**":
        base = folder
    return f"{base}/*{kind}" if is_url(name) else str(Path(base) / f"*{kind}")


def _find_stored_files(url: str) -> list[StoredFile]:
    try:
        from gaussmix._src.sources.files.stores import find_stored_files
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "pyarrow":
            raise
        raise ImportError("Reading from URLs needs pyarrow: pip install 'gaussmix[cli]'.") from None
    return find_stored_files(url)


class FileVersions:
    """The versions that local files had when they were opened. For files in stores, each request checks the version."""

    def __init__(self, files: Sequence[Path | StoredFile]) -> None:
        self._stored = [file for file in files if not isinstance(file, Path)]
        self._versions = {path: _file_version(path) for path in files if isinstance(path, Path)}

    def check(self) -> None:
        """Raise OSError for the first file that has changed or no longer exists."""
        for path, version in self._versions.items():
            if _file_version(path) != version:
                raise OSError(EIO, FILE_CHANGED, str(path))

    @property
    def identity(self) -> list[tuple[str, Hashable]]:
        """Return the name and version of each file; the version changes if the file changes."""
        local = [(os.path.abspath(path), version) for path, version in self._versions.items()]
        return local + [(str(file), file.version) for file in self._stored]


def _file_version(path: Path) -> tuple[int, int, int]:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
