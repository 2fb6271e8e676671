"""Whether files are as they were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import EIO
from pathlib import Path


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
