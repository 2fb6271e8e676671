"""Write checkpoints from which an interrupted fit resumes, with a bit-identical result if the rows keep their order."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from gaussmix._src import errors
from gaussmix._src.em.objective.trace import DegeneracyEvent, EMState, FreezeReason, PosteriorGap, SearchReport, Trace
from gaussmix._src.em.step.best_of import EMRun, choose_better
from gaussmix._src.engines.truncated import MAX_NEIGHBOURS
from gaussmix._src.errors import StopReason
from gaussmix._src.families.base import Family
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.plan import ModelStart, Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.formats.checkpoint_file import CheckpointRecord, ProgressRecord, RunRecord, read, write
from gaussmix._src.formats.files import check_local, remove_unfinished
from gaussmix._src.formats.record import Damaged, Json
from gaussmix._src.formats.values import to_json
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model, invalid_reason
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Fingerprint
from gaussmix._src.value import Value
from gaussmix._src.version import package_version

SECONDS_BETWEEN_WRITES = 5.0  # minimum time between two checkpoints during a run
_SEARCH_KEY = "search"  # key, in the file, of the generator's state at the beginning of a model selection
# Reasons why resumable runs stopped; None if a run has not ended.
_RESUMABLE_STOP_REASONS = None, StopReason.CONVERGED, StopReason.STEP_LIMIT
# If a fit ends with one of these exceptions, the same exception would occur in a resumed fit.
_REPEATABLE_ERRORS = errors.SingularCovarianceError, errors.NonFiniteLikelihood, errors.NothingFitted, Warning


@dataclass
class FitProgress:
    """The progress of one fit: the state of the current EM run, and the final states of the previous runs.

    Parameters
    ----------
    n_runs_done : number of finished runs, which is also the index of the current run.
    generator_state : state of the random generator at the last recorded step of the current run, or at the beginning of
        this run if no step is recorded.
    run_state : last recorded state of the current run; None before the run begins.
    best_state : final state of the best finished run.
    final_states : final states of the finished runs with a finite likelihood.
    """

    n_runs_done: int = 0
    generator_state: Any = None
    run_state: EMState | None = None
    best_state: EMState | None = None
    final_states: tuple[EMState, ...] = ()


class Checkpoint(FitOption):
    """Fit option that records the runs of a fit in a file, or resumes the fit from this file.

    Because a model selection has many fits, the file also stores finished fits, and the selection resumes at the fit
    that was interrupted. If the fit is interrupted inside the `with` block, the state of the fit is written to the
    file. If the fit ends, or fails with an error that would occur again in a resumed fit, the checkpoint file is
    removed.
    """

    is_sequential = True

    def check_parameters(self) -> Sequence[str]:
        path = self.estimator.checkpoint
        if path is not None:
            if not isinstance(path, str | os.PathLike) or not os.fspath(path):
                raise errors.ParameterTypeError(f"checkpoint must be the path of a file or None, not {path!r}.")
            check_local(path)
        self._path, self._identity = Path(path or ""), dict[str, Json]()
        self._pending: dict[str, ProgressRecord] = {}  # recorded progress of fits that are not yet resumed
        self._progress: dict[str, FitProgress] = {}
        self._current_key = ""  # key of the current fit in `_progress`
        self._written_position, self._last_write_time = ("", 0, 0), monotonic()  # position, time of the last write
        self._writer: Thread | None = None
        self.failure: str | None = None  # sentence on why the last write failed; None if it succeeded
        self._has_warned = False
        return () if path is None else ("checkpoint",)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._identity:  # the fit failed before the file was opened
            return
        if self._writer is not None:
            self._writer.join()
        if error is None or isinstance(error, _REPEATABLE_ERRORS):
            with suppress(FileNotFoundError):
                self._path.unlink()
            return
        self._write_after_interrupt()
        if self.failure is not None:
            error.add_note(self.failure)

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        """Open the checkpoint file and return the plan unchanged.

        Raises
        ------
        ValueError : the file is damaged, is not a checkpoint, or is the checkpoint of a fit with different data or
            settings.
        OSError : the file can't be read, or its folder does not exist.
        """
        data = problem.data
        before = [value for start in plan.starts if isinstance(start, ModelStart) for value in start.identity_values()]
        labels = [] if data.labels is None else data.labels.as_arrays()
        identity = fit_identity(self.estimator, data.raw_source, before, labels)
        if self._path.exists():
            self._resume(identity)
        elif not self._path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of the checkpoint does not exist", str(self._path.parent))
        remove_unfinished(self._path)
        self._identity = identity
        if plan.n_candidates is not None:
            self._restore_generator(plan.rng)
        return plan

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterator[EMRun]:
        """Yield the runs of a fit, and record the states of each run.

        If a run had finished before the checkpoint, only its final state is yielded. The random generator of the plan
        is set to the state that the checkpoint recorded.
        """
        runs, key, generator = [*runs], plan.checkpoint_key, plan.rng
        status = self._read_progress(key, problem.family, generator)
        if not 0 <= status.n_runs_done <= len(runs) or (status.n_runs_done == len(runs) and not status.final_states):
            raise self._unusable_error(Damaged(f"run {status.n_runs_done} does not exist in a fit of {len(runs)} runs"))
        self._progress[key], self._current_key = status, key
        for end in status.final_states:
            yield partial(lambda end, initial: iter((end,)), end)
        while status.n_runs_done < len(runs):
            last_states: list[EMState] = []  # stays empty if the initialisation fails because of singular covariances
            yield partial(self._record_states, runs[status.n_runs_done], status, generator, last_states)
            for end in last_states:
                if end.stop_reason is not StopReason.NON_FINITE:
                    status.best_state = choose_better(status.best_state, end)
                    status.final_states += (end,)
            status.n_runs_done += 1
            status.run_state, status.generator_state = None, generator.bit_generator.state
            if status.n_runs_done < len(runs):
                self._write_async()
        if not status.final_states:  # all runs failed; a resumed selection may fit this candidate again
            del self._progress[key]

    def _restore_generator(self, generator: np.random.Generator) -> None:
        """Set a random generator to the state that it had at the beginning of the recorded model selection, if any."""
        record = self._pending.pop(_SEARCH_KEY, None)
        if record is not None:
            self._set_generator_state(generator, record.generator)
        self._progress[_SEARCH_KEY] = FitProgress(generator_state=generator.bit_generator.state)

    def _set_generator_state(self, generator: np.random.Generator, state: Any) -> None:
        """Set a random generator to a state from the file; raise ValueError if this state is invalid."""
        try:
            generator.bit_generator.state = state
        except (TypeError, ValueError, KeyError, OverflowError):
            raise self._unusable_error(Damaged("the recorded state of the random generator is invalid")) from None

    def _read_progress(self, key: str, family: Family, generator: np.random.Generator) -> FitProgress:
        """Return the recorded progress of a fit, or the initial progress of a fit that the file does not record."""
        record = self._pending.pop(key, None)
        if record is None:
            return FitProgress(generator_state=generator.bit_generator.state)
        try:
            self._set_generator_state(generator, record.generator)
            state, best = (None if run is None else _read_state(run, family) for run in (record.state, record.best))
            ends = () if best is None else tuple(_restore_state(run, best.model) for run in record.ends)
        except Damaged as damage:
            raise self._unusable_error(damage) from None
        return FitProgress(record.n_done, record.generator, state, best, ends)

    def _record_states(
        self,
        run: EMRun,
        status: FitProgress,
        generator: np.random.Generator,
        last: list[EMState],
        initial: EMState | None,
    ) -> Iterator[EMState]:
        for state in run(status.run_state):
            status.run_state, status.generator_state = state, generator.bit_generator.state
            last[:] = [state]  # stored before the yield, because the caller may stop at the final state
            if state.stop_reason is None and monotonic() - self._last_write_time > SECONDS_BETWEEN_WRITES:
                self._write_async()
            yield state

    def _write_after_interrupt(self) -> None:
        """Write a checkpoint if the fit has made progress since the last checkpoint."""
        status = self._progress.get(self._current_key)
        stop_reason = None if status is None or status.run_state is None else status.run_state.stop_reason
        if self._position != self._written_position and stop_reason in _RESUMABLE_STOP_REASONS:
            self._write(self._record(), self._position)

    @property
    def _position(self) -> tuple[str, int, int]:
        """Return the key of the current fit, the index of its current run, and the number of steps of this run."""
        status = self._progress.get(self._current_key, FitProgress())
        return self._current_key, status.n_runs_done, 0 if status.run_state is None else status.run_state.trace.n_steps

    def _write_async(self) -> None:
        """Write a checkpoint in a thread while the fit continues; do nothing if the previous thread still writes."""
        if self._writer is not None and self._writer.is_alive():
            return
        if self.failure is not None and not self._has_warned:
            self._has_warned = True
            errors.warn(f"{self.failure} The fit continues without a checkpoint.")
        self._last_write_time = monotonic()
        self._writer = Thread(target=self._write, args=(self._record(), self._position), name="gaussmix-checkpoint")
        self._writer.start()

    def _write(self, record: CheckpointRecord, position: tuple[str, int, int]) -> None:
        try:
            write(self._path, record)
        except (OSError, MemoryError) as error:
            self.failure = f"{self._path} can't be written: {getattr(error, 'strerror', None) or error}."
        else:
            self.failure, self._written_position = None, position

    def _record(self) -> CheckpointRecord:
        records = {key: _make_progress_record(status) for key, status in self._progress.items()}
        return CheckpointRecord(self._identity, self._pending | records)

    def _resume(self, identity: Mapping[str, Json]) -> None:
        """Read the checkpoint file; raise ValueError unless it was written by a fit with the same `identity`."""
        name = os.fspath(self._path)
        if not self._path.is_file():
            raise ValueError(f"checkpoint={name!r} is not a regular file. Pass the path of a file.")
        try:
            record = read(self._path)
        except Damaged as damage:
            raise self._unusable_error(damage) from None
        check_identity(name, record.identity, identity)
        self._pending = dict(record.fits)

    def _unusable_error(self, damage: Damaged) -> ValueError:
        return ValueError(
            f"{self._path} is not a usable checkpoint: {damage}. Remove the file to start again, or pass another path."
        )


def _make_progress_record(status: FitProgress) -> ProgressRecord:
    state, best = (None if run is None else _make_run_record(run) for run in (status.run_state, status.best_state))
    ends = [_make_run_record(end, has_model=False) for end in status.final_states]
    return ProgressRecord(status.n_runs_done, status.generator_state, state, best, ends)


def _make_run_record(state: EMState, *, has_model: bool = True) -> RunRecord:
    model, trace = state.model, state.trace
    arrays = {"log_likelihood": np.array(trace.log_likelihood), "objective": np.array(trace.objective)}
    if has_model:
        arrays |= {"weights": model.weights, "means": model.means, "covariances": model.covariances.array}
        arrays |= {} if model.noise is None else model.noise.arrays()
    arrays |= {} if trace.posterior_gap is None else {"posterior_gap": np.array(astuple(trace.posterior_gap))}
    frozen = {k: why.name for k, why in trace.frozen_components.items()}
    events = [(each.component, each.feature, each.step, each.reason.name, each.remedy) for each in trace.events]
    search = [] if trace.search is None else [*vars(trace.search).values()]
    stop_reason = None if state.stop_reason is None else state.stop_reason.name
    return RunRecord(arrays, trace.path_arrays, frozen, stop_reason, events, search)


def _read_state(run: RunRecord, family: Family) -> EMState:
    """Restore the state of a run from its record; raise `Damaged` if the record is invalid."""
    arrays = run.arrays
    weights, means, covariances = arrays["weights"], arrays["means"], arrays["covariances"]
    try:
        noise = NoiseComponent.from_arrays(arrays)
    except ValueError:
        raise Damaged("its noise is damaged") from None
    reason = invalid_reason(weights, means, covariances, family, noise, is_factored=False)
    if reason is not None:
        raise Damaged(reason)
    if any(k not in range(len(means)) for k in run.frozen):
        raise Damaged("the checkpoint freezes a component that its mixture does not have")
    return _restore_state(run, Model.from_arrays(weights, means, covariances, family, noise))


def _restore_state(run: RunRecord, model: Model) -> EMState:
    """Restore the state of a run from its record and the given model; raise `Damaged` if the record is invalid."""
    try:
        stop_reason = None if run.stop_reason is None else StopReason[run.stop_reason]
        frozen = {k: FreezeReason[why] for k, why in run.frozen.items()}
        events = tuple(DegeneracyEvent(k, i, n, FreezeReason[why], did) for k, i, n, why, did in run.events)
    except KeyError:
        raise Damaged("its header is damaged") from None
    log_likelihood, objective = run.arrays["log_likelihood"], run.arrays["objective"]
    if log_likelihood.ndim != 1 or objective.shape != log_likelihood.shape:
        raise Damaged("the arrays of steps have the wrong shape")
    search = SearchReport(*run.search) if run.search else None
    gap = None
    if (gap_values := run.arrays.get("posterior_gap")) is not None:
        if gap_values.shape != (4,) or not (1 <= gap_values[0] < 2**31 and 0 <= gap_values[1] <= MAX_NEIGHBOURS):
            raise Damaged("the number of candidate components is damaged")
        gap = PosteriorGap(int(gap_values[0]), int(gap_values[1]), *gap_values[2:].tolist())
    trace = Trace(log_likelihood.tolist(), objective.tolist(), frozen, run.memory, events, search, gap)
    return EMState(model, trace, stop_reason)


# Names of estimator parameters that do not change the result of a fit.
IGNORED_PARAMETERS = ("callbacks", "checkpoint", "n_jobs", "max_time", "verbose", "verbose_interval", "forgetting")
_MAX_SHOWN_VALUES = 20  # maximum number of values of an array that a message shows


def fit_identity(
    estimator: BaseEstimator, source: Source, continued_fit: Sequence[Any] = (), labels: Sequence[Any] = ()
) -> dict[str, Json]:
    """Return JSON values for everything that determines the exact result of a fit, such as rows and settings.

    Parameters
    ----------
    estimator : estimator with its parameters.
    source : the rows of X with the weights that the user passed.
    continued_fit : arrays and numbers of the earlier fit that this fit continues, if any.
    labels : arrays of the known labels of rows, if any.
    """
    fingerprint, profile, sample = source.collect(Fingerprint), source.row_totals, source.sample(LEAF_ROWS)
    variances = [] if not source.has_errors else [each for each in map(_x_errors, source.blocks()) if each is not None]
    values = [np.uint64(fingerprint.total), sample.rows, *([] if sample.row_weight is None else [sample.row_weight])]
    weights = [profile.total_weight, profile.n_positive, profile.largest_weight]
    parameters = estimator.get_params(deep=False)
    settings = {name: _comparable(name, value) for name, value in parameters.items() if name not in IGNORED_PARAMETERS}
    identity = {
        "the version of gaussmix": package_version(),
        "the estimator": type(estimator).__name__,
        "the shape of X": [source.n_rows, source.n_features],
        "the type of X": source.dtype.name,
        "the sum, number and maximum of the weights": weights,
        **settings,
        "the content of X or sample_weight": _hash_values(values),
        "the earlier fit": _hash_values(continued_fit),
        "the content of labels": _hash_values(labels),
        "the content of X_error": _hash_values(variances),
    }
    return json.loads(json.dumps(identity))  # converts tuples to lists, because reading a file yields lists


def _x_errors(block: Block) -> Any:
    """Return the measurement errors of a block, or only the errors of the first row if all rows have equal errors."""
    return block.error if block.error is None or block.error.strides[0] else block.error[:1]


def _comparable(name: str, value: Any) -> Json:
    """Convert the value of a parameter to a JSON value; equal values have equal JSON values."""
    if callable(value):
        return "a callable"
    if isinstance(value, np.random.RandomState):
        return "a RandomState"  # the file stores the generator's state separately
    if value is None or isinstance(value, str | bool | int | float | np.generic | dict | Value):
        return to_json(name, value)
    if isinstance(value, list | tuple) and any(isinstance(each, Value) for each in value):
        return to_json(name, [*value])
    array = np.asarray(value)
    return array.tolist() if array.size <= _MAX_SHOWN_VALUES and array.dtype.kind in "biuU" else _hash_values([array])


def _hash_values(values: Iterable[Any]) -> Json:
    seal = sha256()
    for each in values:
        array = np.ascontiguousarray(each)
        if array.dtype.kind == "O":  # the bytes of an object array are pointers, which differ for equal values
            array = array.astype(str)
        seal.update(f"{array.dtype.str}{array.shape}".encode())
        seal.update(array.data)
    return {"sha256": seal.hexdigest()}


def check_identity(path: str, saved: Mapping[str, Json], current: Mapping[str, Json]) -> None:
    """Raise ValueError for the first difference between the saved identity and the current identity of a fit."""
    for what, value in current.items():
        if saved.get(what) != value:
            is_shown = not isinstance(value, dict) and not isinstance(saved.get(what), dict)
            difference = f"was {saved.get(what)!r:.60} and is {value!r:.60}" if is_shown else "differs"
            raise ValueError(
                f"{path} is the checkpoint of another fit: {what} {difference}. Pass the same data and settings to "
                "resume that fit, remove the file to start again, or pass another path."
            )
