"""Read and write files with mixtures of many groups; each tensor, such as "weights", holds the values of all groups.

The files have the format of `envelope`, like model files. The header is a JSON object with the keys "format"
("gaussmix-mixtures"), "version" (1), "package_version", "family" (the covariance structure), "family_options",
"feature_names" (a list or null), "keys" (the keys of the groups), "errors" (a list of pairs of a group index and a
text), "notes" (a list of pairs of a group index and a list of texts) and "sha256".

In all tensors, the index along the first axis is the index of the group. The tensors are "weights", "means",
"covariances" (in the compact form of the covariance structure), "converged" (0 or 1), "n_iter" and "lower_bound". If a
group has no mixture, its "weights", "means", "covariances" and "lower_bound" are NaN. If a group has fewer components
than another group, the values of the missing components at the end are NaN. All later versions of this module must be
able to read version 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np

from gaussmix._src.families.base import FAMILIES, Family
from gaussmix._src.formats.envelope import MIXTURES_FORMAT, Header, Tensors, get_value
from gaussmix._src.formats.files import read_record, write_whole
from gaussmix._src.formats.model_file import build_family
from gaussmix._src.formats.record import Damaged, PathOrFile, are_lists
from gaussmix._src.model import SUM_TOLERANCE, invalid_matrix_reason, invalid_reason
from gaussmix._src.numerics.arrays import Array, copied
from gaussmix._src.version import package_version

MIXTURES_VERSION = 1
GROUP_TENSORS = ("weights", "means", "covariances", "converged", "n_iter", "lower_bound")
_KEY_TYPES = (str, int, float, type(None))


@dataclass(frozen=True, eq=False)
class MixturesRecord:
    """Mixtures of many groups with the same structure and size, as arrays and built-in types."""

    family: Family  # covariance structure of all mixtures
    tensors: Mapping[str, Array]  # map from names to tensors; see the docstring of this module
    keys: Sequence[Any]  # one key for each group
    errors: Mapping[int, str]  # map from the index of each group without a mixture to an error message
    notes: Mapping[int, Sequence[str]]  # map from the index of a group to notes about its fit
    # Names of the features, which are the same in all groups; None if the features have no names.
    feature_names: tuple[str, ...] | None = None

    def invalid_reason(self) -> str | None:
        """Return the reason why the mixtures are invalid, as the end of a sentence; None if all mixtures are valid."""
        weights, means, covariances = (self.tensors[name] for name in GROUP_TENSORS[:3])
        n_groups = len(self.keys)
        if weights.ndim != 2 or means.ndim != 3 or any(each.shape[:1] != (n_groups,) for each in self.tensors.values()):
            return f"its tensors don't have {n_groups} groups along their first axis"
        if any(self.tensors[name].ndim != 1 for name in GROUP_TENSORS[3:]) or len(set(self.keys)) != n_groups:
            return "two of its groups have the same key, or a group has several numbers of steps"
        n_iter = self.tensors["n_iter"]
        are_counts = (n_iter == np.clip(np.rint(n_iter), 0, 2.0**53)).all()
        if not (are_counts and np.isin(self.tensors["converged"], (0, 1)).all()):
            return "its 'n_iter' are not counts, or its 'converged' are not 0 or 1"
        if not all(0 <= i < n_groups for i in (*self.errors, *self.notes)):
            return "it has an error or a note for a group that it lacks"
        if self.feature_names is not None and len(self.feature_names) != means.shape[2]:
            return f"it names {len(self.feature_names)} features, but its means have {means.shape[2]}"
        for i in () if self._are_sound() else range(n_groups):
            group = group_arrays(i, weights, means, covariances, self.family)
            wrong = None if i in self.errors else invalid_reason(*group, self.family)
            if wrong is not None:
                return f"in group {self.keys[i]!r:.40} {wrong}"
        return None

    def _are_sound(self) -> bool:
        """Return whether all mixtures are valid; one check of all mixtures is faster than a check of each mixture."""
        has_mixture = [i not in self.errors for i in range(len(self.keys))]
        weights, means, covariances = (self.tensors[name][has_mixture] for name in GROUP_TENSORS[:3])
        shape = means.shape[1:]
        if weights.shape[1] != shape[0] or not means.size or covariances.shape[1:] != self.family.shape(*shape):
            return False
        if not all(np.isfinite(each).all() for each in (weights, means, covariances)) or (weights < 0).any():
            return False
        with np.errstate(all="ignore"):
            each = self.family.stacked(covariances, *shape)
            excess = np.abs(weights.sum(axis=1) - 1)
            return bool((excess <= SUM_TOLERANCE).all()) and invalid_matrix_reason(each) is None


def group_arrays(
    index: int, weights: Array, means: Array, covariances: Array, family: Family
) -> tuple[Array, Array, Array]:
    """Return the weights, means and covariances of one group, without the NaN of missing components."""
    n_components = np.count_nonzero(~np.isnan(weights[index])) or weights.shape[1]  # all are NaN in a damaged file
    own = covariances[index, ...]
    return weights[index, :n_components], means[index, :n_components], own if family.is_shared else own[:n_components]


def write(target: PathOrFile, record: MixturesRecord) -> None:
    """Write mixtures to a file in one step, so that no incomplete file is ever visible at its path.

    Raises ValueError if a key is neither text nor a finite number, if a mixture is invalid, or if the covariance
    structure is not registered. Raises OSError if the file can't be written.
    """
    for key in record.keys:
        if not isinstance(key, _KEY_TYPES) or (isinstance(key, float) and not isfinite(key)):
            raise ValueError(f"The key {key!r:.40} can't be saved in a file: keys must be text or finite numbers.")
    wrong = record.invalid_reason()
    if record.family.name not in FAMILIES:
        wrong = f"their structure {record.family.name!r} is not registered, so no program could read it"
    if wrong is not None:
        raise ValueError(f"These mixtures can't be saved: {wrong}.")
    header: Header = {
        "format": MIXTURES_FORMAT,
        "version": MIXTURES_VERSION,
        "package_version": package_version(),
        "family": record.family.name,
        "family_options": dict(record.family.non_default_params),
        "feature_names": None if record.feature_names is None else list(record.feature_names),
        "keys": list(record.keys),
        "errors": sorted(record.errors.items()),
        "notes": sorted((i, list(notes)) for i, notes in record.notes.items()),
    }
    write_whole(target, header, {name: record.tensors[name] for name in GROUP_TENSORS})


def read(target: PathOrFile) -> MixturesRecord:
    """Read mixtures from a file; raise OSError or InvalidModelFileError, whose message describes the fault."""
    return read_record(target, MIXTURES_FORMAT, {MIXTURES_VERSION: _record})


def _record(header: Header, tensors: Tensors) -> MixturesRecord:
    if set(tensors) != set(GROUP_TENSORS):
        raise Damaged("required arrays are missing, or there are unknown arrays")
    name = get_value(header, "family", str)
    family = build_family(name, get_value(header, "family_options", dict))
    if family is None:
        raise Damaged(f"the covariance structure {name!r:.40} is not registered in this version of gaussmix")
    keys, names = get_value(header, "keys", list), get_value(header, "feature_names", list, type(None))
    errors, notes = get_value(header, "errors", list), get_value(header, "notes", list)
    is_right = are_lists(errors, int, str) and are_lists(notes, int, list)
    texts = chain(names or (), *(sentences for _, sentences in notes)) if is_right else ()
    is_right = is_right and all(isinstance(key, _KEY_TYPES) for key in keys)
    if not is_right or not all(isinstance(text, str) for text in texts):
        raise Damaged("a key, a name or an error in the header has the wrong type")
    # The tensors are copied, because they may be views of the bytes that were read from the file.
    arrays = {name: copied(tensor) for name, tensor in tensors.items()}
    lists = {i: tuple(sentences) for i, sentences in notes}
    return MixturesRecord(family, arrays, tuple(keys), dict(errors), lists, None if names is None else tuple(names))
