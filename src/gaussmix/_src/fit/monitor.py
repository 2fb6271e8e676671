"""Monitor a running fit: call callbacks, check the time limit, and print the progress if `verbose` is set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np

from gaussmix._src.checks import check_count
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.best_of import EMRun, choose_better
from gaussmix._src.errors import ParameterTypeError, SingularCovarianceError, StopReason
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.sources.waiting import waiting_for
from gaussmix._src.validation.parameters import CHECKS, check_verbose


@dataclass(frozen=True, eq=False)
class Step:
    """The argument that a callback receives after each EM step.

    Parameters
    ----------
    start : index of the run, counted from 0.
    iteration : number of EM steps that this run has made.
    log_likelihood : mean log-likelihood of the rows under the mixture before the step, in nats per row.
    mixture : mixture after the step.
    seconds : time since the beginning of the fit, in seconds.
    rows_per_second : number of rows of X divided by the duration of this step.
    candidate : in a model selection, the row of `results_` that is being fitted; otherwise None.
    """

    start: int
    iteration: int
    log_likelihood: float
    mixture: Mixture
    seconds: float
    rows_per_second: float
    candidate: int | None = None


Callback = Callable[[Step], object]


class Monitor(FitOption):
    """Fit option that calls callbacks after each EM step, prints progress, and ends fits on request or at `max_time`.

    Inside the `with` block, the fit waits for the workers of a cluster for at most `max_time` seconds. At the end of
    the block, scikit-learn's callbacks are torn down, even if the fit failed.
    """

    def check_parameters(self) -> Sequence[str]:
        estimator = self.estimator
        self._max_time = None if estimator.max_time is None else CHECKS["max_time"](estimator.max_time)
        self._deadline = math.inf if self._max_time is None else monotonic() + self._max_time
        self._callbacks = check_callbacks(getattr(estimator, "callbacks", None))
        # `partial_fit` does not call scikit-learn's callbacks.
        self._has_tasks = "_skl_callbacks" in vars(estimator) and "X" in self.arguments
        self._verbose = check_verbose(getattr(estimator, "verbose", 0))
        self._verbose_interval = check_count("verbose_interval", getattr(estimator, "verbose_interval", 10), 1)
        self._has_callbacks, self._exit_stack = bool(self._callbacks) or self._has_tasks, ExitStack()
        self.is_sequential = self._has_callbacks or self._verbose > 0
        self._fit_task: CallbackTask | None = None  # scikit-learn's task for the whole fit
        self._n_started: Counter[int | None] = Counter()  # number of runs of each candidate that have begun
        self._best_end: EMState | None = None  # best final state of the current runs, for scikit-learn's callbacks
        self._was_last_start = self._was_stopped = False
        self._skip_reasons: dict[int | None, StopReason] = {}  # for each candidate, why its remaining runs are skipped
        uses = {"callbacks": self._has_callbacks, "max_time": self._max_time is not None, "verbose": self._verbose > 0}
        return [name for name, is_used in uses.items() if is_used]

    def __enter__(self) -> Self:
        if "_skl_callbacks" in vars(self.estimator):
            from sklearn.callback import with_callbacks

            # `with_callbacks` tears the callbacks down after the method that it decorates, which does nothing here.
            self._exit_stack.callback(with_callbacks(lambda estimator: None), self.estimator)
        if self._max_time is not None:
            self._exit_stack.enter_context(waiting_for(self._max_time))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._exit_stack.__exit__(kind, error, at)

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        self._n_rows, self._feature_names = problem.data.raw_source.n_rows, self.estimator._names
        self._start_time, stopping = perf_counter(), plan.stopping
        if self._has_tasks:
            max_parts = {"candidate": len(plan.starts), "start": stopping.max_steps}
            n_parts = len(plan.starts) if plan.n_candidates is None else plan.n_candidates
            X, y, sample_weight = (self.arguments[name] for name in ("X", "y", "sample_weight"))
            self._fit_task = CallbackTask.from_fit(self.estimator, X, y, sample_weight, n_parts, max_parts)
        if self._has_callbacks or self._max_time is not None:
            stopping = replace(stopping, deadline=self._deadline, is_watched=True)
        plan = replace(plan, stopping=stopping, skip_reasons=self._skip_reasons)
        return replace(plan, find_stop_reason=self._find_stop_reason, report_progress=self._print_message)

    def _find_stop_reason(self) -> StopReason | None:
        """Return the reason why no further EM run may begin; None if a further run may begin."""
        if self._was_stopped:
            return StopReason.STOPPED
        return StopReason.TIME_LIMIT if monotonic() > self._deadline else None

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterator[EMRun]:
        candidate, scale = plan.candidate, problem.objective.objective_scale
        task, waiting, first = self._next_task(candidate), iter(runs), self._n_started[candidate]
        for start, run in enumerate(waiting, first):
            if start > first and monotonic() > self._deadline:
                self._skip_reasons[candidate] = StopReason.TIME_LIMIT
                break
            self._n_started[candidate] += 1
            if self._has_callbacks:
                run = partial(self._run_with_callbacks, run, start, candidate, task)
            if self._verbose:
                run = partial(_print_progress, run, start - first, self._verbose > 1, self._verbose_interval, scale)
            yield run
            if self._was_stopped or self._was_last_start:
                if next(waiting, None) is not None:
                    self._skip_reasons[candidate] = StopReason.STOPPED
                break
        if task is not None and candidate is not None:
            self._was_stopped |= task.end(None if self._best_end is None else Mixture._from_model(self._best_end.model))

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        if self._fit_task is not None:
            self._fit_task.end(fitted.mixture)
        return fitted

    def _print_message(self, message: str) -> None:
        """Print a message about work before the first EM step on all rows, if `verbose` is set."""
        if self._verbose:
            lapse = f"\t time lapse {perf_counter() - self._start_time:.5f}s" if self._verbose > 1 else ""
            print(f"  {message}{lapse}")

    def _next_task(self, candidate: int | None) -> CallbackTask | None:
        """Return scikit-learn's task for the next runs; None if there is no task or the candidate was fitted before."""
        self._best_end, self._was_last_start = None, False
        if self._fit_task is None or candidate is None:
            return self._fit_task
        return None if self._n_started[candidate] else self._fit_task.begin_subtask("candidate")

    def _run_with_callbacks(
        self, run: EMRun, start: int, candidate: int | None, task: CallbackTask | None, initial: EMState | None
    ) -> Iterator[EMState]:
        """Yield the states of a run, and call the callbacks after each step."""
        open_tasks = [] if task is None else [task.begin_subtask("start")]
        try:
            yield from self._call_callbacks(run(initial), start, candidate, open_tasks)
        except SingularCovarianceError:  # ends open tasks, because another initialisation may succeed
            for open_task in reversed(open_tasks):
                open_task.end(None)
            raise

    def _call_callbacks(
        self, states: Iterator[EMState], start: int, candidate: int | None, open_tasks: list[CallbackTask]
    ) -> Iterator[EMState]:
        """Yield states and call the callbacks; `open_tasks` holds the open tasks of the run and of its current step.

        A callback may request the end of the run when the task of a step ends, and the end of the fit when the task of
        the run ends.
        """
        n_steps, before = 0, perf_counter()
        if open_tasks and open_tasks[0].max_subtasks:
            open_tasks.append(open_tasks[0].begin_subtask("iteration"))
        for index, state in enumerate(states):
            is_last = state.stop_reason is not None
            if state.trace.n_steps > n_steps:
                n_steps, now = state.trace.n_steps, perf_counter()
                speed = self._n_rows / max(now - before, 1e-9)
                mixture = Mixture._from_model(state.model).with_feature_names(self._feature_names)
                value = state.trace.log_likelihood[-1]
                step = Step(start, n_steps, value, mixture, now - self._start_time, speed, candidate)
                # If the first state is the last, it was read from a checkpoint, and callbacks have already received it.
                was_called = is_last and index == 0
                is_stopped = not was_called and self._is_stopped_at(step)
                if len(open_tasks) > 1:
                    is_stopped |= open_tasks.pop().end(mixture)
                    if not (is_stopped or is_last) and n_steps < open_tasks[0].max_subtasks:
                        open_tasks.append(open_tasks[0].begin_subtask("iteration"))
                if is_stopped and not is_last:  # a callback requests the end of the run or of the fit
                    trace, is_last = replace(state.trace, path_arrays={}), True
                    state = EMState(state.model, trace, StopReason.STOPPED)
                before = perf_counter()
            if is_last and open_tasks:
                for open_task in reversed(open_tasks[1:]):  # `max_time` has cut a step
                    open_task.end(None)
                self._best_end = choose_better(self._best_end, state)
                self._was_last_start |= open_tasks[0].end(Mixture._from_model(state.model))
            yield state
            if is_last:
                return
        for open_task in reversed(open_tasks):  # the run has no final state if its candidate failed or time is over
            open_task.end(None)

    def _is_stopped_at(self, step: Step) -> bool:
        """Call the user's callbacks, and return whether a callback requests the end of the fit."""
        answers = [callback(step) for callback in self._callbacks]
        is_wanted = any(isinstance(each, bool | np.bool_) and bool(each) for each in answers)
        self._was_stopped |= is_wanted
        return is_wanted


