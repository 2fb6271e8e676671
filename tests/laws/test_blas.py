"""BLAS on one thread, and as it was afterwards."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from gaussmix.numerics.blas import one_blas_thread


def n_threads():
    return {each["filepath"]: each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_one_thread_inside_and_as_before_outside():
    before = n_threads()
    with one_blas_thread():
        assert set(n_threads().values()) == {1}
        with one_blas_thread():
            assert set(n_threads().values()) == {1}
        assert set(n_threads().values()) == {1}
    assert n_threads() == before


def test_an_error_lifts_the_limit():
    before = n_threads()

    @one_blas_thread()
    def fail():
        np.linalg.cholesky(-np.eye(2))

    with pytest.raises(np.linalg.LinAlgError):
        fail()
    assert n_threads() == before


def test_any_thread_may_ask():
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
