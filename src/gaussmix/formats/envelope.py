"""The envelope of every layout: a safetensors file with one JSON header, sealed by a digest over both.

The JSON is one value of the metadata, because safetensors writes several in random order and equal models should
give equal files. The digest is there for bit rot, not for enemies: a changed digit of a mean is still a number, and
no other check would notice it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gaussmix.waist.arrays import Array

FORMAT = "gaussmix-mixture"
_KEY = "gaussmix"

Header = dict[str, Any]
Tensors = dict[str, Array]


class Damaged(Exception):
    """Why a file is not a model, as the end of a sentence."""


def pack(header: Header, tensors: Mapping[str, Array]) -> bytes:
    """The bytes of a file that holds a header (plain JSON values, no NaN) and float64 tensors."""
    contents = {name: np.ascontiguousarray(tensor, dtype="<f8") for name, tensor in tensors.items()}
    header = {"format": FORMAT, **header}
    sealed = {**header, "sha256": _digest(header, contents)}
    return save(contents, {_KEY: _canonical(sealed)})


def unpack(path: Path) -> tuple[Header, Tensors]:
    """Read a file that `pack` made.

    Raises
    ------
    Damaged : it is something else, or not what was written.
    OSError : it can't be read.
    """
    _check_looks(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header, seal = _header(file.metadata())
            tensors = {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError:
        raise Damaged("it is damaged or truncated, or not a model at all") from None
    if seal != _digest(header, tensors):
        raise Damaged("its contents don't match its checksum, so it was damaged after it was written")
    return header, tensors


def _check_looks(path: Path) -> None:
    """Turn away what is plainly no safetensors file, before it is mapped into memory."""
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would keep us waiting
        raise Damaged("it is not a regular file")
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise Damaged("it is empty")
    if len(start) < 9 or start[8:] != b"{":
        raise Damaged("it is another kind of file")


def _header(metadata: Mapping[str, str] | None) -> tuple[Header, str | None]:
    """The header and, apart, the digest in it."""
    text = (metadata or {}).get(_KEY)
    if text is None:
        raise Damaged("it is a safetensors file, but of something else")
    try:
        header = json.loads(text)
        _canonical(header)  # what can't be written was not written: NaN, nesting without end
    except (ValueError, RecursionError):
        raise Damaged("its header is damaged") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise Damaged("it is a safetensors file, but of something else")
    return header, header.pop("sha256", None)


def _tensor(file: Any, name: str) -> Array:
    if file.get_slice(name).get_dtype() != "F64":
        raise Damaged("its numbers are not float64")
    tensor: Array = file.get_tensor(name)
    return tensor


def _digest(header: Header, tensors: Mapping[str, Array]) -> str:
    seal = sha256(_canonical(header).encode())
    for name in sorted(tensors):
        seal.update(f"\n{name}{tensors[name].shape}\n".encode(errors="backslashreplace"))
        seal.update(np.ascontiguousarray(tensors[name], dtype="<f8").data)
    return seal.hexdigest()


def _canonical(header: Header) -> str:
    """One spelling for equal headers; all ASCII, so that the file can be read anywhere."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
