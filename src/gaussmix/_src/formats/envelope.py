"""The envelope of every layout: a safetensors file with one JSON header, and a checksum of the header and the tensors.

The JSON header is a single value of the safetensors metadata, because safetensors writes several values in random order
but equal models should give equal files. The checksum detects damage, not forgery. It is needed because a changed digit
of a mean is still a number, so no other check would detect the change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from gaussmix._src.formats.record import Damaged
from gaussmix._src.numerics.arrays import Array

FORMAT = "gaussmix-mixture"
MIXTURES_FORMAT = "gaussmix-mixtures"
_KEY = "gaussmix"
_FOREIGN = "it is a safetensors file, but of something else"
_OTHER_FORMATS = {
    FORMAT: "it holds a single mixture, which gaussmix.Mixture.load reads",
    MIXTURES_FORMAT: "it holds the mixtures of many groups, which gaussmix.Mixtures.load reads",
}
_MAX_HEADER_BYTES = 100_000_000  # limit of safetensors, which does not read a longer header

Header = dict[str, Any]
Tensors = dict[str, Array]


def pack(header: Header, tensors: Mapping[str, Array]) -> bytes:
    """Return the bytes of a file with this header and these float64 tensors.

    Raises ValueError: the header holds NaN or infinity, which JSON cannot express, or is too long to be read again.
    """
    contents = {name: np.asarray(tensor, dtype="<f8", order="C") for name, tensor in tensors.items()}
    header = {"format": FORMAT, **header}
    sealed = {**header, "sha256": _digest(header, contents)}
    packed = save(contents, {_KEY: _canonical(sealed)})
    if int.from_bytes(packed[:8], "little") > _MAX_HEADER_BYTES:
        raise ValueError("The header would be longer than 100 MB, and no program could read it.")
    return packed


def unpack(file: BinaryIO, format: str = FORMAT) -> tuple[Header, Tensors]:
    """Read a file written by `pack`. If the file is of another kind, only its beginning is read.

    The file is not mapped into memory, because a bus error would end the process if a mapped file were truncated.

    Raises Damaged: the file has another format, or its contents have changed. OSError: the file can't be read.
    """
    beginning = _beginning(file)
    header, seal = _header(beginning[8:], format)
    try:
        stored = deserialize(beginning + file.read())  # type: ignore[no-untyped-call]
        tensors = {name: _tensor(tensor) for name, tensor in stored}
    except SafetensorError:
        raise _broken() from None
    if seal != _digest(header, tensors):
        raise Damaged("its contents don't match its checksum, so it was damaged after it was written")
    return header, tensors


def has_format(file: BinaryIO, format: str) -> bool:
    """Return whether the beginning of a file matches a format, without reading the tensors."""
    try:
        _header(_beginning(file)[8:], format)
    except Damaged:
        return False
    return True


def get_value(header: Header, key: str, *types: type) -> Any:
    """Return a value from a header; raise `Damaged` if the value is missing or not of one of the given types."""
    value = header.get(key)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise Damaged(f"{key!r} in its header is missing or of the wrong type")
    return value


def _broken() -> Damaged:
    return Damaged("it is damaged or truncated, or not a model at all")


def _beginning(file: BinaryIO) -> bytes:
    """Read the length of the header, and the header."""
    start = file.read(9)
    if not start:
        raise Damaged("it is empty")
    if len(start) < 9 or start[8:] != b"{":
        raise Damaged("it is another kind of file")
    length = int.from_bytes(start[:8], "little")
    if not 1 < length <= _MAX_HEADER_BYTES:
        raise _broken()
    return start + file.read(length - 1)


def _header(contents: bytes, format: str) -> tuple[Header, str | None]:
    """Return gaussmix's header from the safetensors metadata, and the checksum stored in it."""
    try:
        metadata = json.loads(contents).get("__metadata__")
    except (ValueError, RecursionError):
        raise _broken() from None
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise Damaged(_FOREIGN)
    try:
        header = json.loads(text)
        _canonical(header)  # raises for NaN and endless nesting, which `pack` never writes
    except (ValueError, RecursionError):
        raise Damaged("its header is damaged") from None
    name = header.get("format") if isinstance(header, dict) else None
    if name != format:
        raise Damaged(_OTHER_FORMATS.get(name, _FOREIGN) if isinstance(name, str) else _FOREIGN)
    return header, header.pop("sha256", None)


def _tensor(tensor: Mapping[str, Any]) -> Array:
    if tensor["dtype"] != "F64":
        raise Damaged("its numbers are not float64")
    try:
        return np.frombuffer(tensor["data"], "<f8").reshape(tensor["shape"]).astype(np.float64, copy=False)
    except (ValueError, OverflowError):  # safetensors accepts shapes such as (0, 2**63)
        raise _broken() from None


def _digest(header: Header, tensors: Mapping[str, Array]) -> str:
    seal = sha256(_canonical(header).encode())
    for name in sorted(tensors):
        seal.update(f"\n{name}{tensors[name].shape}\n".encode(errors="backslashreplace"))
        seal.update(np.ascontiguousarray(tensors[name], dtype="<f8").data)
    return seal.hexdigest()


def _canonical(header: Header) -> str:
    """Return the canonical ASCII text of a header: equal headers have equal texts."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
