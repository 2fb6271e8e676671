"""Model files: written whole or not at all, read without running anything, checked before they are believed."""

from __future__ import annotations

import os
from pathlib import Path

from gaussmix.errors import NotAModelFile
from gaussmix.formats import v1
from gaussmix.formats.details import Details, FitRecord
from gaussmix.formats.envelope import Damaged, pack, unpack
from gaussmix.formats.soundness import flaw
from gaussmix.formats.whole_file import whole_file
from gaussmix.mixture.mixture import Mixture

__all__ = ["Details", "FitRecord", "load", "save", "whole_file"]

LAYOUTS = {1: v1}  # a layout is never removed: files last longer than programs


def save(path: str | os.PathLike[str], mixture: Mixture, details: Details | None = None) -> None:
    """Write a mixture to a file of the newest layout.

    Parameters
    ----------
    path : where; an existing file is replaced, at once and only when the new one is complete.
    mixture : what to write; the file holds its float64 numbers bit for bit.
    details : names of the features, how it was fitted; none by default.

    Raises
    ------
    ValueError : the mixture is not one (weights that don't sum to 1, covariances without a factor …), or the
        details name another number of features.
    OSError : the file can't be written.
    """
    details = details or Details()
    wrong = flaw(mixture) or v1.disagreement(mixture, details)
    if wrong is not None:
        raise ValueError(f"This mixture can't be saved: {wrong}.")
    with whole_file(path) as file:
        file.write(pack(*v1.write(mixture, details)))


def load(path: str | os.PathLike[str]) -> tuple[Mixture, Details]:
    """Read a mixture from a file of any layout.

    Parameters
    ----------
    path : a file that `save` of this or an earlier version wrote.

    Returns
    -------
    mixture : bit for bit as it was saved.
    details : what was saved with it.

    Raises
    ------
    NotAModelFile : the file is damaged, truncated, of a later layout or something else; the message says which.
    OSError : there is no such file, or it can't be read.
    """
    try:
        header, tensors = unpack(Path(path))
        version = header.get("version")
        if not isinstance(version, int) or version not in LAYOUTS:
            raise Damaged(f"it has layout version {version!r:.20}, which this gaussmix can't read; a newer one may")
        mixture, details = LAYOUTS[version].read(header, tensors)
        return mixture, details
    except Damaged as damage:
        raise NotAModelFile(f"{os.fspath(path)} is not a usable gaussmix model: {damage}.") from None
