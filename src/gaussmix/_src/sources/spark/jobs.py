"""Run Spark jobs with names in Spark's UI, wait for their results, and convert known failures to clear errors."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from errno import ENOENT
from functools import cache, partial
from threading import Thread, get_ident
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyspark.util import inheritable_thread_target

from gaussmix._src.sources.remote import check_version, version_error
from gaussmix._src.sources.waiting import wait_for
from gaussmix._src.version import package_version

WORKER_NOUNS = "Spark executor", "executors"  # for errors: the process that lacks a module, and where to install it
PYTHON = (
    " If they have it, Spark uses another Python there, by default the python3 of PATH: set PYSPARK_PYTHON before the "
    "session begins, on this machine to sys.executable."
)
_DEATH_MESSAGES = re.compile(
    r"Task (\d+) in stage \S+ failed (\d+) times.*?(Python worker exited|ExecutorLostFailure)", re.DOTALL
)
_MISSING_FILE = re.compile(r"FILE_NOT_EXIST\] Encountered error while reading file (\S+?)\.? ")
_UNLIKE = re.compile(
    r"DATA_TYPE_MISMATCH\] Encountered error while reading file (\S+)\. .*? column \[(.*?)\]\. "
    r"Expected Spark type (\S+), actual Parquet type (\S+)\. "
)
Batches = Iterator[pa.RecordBatch]


def on_executors(frame: Any, work: Callable[..., Batches], schema: str) -> Any:
    """Return a data frame of the results of `work`; its tasks check the executor's version of gaussmix."""
    return frame.mapInArrow(partial(_checked, work=work, version=package_version()), schema)


def _checked(batches: Batches, work: Callable[[Batches], Batches], version: str) -> Batches:
    check_version(version, *WORKER_NOUNS)
    _freeze_objects(len(sys.modules))
    return work(batches)


@cache
def _freeze_objects(n_modules: int) -> None:
    """Exclude all existing objects, mainly modules, from garbage collection, once for each number of modules.

    Spark runs the garbage collector after each task. Examining all modules would take the collector as long as an EM
    step over a million rows. Objects that exist before a task were examined after the previous task.
    """
    gc.freeze()


def run_job(frame: Any, doing: str) -> pa.Table:
    """Compute a data frame in a Spark job, and return its rows; `doing` describes the job in Spark's UI.

    Raises
    ------
    TimeoutError : there was no executor until `max_time` had passed.
    ImportError : an executor has no gaussmix, or a different version from this process.
    RuntimeError : the work on a partition killed workers repeatedly.
    FileNotFoundError : a file of the data frame no longer exists.
    ValueError : the type of a column in a file differs from its type in the data frame.
    MemoryError : the rows exceed `spark.driver.maxResultSize`.
    """
    session, tag, work = frame.sparkSession, f"gaussmix-{uuid4().hex}", Future[pa.Table]()
    context = getattr(session, "sparkContext", None)  # None if Spark Connect is used
    progress = _Progress()

    @inheritable_thread_target(session)  # type: ignore[untyped-decorator]
    def run() -> None:
        if not work.set_running_or_notify_cancel():
            return
        try:
            session.addTag(tag)
            if context is None:
                progress.thread = get_ident()
                session.registerProgressHandler(progress)
            else:
                context.setJobDescription(f"gaussmix: {doing}")
            work.set_result(frame.toArrow())
        except BaseException as error:
            work.set_exception(error)
        finally:
            if context is None:
                with suppress(ValueError):  # other code may have removed all handlers
                    session.removeProgressHandler(progress)

    Thread(target=run, name="gaussmix-job", daemon=True).start()
    try:
        has_workers = progress.has_workers if context is None else partial(_has_executors, context)
        return wait_for(work, has_workers, "The Spark application", _advice(context))
    except Exception as error:
        explained = _describe_error(str(error))
        if explained is None:
            raise
        raise explained from error
    finally:
        if not work.done():
            session.interruptTag(tag)


class _Progress:
    """A handler of progress reports that the Spark Connect server sends for the query of one thread."""

    thread = 0
    waits = False  # whether no task runs although some tasks are not done

    def __call__(self, stages: Iterable[Any], inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        if get_ident() == self.thread:
            self.waits = not inflight_tasks and any(each.num_completed_tasks < each.num_tasks for each in stages)

    def has_workers(self) -> bool:
        return not self.waits


def _has_executors(context: Any) -> bool:
    if re.fullmatch(r"local(\[.*\])?", context.master):
        return True
    return len(context._jsc.sc().statusTracker().getExecutorInfos()) > 1  # one of these is the driver


def _advice(context: Any) -> str:
    if context is None:  # with Spark Connect, whose server reports only tasks
        return "See in its UI whether it gets executors, and whether other work holds all of them."
    address = context.uiWebUrl or "its UI"
    return f"See at {address} and in the logs of the cluster manager why it gets no executors."


def _describe_error(error: str) -> Exception | None:
    """Return an error with a clear message for the text of a Spark error; None if the Spark error is unknown."""
    version = version_error(error, *WORKER_NOUNS, PYTHON)
    if version is not None:
        return version
    deaths = _DEATH_MESSAGES.search(error)
    if deaths is not None:
        return RuntimeError(
            f"Partition {deaths[1]} of a Spark job killed its worker {deaths[2]} times, the limit that "
            "spark.task.maxFailures sets. Usually memory is short: use smaller partitions, or larger executors."
        )
    missing_file = _MISSING_FILE.search(error)
    if missing_file is not None:
        reason = "a file of the Spark frame was deleted or replaced; read the frame again"
        return FileNotFoundError(ENOENT, reason, missing_file[1])
    unlike = _UNLIKE.search(error)
    if unlike is not None:
        file, column, wanted, result = unlike.groups()
        return ValueError(
            f"{file}, column {column!r}: it contains {result}, but the Spark frame has {wanted}: "
            "all files must have the same columns."
        )
    if "spark.driver.maxResultSize" in error:
        return MemoryError(
            "The results of a pass exceed spark.driver.maxResultSize. Raise this limit, or set it to 0 (no limit), or "
            "fit fewer components or a simpler covariance_type."
        )
    return None
