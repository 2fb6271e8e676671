"""Read and write checkpoint files, which store the progress of a fit in the format of `envelope`, like model files.

The name of a tensor begins with the index of the fit and the kind of run that the tensor describes. For example,
"0.state.means" are the means in the current run of fit 0, and "0.best.means" are the means after the best finished run
of fit 0. The header of the file stores everything except the arrays. Only the version of gaussmix that wrote a
checkpoint can read it, because results of other versions might differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussmix._src.formats.envelope import CHECKPOINT_FORMAT, Header, Tensors, get_value
from gaussmix._src.formats.files import read_envelope, write_whole
from gaussmix._src.formats.record import Damaged, Json, are_lists
from gaussmix._src.noise_component import NOISE_ARRAYS
from gaussmix._src.numerics.arrays import Array, copied

CHECKPOINT_VERSION = 1
_TRACE_ARRAYS = "log_likelihood", "objective"
_RUN_ARRAYS = ("weights", "means", "covariances", *_TRACE_ARRAYS)
_MEMORY = "memory."


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The state of an EM run, as arrays and built-in types."""

    # Arrays of the model and of its noise component ("weights", "means" …), and arrays with "log_likelihood" and
    # "objective" before each EM step. Truncated EM adds an array "posterior_gap": the number of candidate components
    # per row, the number of drawn neighbours, the gap between bound and log-likelihood, and its standard error.
    arrays: Mapping[str, Array]
    memory: Mapping[str, Array]  # arrays that an accelerated run stores about its earlier steps; empty for other runs
    frozen: Mapping[int, str]  # map from each frozen component to the reason for freezing it
    stop_reason: str | None  # reason why the run ended; None if the run has not ended
    # One tuple for each time that a component became empty or collapsed: component, feature, step, reason and remedy.
    events: Sequence[tuple[int, int | None, int, str, str]] = ()
    search: Sequence[Any] = ()  # fields of `SearchReport`; empty without a split-and-merge search


@dataclass(frozen=True, eq=False)
class ProgressRecord:
    """The progress of the fit of a mixture, or of a candidate in a model selection, as arrays and built-in types."""

    n_done: int  # number of finished runs, which is also the index of the current or next run
    generator: Json  # state of the random generator from which initialisations are drawn
    state: RunRecord | None = None  # state of the current run; None if the next run has not begun
    best: RunRecord | None = None  # final state of the best finished run
    ends: Sequence[RunRecord] = ()  # final states of all finished runs, without the models


@dataclass(frozen=True, eq=False)
class CheckpointRecord:
    """The progress of all fits in a file (several in a model selection), as arrays and built-in types."""

    # JSON values that identify the parameters and the rows of the fit. A fit can resume from a checkpoint only if the
    # fit has the same JSON values.
    identity: Mapping[str, Json]
    # Map from the key of each fit that has begun to the progress of this fit. Without model selection, there is only
    # one fit.
    fits: Mapping[str, ProgressRecord]


def write(path: Path, record: CheckpointRecord) -> None:
    """Write a checkpoint file in one step, so that no incomplete file is ever visible; raise OSError if this fails."""
    header: Header = {"format": CHECKPOINT_FORMAT, "version": CHECKPOINT_VERSION, "identity": dict(record.identity)}
    tensors: Tensors = {}
    header["fits"] = [_packed_fit(key, fit, f"{i}.", tensors) for i, (key, fit) in enumerate(record.fits.items())]
    write_whole(path, header, tensors)


def _packed_fit(key: str, fit: ProgressRecord, prefix: str, tensors: Tensors) -> Header:
    """Return the header of one fit, and add its arrays to `tensors`, with names that begin with `prefix`."""
    header: Header = {"key": key, "number": fit.n_done, "generator": fit.generator}
    runs = {"state": fit.state, "best": fit.best}
    header |= {name: _packed_run(run, f"{prefix}{name}.", tensors) for name, run in runs.items() if run is not None}
    header["ends"] = [_packed_run(run, f"{prefix}ends.{j}.", tensors) for j, run in enumerate(fit.ends)]
    return header


def _packed_run(run: RunRecord, prefix: str, tensors: Tensors) -> Header:
    tensors |= {f"{prefix}{key}": array for key, array in run.arrays.items()}
    tensors |= {f"{prefix}{_MEMORY}{key}": array for key, array in run.memory.items()}
    frozen, events = sorted(run.frozen.items()), [list(event) for event in run.events]
    return {"frozen": frozen, "stop_reason": run.stop_reason, "events": events, "search": run.search}


def read(path: Path) -> CheckpointRecord:
    """Return the record in a checkpoint file.

    Raises `Damaged` if the file is damaged, truncated or not a checkpoint, and OSError if the file can't be read.
    """
    header, tensors = read_envelope(path, CHECKPOINT_FORMAT)
    if header.get("version") != CHECKPOINT_VERSION:
        raise Damaged("the file was written by another version of gaussmix")
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
    """Return the list of JSON objects under `key` in a header; raise `Damaged` if an item is not a JSON object."""
    records: list[Header] = get_value(header, key, list)
    if not all(isinstance(each, dict) for each in records):
        raise Damaged(f"{key!r} in the header has the wrong type")
    return records


def _run(header: Header, tensors: Tensors, prefix: str, names: Sequence[str] = _RUN_ARRAYS) -> RunRecord:
    own = {name.removeprefix(prefix): copied(array) for name, array in tensors.items() if name.startswith(prefix)}
    memory = {name.removeprefix(_MEMORY): array for name, array in own.items() if name.startswith(_MEMORY)}
    if not set(names) <= set(own):
        raise Damaged("required arrays are missing")
    frozen, events = get_value(header, "frozen", list), get_value(header, "events", list)
    if not are_lists(frozen, int, str) or not are_lists(events, int, int | None, int, str, str):
        raise Damaged("a frozen component or an event in the header has the wrong type")
    arrays = {name: own[name] for name in (*names, *NOISE_ARRAYS, "posterior_gap") if name in own}
    stop_reason = get_value(header, "stop_reason", str, type(None))
    search = get_value(header, "search", list)
    if search and not are_lists([search], int, int, float | None):
        raise Damaged("the search report in the header has the wrong type")
    return RunRecord(arrays, memory, dict(frozen), stop_reason, [tuple(event) for event in events], search)
