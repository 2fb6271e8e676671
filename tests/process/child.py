"""A process for dangerous tests, which reads one request per line from standard input, and answers in one line.

The process runs as a script, without pytest, whose threads and handlers would interfere. A request is JSON, with the
name of a function of this file and its arguments. The answer is JSON, too.
"""

import json
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone

import gaussmix._src.em.initialisation.initial
import gaussmix._src.em.initialisation.kmeans
import gaussmix._src.em.step.loop
import gaussmix._src.engines
import gaussmix._src.fit.checkpoint
import gaussmix._src.fit.fit
import gaussmix._src.fit.problem
import gaussmix._src.validation.rows
from gaussmix import GaussianMixture, fit_many
from gaussmix._src.em.initialisation import sample as distinct
from gaussmix._src.functions.fit_many import _ManyFits
from gaussmix._src.interfaces.whitening import triangular
from gaussmix._src.sources.array import ArraySource

FAMILY_NAMES = "full", "tied", "diag", "spherical"


def rows_of(n_rows, n_features):
    """Return rows in four overlapping groups."""
    rng = np.random.default_rng(n_rows + n_features)
    centres = rng.normal(size=(4, n_features))
    return centres[rng.integers(4, size=n_rows)] + rng.normal(size=(n_rows, n_features))


def joint_labels(n_rows, n_components):
    return np.arange(n_rows) % n_components


def bits(estimator):
    """Return all results of a fit, as bytes in hexadecimal."""
    mixture = estimator.mixture_
    arrays = mixture.weights, mixture.means, mixture.covariances, np.array(estimator.lower_bounds_)
    return [array.tobytes().hex() for array in arrays]


def digest(estimator):
    return joblib.hash(bits(estimator))


def long_fit(name):
    """Return rows and estimator parameters of a fit that takes long."""
    rng = np.random.default_rng(0)
    if name == "many rows":
        return rows_of(2_000_000, 2), {"n_components": 4}
    if name == "ties":  # the first 100 columns are constant
        rows = np.ones((65_520, 128))
        rows[:, 100:] = rng.integers(0, 2, (65_520, 28))
        return rows, {"n_components": 2}
    if name == "k-means":
        return rows_of(65_520, 16), {"n_components": 256, "covariance_type": "diag"}
    if name == "small table":
        return rows_of(500, 3), {"n_components": 3, "init_params": "kmeans"}
    if name == "many integers":
        return rng.integers(0, 250, (1_000_000, 50), dtype=np.uint8), {"n_components": 2}
    if name == "many responsibilities":
        responsibilities = np.full((1_000_000, 50), 1 / 50)
        return rows_of(1_000_000, 2), {"n_components": 50, "covariance_type": "diag", "init_params": responsibilities}
    sizes = {
        "full": (20_000, 32, 32),
        "tied": (20_000, 32, 128),
        "many components": (4096, 32, 4096),
        "many features": (50, 4000, 1),
        "many of both": (1000, 8000, 1000),
    }
    n_rows, n_features, n_components = sizes[name]
    structure = name if name in FAMILY_NAMES else "full"
    rows = rows_of(n_rows, n_features)
    if name == "many of both":  # an initialisation from labels would take long
        start = {
            "means_init": rows,
            "covariances_init": np.ones(rows.shape),
            "weights_init": np.full(n_rows, 1 / n_rows),
        }
        return rows, {"n_components": n_components, "covariance_type": "diag", "reg_covar": 0.1, **start}
    return rows, {
        "n_components": n_components,
        "covariance_type": structure,
        "init_params": joint_labels(n_rows, n_components),
        "reg_covar": 0.1,
    }


class Returned(Exception):
    """Error that is raised if a function returns before Python has handled the required number of signals."""


def was_interrupted(call, owner, name, delay, n_signals=1):
    """Return whether KeyboardInterrupt ends a call, during which signals come every `delay` seconds.

    The handler raises KeyboardInterrupt at the last of `n_signals` signals. Python handles only one of all signals that
    arrive between two checks. Python must handle all required signals before the function returns. The delay is
    processor time of this process, which other processes do not change.
    """
    function, seen = getattr(owner, name), []

    def handle(number, frame):
        seen.append(number)
        if len(seen) == n_signals:
            raise KeyboardInterrupt

    def armed(*arguments, **keywords):
        setattr(owner, name, function)
        signal.setitimer(signal.ITIMER_PROF, delay, delay)
        result = function(*arguments, **keywords)
        if n_signals > 1:
            raise Returned
        return result

    signal.signal(signal.SIGPROF, handle)
    setattr(owner, name, armed)
    try:
        call()
    except Returned:
        return False
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        setattr(owner, name, function)
    return False


