"""Checkpoints: a fit that is killed goes on where it was, and ends with the bits it would have had."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np

from gaussmix.door.warnings import warn
from gaussmix.em.restarts import Run, begin_each, better
from gaussmix.em.trace import Event, Frozen, State, Trace
from gaussmix.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.families.base import Family
from gaussmix.fit.identity import check_same
from gaussmix.formats import Damaged
from gaussmix.formats.checkpoint_file import CheckpointRecord, RunRecord, read, write
from gaussmix.formats.record import Json
from gaussmix.formats.whole_file import remove_unfinished
from gaussmix.model import Model
from gaussmix.noise import Noise

SECONDS = 5.0  # between two checkpoints of a run
Place = str | os.PathLike[str]


class Checkpoint:
    """The file in which a fit notes where it stands, and what was found in it.

    Parameters
    ----------
    path : of the file.
    identity : what the fit is of: plain values by what a message calls them.
    family : of the models.
    generator : starts draw from it; it gets the state that it had at the checkpoint.

    Raises
    ------
    ValueError : the file is damaged, another kind of file, or of a fit with other data or settings.
    OSError : it can't be read, or there is no such folder.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Json], family: Family, generator: np.random.Generator
    ) -> None:
        self._path, self._identity, self._family, self._generator = path, identity, family, generator
        self._number = 0
        self._state: State | None = None
        self._best: State | None = None
        self._written, self._noted_at = (0, 0), monotonic()
        self._writer: Thread | None = None
        self.failure: str | None = None  # why the last write failed, a sentence
        self._has_warned = False
        if path.exists():
            self._take()
        elif not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder to write to", str(path.parent))
        remove_unfinished(path)

    def runs(self, runs: Sequence[Run]) -> Iterator[Iterator[State]]:
        """The runs of a fit, noted while they are made; of those before the checkpoint the best one only, ended."""
        if self._best is not None:
            yield iter([self._best])
        while self._number < len(runs):
            ends: list[State] = []  # none where the start has no covariances
            yield self._noted(runs[self._number](self._state), ends)
            for end in ends:
                self._best = self._best if end.outcome is Outcome.NON_FINITE else better(self._best, end)
            self._number, self._state = self._number + 1, None
            if self._number < len(runs):
                self._write_beside()

    def _noted(self, states: Iterator[State], ends: list[State]) -> Iterator[State]:
        for state in states:
            self._state = state
            if state.outcome is None and monotonic() - self._noted_at > SECONDS:
                self._write_beside()
            yield state
        ends.append(state)

    def end(self) -> None:
        """Remove the file: the fit has ended."""
        self._wait()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def interrupt(self) -> None:
        """Write where the fit stands, if it is farther than the file says."""
        self._wait()
        if self._stand != self._written and (self._state is None or self._state.outcome is None):
            self._write(self._record(), self._stand)

    @property
    def _stand(self) -> tuple[int, int]:
        """Number of the run, and of its steps."""
        return self._number, 0 if self._state is None else self._state.trace.n_steps

    def _write_beside(self) -> None:
        """Write where the fit stands, while it goes on; unless the last one is being written still."""
        if self._writer is not None and self._writer.is_alive():
            return
        if self.failure is not None and not self._has_warned:
            self._has_warned = True
            warn(f"{self.failure} The fit goes on, but a checkpoint does not keep what it does.")
        self._noted_at = monotonic()
        self._writer = Thread(target=self._write, args=(self._record(), self._stand), name="gaussmix-checkpoint")
        self._writer.start()

    def _write(self, record: CheckpointRecord, stand: tuple[int, int]) -> None:
        try:
            write(self._path, record)
        except (OSError, MemoryError) as error:
            self.failure = f"{self._path} can't be written: {getattr(error, 'strerror', None) or error}."
        else:
            self.failure, self._written = None, stand

    def _wait(self) -> None:
        if self._writer is not None:
            self._writer.join()

    def _record(self) -> CheckpointRecord:
        state, best = (None if run is None else _record_of(run) for run in (self._state, self._best))
        return CheckpointRecord(self._identity, self._number, self._generator.bit_generator.state, state, best)

    def _take(self) -> None:
        """Go on from the file."""
        name = os.fspath(self._path)
        if not self._path.is_file():
            raise ValueError(f"checkpoint={name!r} is not a regular file: name a file.")
        try:
            record = read(self._path)
            check_same(name, record.identity, self._identity)
            self._generator.bit_generator.state = record.generator
            self._number = record.number
            self._state, self._best = (
                None if run is None else _state_of(run, self._family) for run in (record.state, record.best)
            )
        except Damaged as damage:
            raise ValueError(
                f"{name} is not a usable checkpoint: {damage}. Remove the file to begin anew, or name another."
            ) from None
        self._written = self._stand