@dataclass(frozen=True, eq=False)
class CallbackTask:
    """A task of scikit-learn's callback API (SLEP 23), that is, a fit or a part of a fit. A new task begins at once.

    Parameters
    ----------
    context : scikit-learn's context object of the task.
    arguments : arguments of each callback: the estimator and the arguments of `fit`.
    max_parts : map from the name of a task to its maximum number of subtasks.
    """

    context: Any
    arguments: Mapping[str, Any]
    max_parts: Mapping[str, int]

    def __post_init__(self) -> None:
        self.context.call_on_fit_task_begin(**self.arguments)

    @classmethod
    def from_fit(
        cls, estimator: Any, X: Any, y: Any, sample_weight: Any, n_tasks: int, max_parts: Mapping[str, int]
    ) -> CallbackTask:
        """Begin the task of the whole fit, with at most `n_tasks` subtasks."""
        from sklearn.callback import CallbackSupportMixin

        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        arguments = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        return cls(CallbackSupportMixin._init_callback_context(estimator, max_subtasks=n_tasks), arguments, max_parts)

    @property
    def max_subtasks(self) -> int:
        """Return the maximum number of subtasks of this task."""
        return int(self.context.max_subtasks)

    def begin_subtask(self, task_name: str) -> CallbackTask:
        """Begin a subtask with the name `task_name`, and return the subtask."""
        context = self.context.subcontext(task_name, max_subtasks=self.max_parts.get(task_name, 0))
        return CallbackTask(context, self.arguments, self.max_parts)

    def end(self, mixture: Mixture | None) -> bool:
        """End the task, with its fitted mixture if any; return whether a callback asks to end the enclosing task."""
        attributes = None if mixture is None else {"mixture_": mixture}
        return bool(self.context.call_on_fit_task_end(**self.arguments, reconstruction_attributes=attributes))


