"""Convert models to files or dictionaries, and files or dictionaries to models; check all models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaussmix._src.checks import check_names, check_real
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.families.base import ALIASES, FAMILIES, Family, family_named, is_family
from gaussmix._src.formats import v1
from gaussmix._src.formats.envelope import FORMAT
from gaussmix._src.formats.files import not_usable, read_record, write_whole
from gaussmix._src.formats.record import Details, PathOrFile, Record
from gaussmix._src.model import Model, invalid_reason
from gaussmix._src.noise_component import NOISE_ARRAYS, NoiseComponent
from gaussmix._src.numerics.arrays import Array, copied

# Entries by which `from_dict` recognises a dictionary of `to_dict`; the headers of model files have the same entries.
_MARKER = {"format": FORMAT, "version": v1.VERSION}


def write(path: PathOrFile, model: Model, details: Details | None = None) -> None:
    """Write a model and its details to `path`, which is a path or a binary file that is open for writing.

    An existing file is replaced in one step, so that no incomplete file is ever visible.

    Raises ValueError if the model is not a valid mixture, or if its covariance structure is not registered. Raises
    OSError if the file can't be written.
    """
    family, weights, means, covariances = _saveable(model)
    details, options = details or Details(), dict(family.non_default_params)
    record = Record(family.name, weights, means, covariances, details, family_options=options, noise=model.noise)
    wrong = record.invalid_reason()
    if wrong is not None:
        raise ValueError(f"This mixture can't be saved: {wrong}.")
    write_whole(path, *v1.write(record))


def read(path: PathOrFile) -> tuple[Model, Record]:
    """Return the model and the record in a file; raise InvalidModelFileError if the file is invalid, or OSError."""
    record: Record = read_record(path, FORMAT, {v1.VERSION: v1.read})
    family = build_family(record.family, record.family_options)
    if family is None:
        why = f"the covariance structure {record.family!r:.40} is not registered in this version of gaussmix"
        raise not_usable(path, why)
    wrong = invalid_reason(record.weights, record.means, record.covariances, family, noise=record.noise)
    if wrong is not None:
        raise not_usable(path, wrong)
    # The arrays are copied, because they may be views of the bytes that were read from the file.
    arrays = copied(record.weights), copied(record.means), copied(record.covariances)
    return Model.from_arrays(*arrays, family, record.noise), record


def to_dict(model: Model, names: tuple[str, ...] | None) -> dict[str, Any]:
    """Convert a model to a dictionary of built-in types; raise ValueError if `write` could not write the model."""
    family, *arrays = _saveable(model)
    named = {} if names is None else {"feature_names": list(names)}
    options = {"family_options": dict(family.non_default_params)} if family.non_default_params else {}
    plain = {name: array.tolist() for name, array in zip(v1.TENSORS, arrays, strict=True)}
    noise = {} if model.noise is None else {name: array.tolist() for name, array in model.noise.arrays().items()}
    return {**_MARKER, "family": family.name, **options, **plain, **noise, **named}


def from_dict(values: Mapping[str, Any]) -> tuple[Model, tuple[str, ...] | None]:
    """Return the model and the feature names from a dictionary of `to_dict`.

    Raises TypeError or ValueError if the dictionary is invalid.
    """
    if not isinstance(values, Mapping):
        raise ParameterTypeError(f"Pass a dictionary returned by `to_dict`, not {values!r:.60}.")
    for key, wanted in _MARKER.items():
        if values.get(key) != wanted:
            raise ValueError(f"This version of gaussmix can't read the dictionary: its {key!r} is not {wanted!r}.")
    name = values.get("family")
    family = build_family(name, values.get("family_options", {}))
    if family is None:
        raise ValueError(f"Not a valid mixture: its 'family' is not one of {', '.join(map(repr, FAMILIES))}.")
    weights, means, covariances = (_array(values, name) for name in v1.TENSORS)
    try:
        noise = NoiseComponent.from_arrays({name: _array(values, name) for name in NOISE_ARRAYS if name in values})
    except ValueError as error:
        raise ValueError("Not a valid mixture: 'noise' must be two numbers, and 'noise_box' a box.") from error
    wrong = invalid_reason(weights, means, covariances, family, noise=noise)
    if wrong is not None:
        raise ValueError(f"Not a valid mixture: {wrong}.")
    names = values.get("feature_names")
    try:
        named = None if names is None else check_names(names, means.shape[1])
    except (TypeError, ValueError) as error:
        raise ValueError(f"Not a valid mixture: {error}") from None
    return Model.from_arrays(weights, means, covariances, family, noise), named


def build_family(name: object, options: object) -> Family | None:
    """Return the covariance structure with the given name and options; None if the name or an option is invalid."""
    if not isinstance(name, str) or not is_family(name) or name in ALIASES or not isinstance(options, Mapping):
        return None
    try:
        return family_named(name, **{str(option): value for option, value in options.items()})
    except (TypeError, ValueError):
        return None


def _saveable(model: Model) -> tuple[Family, Array, Array, Array]:
    """Return structure and arrays of a model; raise ValueError if a file with this model could not be read."""
    weights, means, covariances = model.weights, model.means, model.covariances.array
    wrong = invalid_reason(weights, means, covariances, model.family, noise=model.noise)
    if model.family.name not in FAMILIES:
        wrong = f"its structure {model.family.name!r} is not registered, so no program could read it"
    if wrong is not None:
        raise ValueError(f"This mixture can't be saved: {wrong}.")
    return model.family, weights, means, covariances


def _array(values: Mapping[str, Any], name: str) -> Array:
    """Return the entry `name` as an array of numbers; raise ValueError for text, even for text such as "1"."""
    try:
        array = check_real(name, values.get(name))
        if array.dtype.kind != "b":
            return array.astype(np.float64)
    except (TypeError, ValueError):  # lists of unequal length raise a ValueError
        pass
    raise ValueError(f"Not a valid mixture: its {name!r} must be an array of numbers.")
