"""The common format of all files: a safetensors file with a JSON header and a checksum of header and tensors.

The JSON header is stored as a single value of the safetensors metadata. If the header were stored as several values,
they would be written in random order, but equal models should give equal files. The checksum detects damage, but not
forgery. The checksum is needed because no other check would notice a changed digit of a mean, which would still be a
number.
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
CHECKPOINT_FORMAT = "gaussmix-checkpoint"
_KEY = "gaussmix"
_FOREIGN = "it is a safetensors file, but of other software"
_OTHER_FORMATS = {
    FORMAT: "it contains a single mixture, which gaussmix.Mixture.load reads",
    MIXTURES_FORMAT: "it contains the mixtures of many groups, which gaussmix.Mixtures.load reads",
    CHECKPOINT_FORMAT: "it is the checkpoint of a fit, which resumes if an equal estimator with checkpoint= is fitted",
}
_MAX_HEADER_BYTES = 100_000_000  # maximum size of a header that safetensors can read

Header = dict[str, Any]
Tensors = dict[str, Array]


def pack(header: Header, tensors: Mapping[str, Array]) -> bytes:
    """Return the bytes of a file with the given header and float64 tensors.

    Raises ValueError if the header contains NaN or infinity, which JSON cannot express, or if the header is too long
    for programs that read the file.
    """
    contents = {name: np.asarray(tensor, dtype="<f8", order="C") for name, tensor in tensors.items()}
    header = {"format": FORMAT, **header}
    sealed = {**header, "sha256": _digest(header, contents)}
    packed = save(contents, {_KEY: _canonical(sealed)})
    if int.from_bytes(packed[:8], "little") > _MAX_HEADER_BYTES:
        raise ValueError("The file's header would be longer than 100 MB, so no program could read the file.")
    return packed


def unpack(file: BinaryIO, format: str = FORMAT) -> tuple[Header, Tensors]:
    """Read the header and tensors of a file that `pack` wrote; if the format is different, read only the header.

    The file is read and not mapped into memory, because a bus error would end the process if a mapped file were
    truncated.

    Raises `Damaged` if the file has a different format or has changed since it was written, and OSError if it can't be
    read.
    """
    beginning = _read_header_bytes(file)
    header, seal = _header(beginning[8:], format)
    try:
        stored = deserialize(beginning + file.read())  # type: ignore[no-untyped-call]
        tensors = {name: _tensor(tensor) for name, tensor in stored}
    except SafetensorError:
        raise _damaged_file_error() from None
    if seal != _digest(header, tensors):
        raise Damaged("the contents don't match the checksum, so the file was damaged after it was written")
    return header, tensors


def has_format(file: BinaryIO, format: str) -> bool:
    """Return whether a file has the given format; only the header of the file is read."""
    try:
        _header(_read_header_bytes(file)[8:], format)
    except Damaged:
        return False
    return True


def get_value(header: Header, key: str, *types: type) -> Any:
    """Return the value of `key` in a header; raise `Damaged` if this value is missing or not of one of the `types`."""
    value = header.get(key)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise Damaged(f"{key!r} in the header is missing or has the wrong type")
    return value


def _damaged_file_error() -> Damaged:
    return Damaged("it is damaged or truncated, or not a model at all")


def _read_header_bytes(file: BinaryIO) -> bytes:
    """Read the beginning of a file, which consists of the length of the header and the header itself."""
    start = file.read(9)
    if not start:
        raise Damaged("it is empty")
    if len(start) < 9 or start[8:] != b"{":
        if start.startswith(b"\x80"):
            raise Damaged("it is a pickle; if you trust its author, read it with joblib.load")
        raise Damaged("the file does not have the format of gaussmix models")
    length = int.from_bytes(start[:8], "little")
    if not 1 < length <= _MAX_HEADER_BYTES:
        raise _damaged_file_error()
    return start + file.read(length - 1)


def _header(contents: bytes, format: str) -> tuple[Header, str | None]:
    """Return gaussmix's header (a value of the safetensors metadata) without its checksum, and the checksum."""
    try:
        metadata = json.loads(contents).get("__metadata__")
    except (ValueError, RecursionError):
        raise _damaged_file_error() from None
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise Damaged(_FOREIGN)
    try:
        header = json.loads(text)
        _canonical(header)  # raises an error for NaN and extreme nesting, which `pack` never writes
    except (ValueError, RecursionError):
        raise Damaged("its header is damaged") from None
    name = header.get("format") if isinstance(header, dict) else None
    if name != format:
        raise Damaged(_OTHER_FORMATS.get(name, _FOREIGN) if isinstance(name, str) else _FOREIGN)
    return header, header.pop("sha256", None)


def _tensor(tensor: Mapping[str, Any]) -> Array:
    if tensor["dtype"] != "F64":
        raise Damaged("the arrays are not of type float64")
    try:
        return np.frombuffer(tensor["data"], "<f8").reshape(tensor["shape"]).astype(np.float64, copy=False)
    except (ValueError, OverflowError):  # raised for shapes such as (0, 2**63), which safetensors accepts
        raise _damaged_file_error() from None


def _digest(header: Header, tensors: Mapping[str, Array]) -> str:
    seal = sha256(_canonical(header).encode())
    for name in sorted(tensors):
        seal.update(f"\n{name}{tensors[name].shape}\n".encode(errors="backslashreplace"))
        seal.update(np.ascontiguousarray(tensors[name], dtype="<f8").data)
    return seal.hexdigest()


def _canonical(header: Header) -> str:
    """Return a header as ASCII text in a canonical form, so that equal headers have equal texts."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
