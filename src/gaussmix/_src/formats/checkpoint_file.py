"""Checkpoint files: where a fit stands, in the envelope of model files.

Tensors are named by what they belong to: "0.state.means" belongs to the current run of the first fit, "0.best.means" to
the best run before it. The header holds everything else. A file is read by the version that wrote it
only: another one might give other bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussmix._src.background import NOISE_ARRAYS
from gaussmix._src.formats.envelope import Header, Tensors, get_value
from gaussmix._src.formats.files import unpacked, write_whole
from gaussmix._src.formats.record import Damaged, Json, are_lists
from gaussmix._src.numerics.arrays import Array, copied

CHECKPOINT_FORMAT, CHECKPOINT_VERSION = "gaussmix-checkpoint", 1
_TRACE_ARRAYS = "log_likelihood", "objective"
_RUN_ARRAYS = ("weights", "means", "covariances", *_TRACE_ARRAYS)
_MEMORY = "memory."


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Where a run of EM stands, as plain values."""

    # "weights", "means", "covariances" of the model, those of its noise, "log_likelihood" and "objective" of its steps,
    # and of truncated EM "posterior_gap": the number of candidates, the gap and its standard error
    arrays: Mapping[str, Array]
    memory: Mapping[str, Array]  # the path of an accelerated run
    frozen: Mapping[int, str]  # component → why it is frozen
    outcome: str | None  # why the run ended; None while it goes on
    # component, feature, step, reason and remedy of each component that got stuck
    events: Sequence[tuple[int, int | None, int, str, str]] = ()
    search: Sequence[Any] = ()  # the fields of its report, if the run began with a search


@dataclass(frozen=True, eq=False)
class ProgressRecord:
    """Where one fit of a search stands, or the fit of one mixture, as plain values."""

    n_done: int  # index of the run that is being made, or is to be begun
    generator: Json  # state of the generator that starts draw from
    state: RunRecord | None = None  # of that run; None where it is to be begun
    best: RunRecord | None = None  # the end of the best run before it
    ends: Sequence[RunRecord] = ()  # the ends of all runs before it, without their models


@dataclass(frozen=True, eq=False)
class CheckpointRecord:
    """Where a fit or a search stands, as plain values."""

    # parameters and rows of the fit, JSON values by name; only a fit with an equal identity goes on
    identity: Mapping[str, Json]
    # where each fit that was begun stands, by what the search calls it; one mixture has one fit
    fits: Mapping[str, ProgressRecord]


def write(path: Path, record: CheckpointRecord) -> None:
    """Write a checkpoint, which appears whole or not at all; raises OSError."""
    header: Header = {"format": CHECKPOINT_FORMAT, "version": CHECKPOINT_VERSION, "identity": dict(record.identity)}
    tensors: Tensors = {}
    header["fits"] = [_packed_fit(key, fit, f"{i}.", tensors) for i, (key, fit) in enumerate(record.fits.items())]
    write_whole(path, header, tensors)


def _packed_fit(key: str, fit: ProgressRecord, prefix: str, tensors: Tensors) -> Header:
    """What the header holds of a fit; its arrays are added to the tensors."""
    header: Header = {"key": key, "number": fit.n_done, "generator": fit.generator}
    runs = {"state": fit.state, "best": fit.best}
    header |= {name: _packed_run(run, f"{prefix}{name}.", tensors) for name, run in runs.items() if run is not None}
    header["ends"] = [_packed_run(run, f"{prefix}ends.{j}.", tensors) for j, run in enumerate(fit.ends)]
    return header


def _packed_run(run: RunRecord, prefix: str, tensors: Tensors) -> Header:
    tensors |= {f"{prefix}{key}": array for key, array in run.arrays.items()}
    tensors |= {f"{prefix}{_MEMORY}{key}": array for key, array in run.memory.items()}
    events = [list(event) for event in run.events]
    return {"frozen": sorted(run.frozen.items()), "outcome": run.outcome, "events": events, "search": run.search}


def read(path: Path) -> CheckpointRecord:
    """Read a checkpoint.

    Raises Damaged: it is damaged, truncated or another kind of file. OSError: it can't be read.
    """
    header, tensors = unpacked(path, CHECKPOINT_FORMAT)
    if header.get("version") != CHECKPOINT_VERSION:
        raise Damaged("another version of gaussmix wrote it")
    records = [_fit(fit, tensors, f"{i}.") for i, fit in enumerate(_dicts(header, "fits"))]
    return CheckpointRecord(get_value(header, "identity", dict), dict(records))


def _fit(header: Header, tensors: Tensors, prefix: str) -> tuple[str, ProgressRecord]:
    runs = {
        name: _run(get_value(header, name, dict), tensors, f"{prefix}{name}.")
        for name in ("state", "best")
        if name in header
    }
    ends = [_run(end, tensors, f"{prefix}ends.{j}.", _TRACE_ARRAYS) for j, end in enumerate(_dicts(header, "ends"))]
    n_done, generator = get_value(header, "number", int), get_value(header, "generator", dict)
    return get_value(header, "key", str), ProgressRecord(n_done, generator, **runs, ends=ends)


def _dicts(header: Header, key: str) -> list[Header]:
    """A list of objects in a header; raises `Damaged`."""
    records: list[Header] = get_value(header, key, list)
    if not all(isinstance(each, dict) for each in records):
        raise Damaged(f"{key!r} in its header is of the wrong type")
    return records


def _run(header: Header, tensors: Tensors, prefix: str, names: Sequence[str] = _RUN_ARRAYS) -> RunRecord:
    own = {name.removeprefix(prefix): copied(array) for name, array in tensors.items() if name.startswith(prefix)}
    memory = {name.removeprefix(_MEMORY): array for name, array in own.items() if name.startswith(_MEMORY)}
    if not set(names) <= set(own):
        raise Damaged("it lacks some of its numbers")
    frozen, events = get_value(header, "frozen", list), get_value(header, "events", list)
    if not are_lists(frozen, int, str) or not are_lists(events, int, int | None, int, str, str):
        raise Damaged("a frozen component or an event in its header is of the wrong type")
    arrays = {name: own[name] for name in (*names, *NOISE_ARRAYS, "posterior_gap") if name in own}
    outcome = get_value(header, "outcome", str, type(None))
    search = get_value(header, "search", list)
    if search and not are_lists([search], int, int, float | None):
        raise Damaged("the search in its header is of the wrong type")
    return RunRecord(arrays, memory, dict(frozen), outcome, [tuple(event) for event in events], search)
