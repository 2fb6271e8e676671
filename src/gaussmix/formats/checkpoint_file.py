"""Checkpoint files: where a fit stands, in the envelope of model files.

Tensors are named by what they belong to: "state.means" is of the run that was being made, "best.means" of the best run
before it. The header holds everything else. A file is read by the version that wrote it only: another one might give
other bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaussmix.formats.envelope import Damaged, Header, Tensors, pack, unpack
from gaussmix.formats.record import Json
from gaussmix.formats.whole_file import whole_file
from gaussmix.noise import NOISE_ARRAYS
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import copied

FORMAT, VERSION = "gaussmix-checkpoint", 1
_ARRAYS = ("weights", "means", "covariances", "log_likelihood", "objective")
_MEMORY = "memory."


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Where a run of EM stands, as plain values.

    Parameters
    ----------
    arrays : "weights", "means", "covariances" of the model, those of its noise, "log_likelihood" and "objective" of its
        steps.
    memory : what the engine needs for the next step.
    frozen : component → why it is frozen.
    outcome : why the run ended; None while it goes on.
    events : component, feature, step, reason and remedy of each component that got stuck.
    """

    arrays: Mapping[str, Array]
    memory: Mapping[str, Array]
    frozen: Mapping[int, str]
    outcome: str | None
    events: Sequence[tuple[int, int | None, int, str, str]] = ()


@dataclass(frozen=True, eq=False)
class CheckpointRecord:
    """Where a fit stands, as plain values.

    Parameters
    ----------
    identity : what the fit is of, JSON values by name; a fit goes on only where its own is equal.
    number : of the run that is being made, or is to be begun, counted from 0.
    generator : state of the generator that starts draw from.
    state : of that run; None where it is to be begun.
    best : the end of the best run before it.
    """

    identity: Mapping[str, Json]
    number: int
    generator: Json
    state: RunRecord | None = None
    best: RunRecord | None = None


def write(path: Path, record: CheckpointRecord) -> None:
    """Write a checkpoint, which appears whole or not at all; raises OSError."""
    header: Header = {
        "format": FORMAT,
        "version": VERSION,
        "identity": dict(record.identity),
        "number": record.number,
        "generator": record.generator,
    }
    tensors: Tensors = {}
    for name, run in (("state", record.state), ("best", record.best)):
        if run is not None:
            events = [list(event) for event in run.events]
            header[name] = {"frozen": sorted(run.frozen.items()), "outcome": run.outcome, "events": events}
            tensors |= {f"{name}.{key}": array for key, array in run.arrays.items()}
            tensors |= {f"{name}.{_MEMORY}{key}": array for key, array in run.memory.items()}
    contents = pack(header, tensors)
    with whole_file(path) as file:
        file.write(contents)


def read(path: Path) -> CheckpointRecord:
    """Read a checkpoint.

    Raises
    ------
    Damaged : it is damaged, truncated or another kind of file.
    OSError : it can't be read.
    """
    with path.open("rb") as file:
        header, tensors = unpack(file, FORMAT)
    try:
        if header["version"] != VERSION:
            raise Damaged("another version of gaussmix wrote it")
        runs = {name: _run(header[name], tensors, f"{name}.") for name in ("state", "best") if name in header}
        return CheckpointRecord(dict(header["identity"]), int(header["number"]), header["generator"], **runs)
    except (KeyError, TypeError, ValueError):
        raise Damaged("its header is damaged") from None


def _run(header: Header, tensors: Tensors, prefix: str) -> RunRecord:
    own = {name.removeprefix(prefix): copied(array) for name, array in tensors.items() if name.startswith(prefix)}
    memory = {name.removeprefix(_MEMORY): array for name, array in own.items() if name.startswith(_MEMORY)}
    frozen = {int(k): str(why) for k, why in header["frozen"]}
    events = [
        (int(k), None if feature is None else int(feature), int(step), str(why), str(remedy))
        for k, feature, step, why, remedy in header["events"]
    ]
    arrays = {name: own[name] for name in _ARRAYS} | {name: own[name] for name in NOISE_ARRAYS if name in own}
    return RunRecord(arrays, memory, frozen, header["outcome"], events)