def check_callbacks(callbacks: Any) -> Sequence[Callback]:
    """Return `callbacks` as a sequence; raise TypeError unless it is a list of functions or None."""
    if callbacks is None:
        return ()
    if not isinstance(callbacks, list | tuple):
        raise ParameterTypeError(f"callbacks must be a list of functions or None, not {callbacks!r:.60}.")
    for callback in callbacks:
        if hasattr(callback, "on_fit_task_end"):
            raise ParameterTypeError(
                f"callbacks must contain functions, but {type(callback).__name__} is a callback of scikit-learn. Pass "
                "it to estimator.set_callbacks."
            )
        if not callable(callback):
            raise ParameterTypeError(f"callbacks must contain functions, not {callback!r:.60}.")
    return callbacks


def _print_progress(
    run: EMRun, start_index: int, has_details: bool, interval: int, objective_scale: float, initial: EMState | None
) -> Iterator[EMState]:
    """Yield the states of a run and print its progress; printed objectives are multiplied by `objective_scale`."""
    print(f"Initialization {start_index}")
    began = last = perf_counter()
    n_printed = 0
    for state in run(initial):
        now, trace = perf_counter(), state.trace
        objectives = [float("-inf"), *(objective_scale * each for each in trace.objective)]
        for step in range(n_printed + 1, trace.n_steps + 1):
            if step % interval == 0:
                change = objectives[step] - objectives[step - 1]
                details = f"\t time lapse {now - last:.5f}s\t ll change {change:.5f}" if has_details else ""
                print(f"  Iteration {step}{details}")
                last = now
        n_printed = trace.n_steps
        if state.stop_reason is not None and n_printed:
            how = "converged" if state.stop_reason is StopReason.CONVERGED else "did not converge"
            details = f" time lapse {now - began:.5f}s\t lower bound {objectives[-1]:.5f}." if has_details else ""
            print(f"Initialization {how}.{details}")
        yield state
