"""What a fit is of: whether a checkpoint belongs to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from gaussmix.engines.base import Engine
from gaussmix.formats.record import Json
from gaussmix.formats.values import plain
from gaussmix.sources.base import Source
from gaussmix.value import Value
from gaussmix.version import package_version
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS

# Parameters that change no bit of a fit.
CHANGE_NOTHING = (
    "callbacks",
    "checkpoint",
    "n_jobs",
    "max_time",
    "verbose",
    "verbose_interval",
    "forgetting",
)
_FEW = 20  # numbers that a message shows


def identity_of(
    estimator: BaseEstimator, source: Source, engine: Engine[Any], before: Sequence[Any] = (), known: Sequence[Any] = ()
) -> dict[str, Json]:
    """What a fit is of, as plain values: rows, settings, and what else decides about its bits.

    Parameters
    ----------
    estimator : with its parameters.
    source : the rows with the weights that the user gave. Of many rows a sample is compared, and counts of all.
    engine : sums over them.
    before : arrays and numbers of the fit from which it goes on; none where it starts anew.
    known : arrays that say what is known of the rows; none where that is nothing.
    """
    profile, sample = source.profile, source.sample(LEAF_ROWS)
    errors = [] if not source.has_errors else [error for error in map(_error_of, source.blocks()) if error is not None]
    numbers = [sample.rows] if sample.row_weight is None else [sample.rows, sample.row_weight]
    weights = [profile.total_weight, profile.n_positive, profile.largest_weight]
    parameters = estimator.get_params(deep=False)
    settings = {name: _plain(name, value) for name, value in parameters.items() if name not in CHANGE_NOTHING}
    identity = {
        "the version of gaussmix": package_version(),
        "the engine": type(getattr(engine, "engine", engine)).__name__,
        "the estimator": type(estimator).__name__,
        "the shape of X": [source.n_rows, source.n_features],
        "the type of X": source.dtype.name,
        "the sum, number and maximum of the weights": weights,
        **settings,
        "what X or sample_weight holds": _digest(numbers),
        "the fit to go on from": _digest(before),
        "what labels says": _digest(known),
        "what X_error says": _digest(errors),
    }
    found: dict[str, Json] = json.loads(json.dumps(identity))  # as it is read from a file: lists for tuples
    return found


def _error_of(block: Block) -> Any:
    """The measurement errors of a block; the first alone where all rows have it."""
    return block.error if block.error is None or block.error.strides[0] else block.error[:1]


def _plain(name: str, value: Any) -> Json:
    """A parameter, as a value that is equal where the parameter is."""
    if callable(value):
        return "a callable"
    if isinstance(value, np.random.RandomState):
        return "a RandomState"  # the generator made of it is in the file
    if value is None or isinstance(value, str | bool | int | float | np.generic | dict | Value):
        return plain(name, value)
    if isinstance(value, list | tuple) and any(isinstance(each, Value) for each in value):
        return plain(name, value)
    array = np.asarray(value)
    return array.tolist() if array.size <= _FEW and array.dtype.kind in "biuU" else _digest([array])


def _digest(numbers: Iterable[Any]) -> Json:
    seal = sha256()
    for each in numbers:
        array = np.ascontiguousarray(each)
        seal.update(f"{array.dtype.str}{array.shape}".encode())
        seal.update(array.data)
    return {"sha256": seal.hexdigest()}


def check_same(name: str, then: Mapping[str, Json], now: Mapping[str, Json]) -> None:
    """Raise ValueError for the first thing in which the fit of a file differs from this one."""
    for what, value in now.items():
        if then.get(what) != value:
            is_shown = not isinstance(value, dict) and not isinstance(then.get(what), dict)
            how = f"was {then.get(what)!r:.60} and is {value!r:.60}" if is_shown else "differs"
            raise ValueError(
                f"{name} is the checkpoint of another fit: {what} {how}. Give the same data and settings to go on with "
                "it, remove the file to begin anew, or name another."
            )
