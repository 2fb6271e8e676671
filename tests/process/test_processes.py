"""Tests of fits in threads and processes, with little memory, and of kills and interrupts."""

import os
import signal
import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc and limits")
FAMILIES = "full", "tied", "diag", "spherical"


@pytest.mark.heavy
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_eight_simultaneous_fits_give_the_same_bits_as_one_fit(child, covariance_type):
    answer = child("fit_in_threads", covariance_type=covariance_type)
    assert answer["together"] == [answer["alone"]] * 8


@LINUX
def test_no_thread_outlives_a_fit(child):
    answer = child("threads_left_by_a_fit")
    assert answer["after"] == answer["before"]


@pytest.mark.heavy(n_default=1)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_fork_after_a_fit_gives_the_same_bits(child, covariance_type):
    answer = child("fit_after_fork", covariance_type=covariance_type)
    assert answer["child"] == answer["parent"]


@pytest.mark.heavy
@pytest.mark.parametrize("method", ["fork", "loky", "forkserver", "spawn"])
def test_fits_in_other_processes_give_the_same_bits(child, method):
    answer = child("fit_in_processes", method=method)
    assert answer["there"] == [answer["here"]] * 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_a_fit_on_one_processor_gives_the_same_bits(child):
    answer = child("fit_with_affinity")
    assert answer["on one"] == answer["everywhere"]


@pytest.mark.heavy
@LINUX
@pytest.mark.parametrize("megabytes", [8, 64, 300])
@pytest.mark.parametrize("method", ["fit", "predict_proba", "refit", "score_samples"])
def test_lack_of_memory_raises_memory_error(forking_child, method, megabytes):
    """Check forks of a process that has only imported modules: memory freed by earlier calls would exceed the limit."""
    answer = forking_child("out_of_memory", method=method, megabytes=megabytes)
    if megabytes < answer["needed"]:
        assert answer["raised"] == "MemoryError"
    else:
        assert answer["raised"] in ("MemoryError", "nothing")
    assert answer["unchanged"], "the estimator has changed"
    assert answer["same"], "a later fit in the process gives other bits"


@pytest.mark.heavy
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to begin fits again at once")
@pytest.mark.parametrize(
    ("fit", "n_kills"),
    [("small", 3), ("tied", 1)],
)
def test_a_killed_fit_resumes_to_the_same_bits(child, fit, n_kills, tmp_path, request):
    """Check that a fit that resumes after kill -9 at random moments ends with the bits of an undisturbed fit."""
    seed = sum(request.node.name.encode())
    answer = child("killed_fits", name=fit, path=str(tmp_path / "fit.ckpt"), n_kills=n_kills, seed=seed)
    assert answer["kills"] >= n_kills
    assert answer["ends"] > 0
    assert answer["other"] == 0, "a resumed fit gives other bits than the undisturbed fit"
    assert os.listdir(tmp_path) == []


DAEMON = """
import atexit, sys, threading, time, numpy as np
from gaussmix import GaussianMixture

stop = threading.Event()
rows = np.random.default_rng(0).normal(size=(100_000, 5))
model = GaussianMixture(4, tol=0, max_iter=3, n_jobs=int(sys.argv[2]), random_state=0, init_params="kmeans")

def compute():
    while not stop.is_set():
        getattr(model, sys.argv[1])(rows)

def close():
    stop.set()
    thread.join()

if sys.argv[3] == "join":
    atexit.register(close)
model.fit(rows)
thread = threading.Thread(target=compute, daemon=True)
thread.start()
time.sleep(0.3)
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("method", "n_jobs", "end"),
    [
        ("fit", 2, "leave"),
        ("fit", 1, "leave"),
        ("score_samples", 1, "leave"),
        ("score_samples", 2, "leave"),
        ("fit", 1, "join"),
    ],
)
def test_a_process_ends_while_a_daemon_thread_computes(method, n_jobs, end):
    command = [sys.executable, "-W", "ignore", "-c", DAEMON, method, str(n_jobs), end]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


TIMERS = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers to send the signal")

DELAYS = [0.002, 0.03, 0.15]  # delays of the signals after the moment, in processor seconds
QUICK = [("many rows", "sampling"), ("k-means", "k-means++"), ("full", "EM"), ("small table", "EM")]
SLOW = [
    ("many responsibilities", "checking responsibilities"),
    ("ties", "sorting"),
    ("many rows", "EM"),
    ("k-means", "k-means"),
    ("tied", "EM"),
    ("many components", "the first M-step"),
    ("many features", "factorising"),
    ("many of both", "an M-step"),
    ("many integers", "converting"),
    ("many integers", "finding distinct rows"),
]


@pytest.mark.heavy(n_default=1)
@TIMERS
@pytest.mark.parametrize(
    ("fit", "moment", "n_jobs"),
    [(*case, n_jobs) for cases, n_jobs in [(QUICK, 3), (QUICK, 1), (SLOW, 3)] for case in cases],
)
def test_an_interrupt_ends_a_fit(child, fit, moment, n_jobs):
    """Check fits with a million steps, which would not end while the test waits for the child."""
    answer = child("interrupt_fit", fit=fit, moment=moment, delays=DELAYS, n_jobs=n_jobs)
    assert all(answer["interrupted"])
    assert answer["unchanged"], "the estimator has changed"
    assert answer["same"], "a later fit gives other bits"


@pytest.mark.heavy
@TIMERS
@pytest.mark.parametrize("n_jobs", [3, 1])
def test_an_interrupt_ends_fit_many(child, n_jobs):
    answer = child("interrupt_many", n_jobs=n_jobs)
    assert all(answer["interrupted"]), "the fits do not check for signals repeatedly"
    assert answer["same"], "later fits give other bits"


@pytest.mark.heavy(n_default=1)
@TIMERS
@pytest.mark.parametrize("n_jobs", [3, 1])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples"])
def test_an_interrupt_ends_predictions_of_many_rows(child, method, n_jobs):
    answer = child("interrupt_call", method=method, n_jobs=n_jobs)
    assert answer["interrupted"], "the call does not check for signals repeatedly"
    assert answer["same"], "a later call gives other bits"