MOMENTS = {
    "converting": (gaussmix._src.validation.rows, "copied"),
    "checking responsibilities": (gaussmix._src.validation.initial, "check_assignment"),
    "finding distinct rows": (gaussmix._src.fit.problem, "distinct_rows"),
    "sampling": (ArraySource, "sample"),
    "sorting": (distinct, "native_target"),
    "k-means++": (gaussmix._src.em.initialisation.kmeans, "seed_centres"),
    "k-means": (gaussmix._src.em.initialisation.kmeans, "run_lloyd"),
    "the first M-step": (gaussmix._src.em.initialisation.initial.InitialMoments, "model"),
    "EM": (gaussmix._src.em.step.loop, "CoreSteps"),
    "an M-step": (gaussmix._src.em.step.loop, "next_model"),
    "factorising": (triangular, "factorise"),
}
LONG = ["k-means", "factorising"]  # calls that check for signals many times
SIGNALS = {"delay": 0.01, "n_signals": 10}


def interrupt_fit(fit, moment, delays, n_jobs):
    """Return whether signals after a moment end a fit, and whether the estimator and the next fit are unchanged."""
    rows, parameters = long_fit(fit)
    estimator = GaussianMixture(**parameters, max_iter=10**6, tol=0, random_state=0, n_jobs=n_jobs)
    small = rows_of(500, 3)
    other = GaussianMixture(2, max_iter=5, random_state=0, n_jobs=n_jobs)
    before = digest(clone(other).fit(small))
    old = GaussianMixture(2, random_state=0).fit(small)
    estimator._fitted, estimator.n_features_in_ = old._fitted, old.n_features_in_
    state = {name: id(value) for name, value in vars(estimator).items()}
    signals = [{"delay": delay} for delay in delays] + [SIGNALS] * (moment in LONG)
    interrupted = [was_interrupted(lambda: estimator.fit(rows), *MOMENTS[moment], **each) for each in signals]
    unchanged = {name: id(value) for name, value in vars(estimator).items()} == state
    after = digest(clone(other).fit(small))
    return {"interrupted": interrupted, "unchanged": unchanged, "same": after == before}


def interrupt_many(n_jobs):
    """Return whether signals end fits of many groups, in the core and one by one, and leave later fits unchanged.

    The fit of a large group takes seconds longer than the fit of a small group. In one order of these two groups, the
    thread that called the core usually fits the small group, and must check for signals while it waits.
    """
    groups, large = [rows_of(200, 2)] * 20, rows_of(60_000, 2)
    expected = fit_many(groups, 2, random_state=0, n_jobs=n_jobs).means.tobytes()
    options = {"random_state": 0, "tol": 0.0, "max_iter": 10_000, "n_jobs": n_jobs}
    interrupted = [
        was_interrupted(
            lambda start=start, some=some: fit_many(some, 3, init_params=start, **options), _ManyFits, name, **SIGNALS
        )
        for some, start, name in [
            (groups * 100, "kmeans", "fit_in_core"),
            (groups * 100, "random_from_data", "fit_one_by_one"),
            ([large, groups[0]], "kmeans", "fit_in_core"),
            ([groups[0], large], "kmeans", "fit_in_core"),
        ]
    ]
    same = fit_many(groups, 2, random_state=0, n_jobs=n_jobs).means.tobytes() == expected
    return {"interrupted": interrupted, "same": same}


def interrupt_call(method, n_jobs):
    """Return whether a signal ends a mixture's predictions of many rows."""
    rows = rows_of(4096, 64)
    labels = joint_labels(4096, 64)
    fitted = GaussianMixture(64, max_iter=1, init_params=labels, reg_covar=0.1, n_jobs=n_jobs).fit(rows)
    many = np.broadcast_to(rows[0], (200_000 if method == "predict_proba" else 1_000_000, 64))
    expected = getattr(fitted, method)(rows).tobytes()
    interrupted = was_interrupted(lambda: getattr(fitted, method)(many), GaussianMixture, method, **SIGNALS)
    return {"interrupted": interrupted, "same": getattr(fitted, method)(rows).tobytes() == expected}


def fit_small(covariance_type="full", n_jobs=None):
    return GaussianMixture(4, covariance_type=covariance_type, max_iter=10, tol=0, random_state=0, n_jobs=n_jobs)


def fit_digest(covariance_type="full", n_jobs=None):
    return digest(fit_small(covariance_type, n_jobs).fit(rows_of(20_000, 5)))


def fit_in_threads(covariance_type):
    """Return digests of eight simultaneous fits, and of a single fit."""
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: fit_digest(covariance_type, 1 + i % 3), range(8)))
    return {"together": together, "alone": fit_digest(covariance_type)}


def n_threads_alive():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()


def threads_left_by_a_fit():
    """Return the numbers of threads of this process before and after a fit on four threads."""
    before = n_threads_alive()
    fit_digest(n_jobs=4)
    return {"before": before, "after": n_threads_alive()}


def fit_after_fork(covariance_type):
    """Return digests of the parent's fit, and of the child's fit after it."""
    parent = fit_digest(covariance_type, 4)
    return {"parent": parent, "child": call_in_a_fork(lambda: fit_digest(covariance_type, 4))}