@contextmanager
def checkpointed(
    place: Place | None, identity: Callable[[], Mapping[str, Json]], family: Family, generator: np.random.Generator
) -> Iterator[Callable[[Sequence[Run]], Iterator[Iterator[State]]]]:
    """Begin the runs of a fit, or go on from a checkpoint; the block makes them.

    Where the block fails, what was done until then is written to the file; but where it is the fit that fails, as it
    would again, and where it ends, the file is removed.

    Parameters
    ----------
    place : of the file; None for a fit without one.
    identity, family, generator : as for `Checkpoint`.

    Yields
    ------
    begin : takes the runs and begins one after the other.

    Raises
    ------
    ValueError, OSError : as for `Checkpoint`.
    """
    if place is None:
        yield begin_each
        return
    checkpoint = Checkpoint(Path(place), identity(), family, generator)
    try:
        yield checkpoint.runs
    except (SingularCovariance, NonFiniteLikelihood):
        checkpoint.end()
        raise
    except BaseException as error:
        checkpoint.interrupt()
        if checkpoint.failure is not None:
            error.add_note(checkpoint.failure)
        raise
    checkpoint.end()


def check_place(place: Any) -> Place | None:
    """The value of `checkpoint`; raises TypeError for what is no path."""
    if place is None or (isinstance(place, str | os.PathLike) and os.fspath(place)):
        return place
    raise TypeError(f"checkpoint must be the path of a file or None, not {place!r}.")


def _record_of(run: State) -> RunRecord:
    model, trace = run.model, run.trace
    arrays = {
        "weights": model.weights,
        "means": model.means,
        "covariances": model.covariances.array,
        "log_likelihood": np.array(trace.log_likelihood),
        "objective": np.array(trace.objective),
    } | ({} if model.noise is None else model.noise.arrays())
    frozen = {k: why.name for k, why in trace.frozen.items()}
    events = [(each.component, each.feature, each.step, each.why.name, each.remedy) for each in trace.events]
    return RunRecord(arrays, trace.memory, frozen, None if run.outcome is None else run.outcome.name, events)


def _state_of(run: RunRecord, family: Family) -> State:
    """Where a run stands; raises `Damaged`."""
    arrays = run.arrays
    weights, means, covariances = arrays["weights"], arrays["means"], arrays["covariances"]
    if means.ndim != 2 or weights.shape != means.shape[:1] or covariances.shape != family.shape(*means.shape):
        raise Damaged("its numbers have other shapes than they should")
    noise = Noise.of_arrays(arrays)
    model = Model(weights, means, family.covariances(covariances, *means.shape), family, noise)
    try:
        frozen = {k: Frozen[why] for k, why in run.frozen.items()}
        outcome = None if run.outcome is None else Outcome[run.outcome]
        events = tuple(Event(k, feature, step, Frozen[why], did) for k, feature, step, why, did in run.events)
    except KeyError:
        raise Damaged("its header is damaged") from None
    trace = Trace(arrays["log_likelihood"].tolist(), arrays["objective"].tolist(), frozen, run.memory, events)
    return State(model, trace, outcome)
