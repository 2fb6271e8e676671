"""BLAS on one thread, and as it was afterwards."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from gaussmix.numerics.blas import one_blas_thread

NAMES = "inside_and_outside", "after_an_error", "in_another_thread"


def n_threads():
    return {each["filepath"]: each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def inside_and_outside():
    before = n_threads()
    assert set(before.values()) == {2}
    with one_blas_thread():
        assert set(n_threads().values()) == {1}
        with one_blas_thread():
            assert set(n_threads().values()) == {1}
        assert set(n_threads().values()) == {1}
    assert n_threads() == before


def after_an_error():
    before = n_threads()

    @one_blas_thread()
    def fail():
        np.linalg.cholesky(-np.eye(2))

    with pytest.raises(np.linalg.LinAlgError):
        fail()
    assert n_threads() == before


def in_another_thread():
    before, inside = n_threads(), []

    def ask():
        with one_blas_thread():
            inside.append(set(n_threads().values()))

    with one_blas_thread():
        pass
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert inside == [{1}]
    assert n_threads() == before


def test_blas_has_one_thread_inside_and_as_many_as_before_outside():
    """In a process whose BLAS has two: in pytest's workers it has one."""
    code = f"import runpy; own = runpy.run_path({__file__!r}); [own[name]() for name in {NAMES}]"
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