def fit_with_affinity():
    """Return digests of fits on every processor and on one of them."""
    usable = os.sched_getaffinity(0)
    everywhere = fit_digest()
    os.sched_setaffinity(0, {min(usable)})
    try:
        return {"everywhere": everywhere, "on one": fit_digest()}
    finally:
        os.sched_setaffinity(0, usable)


def fit_in_processes(method):
    """Return digests of fits in two processes that are started by `method`, and of an earlier fit here."""
    here = fit_digest(n_jobs=4)
    if method == "loky":
        fits = joblib.Parallel(n_jobs=2, backend="loky")(
            joblib.delayed(fit_small().fit)(rows_of(20_000, 5)) for _ in "ab"
        )
        there = [digest(each) for each in fits]
    else:
        with multiprocessing.get_context(method).Pool(2) as pool:
            there = pool.map(fit_digest, ["full"] * 2)
    return {"here": here, "there": there}


def out_of_memory(method, megabytes):
    """Return what `call_with_little_memory` finds in a fork of this process, whose memory has not been used."""
    return call_in_a_fork(lambda: call_with_little_memory(method, megabytes))


def call_with_little_memory(method, megabytes):
    """Return the error of a call with little memory, the megabytes it needs, and whether the process can continue."""
    import resource

    rows = rows_of(20_000, 5)
    fitted = fit_small().fit(rows)
    before, state = digest(fitted), {name: id(value) for name, value in vars(fitted).items()}
    n_rows = 50_000_000 if method == "score_samples" else 20_000_000  # more than 300 MB in all calls on these rows
    many = np.broadcast_to(rows[0], (n_rows, 5))
    long_rows, parameters = rows_of(600, 600), {"n_components": 100, "init_params": joint_labels(600, 100)}
    large = GaussianMixture(**parameters, reg_covar=0.1, max_iter=2, n_jobs=2)
    calls = {  # calls, and the size of the largest array of each
        "fit": (lambda: large.fit(long_rows), 100 * 600**2),
        "refit": (lambda: fitted.fit(many), 5 * n_rows),
        "predict_proba": (lambda: fitted.predict_proba(many), fitted.n_components * n_rows),
        "score_samples": (lambda: fitted.score_samples(many), n_rows),
    }
    call, numbers = calls[method]
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + megabytes * 2**20, limits[1]))
    raised = "nothing"
    try:
        call()
    except BaseException as error:
        raised = next((kind.__name__ for kind in (MemoryError,) if isinstance(error, kind)), repr(error))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    unchanged = {name: id(value) for name, value in vars(fitted).items()} == state
    same = digest(fit_small().fit(rows)) == before
    return {"raised": raised, "needed": 8 * numbers / 2**20, "unchanged": unchanged, "same": same}


def checkpointed_fit(name, path):
    """Return rows, and an estimator that writes a checkpoint to a path."""
    one = {"tol": 1e-12, "max_iter": 20, "n_init": 1}  # an EM step takes tens of milliseconds
    if name == "tied":
        rows, parameters = rows_of(150_000, 6), {"n_components": 8, "covariance_type": "tied", **one}
    else:
        rows, parameters = rows_of(1_500, 4), {"n_components": 6, "tol": 1e-9, "max_iter": 1_500, "n_init": 2}
        parameters["init_params"] = ["random", "random_from_data"]
    return rows, GaussianMixture(**parameters, random_state=0, n_jobs=2, checkpoint=path)


def killed_fits(name, path, n_kills, seed):
    """Fit without kills; then start the fit repeatedly and kill it after random times, until it ends.

    Fits are repeated until there were `n_kills` kills. The result counts kills, ends, and ends with other bits.
    """
    rng, rows = np.random.default_rng(seed), checkpointed_fit(name, path)[0]
    gaussmix._src.fit.checkpoint.SECONDS_BETWEEN_WRITES = 0.01
    began = time.monotonic()
    expected = fit_in_a_fork(name, path, rows, None)
    seconds = time.monotonic() - began
    found = {"kills": 0, "ends": 0, "other": 0}
    while found["kills"] < n_kills:
        end = None
        while end is None:
            end = fit_in_a_fork(name, path, rows, rng.uniform(0.2, 1.1) * seconds)
            found["kills"] += end is None
        found["ends"] += 1
        found["other"] += end != expected
    return found


def fit_in_a_fork(name, path, rows, seconds):
    """Return the digest of a fit in a separate process, or None if it is killed after `seconds`."""
    return call_in_a_fork(lambda: digest(checkpointed_fit(name, path)[1].fit(rows)), seconds)


def call_in_a_fork(function, seconds=None):
    """Return the result of a function in a fork of this process, or None if the fork is killed after `seconds`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.write(writing, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        if seconds is not None and not select.select([answer], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
        found = answer.read()
    os.waitpid(child, 0)
    return json.loads(found) if found else None


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        for line in sys.stdin:
            function, arguments = json.loads(line)
            answers.write(json.dumps(globals()[function](**arguments)) + "\n")
