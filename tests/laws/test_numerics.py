"""Tests of arithmetic outside the core: BLAS on a single thread, and sums and softmax of logarithms."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax
from threadpoolctl import threadpool_info

from gaussmix._src.numerics.elementary import log_sum, softmax, softmax_and_log_sum
from gaussmix._src.numerics.threads import one_blas_thread
from gaussmix._src.testing.closeness import EPS

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

    def record_threads():
        with one_blas_thread():
            inside.append(set(n_threads().values()))

    with one_blas_thread():
        pass
    thread = threading.Thread(target=record_threads)
    thread.start()
    thread.join()
    assert inside == [{1}]
    assert n_threads() == before


def test_one_blas_thread_limits_blas_and_restores_the_number_of_threads():
    """Check BLAS in a new process with two threads, because BLAS has a single thread in pytest's workers."""
    code = f"import runpy; own = runpy.run_path({__file__!r}); [own[name]() for name in {NAMES}]"
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("axis", [0, 1])
def test_log_sum_and_softmax_agree_with_scipy(axis: int, rng: np.random.Generator) -> None:
    log_terms = 1e3 * rng.standard_normal((6, 5))
    log_terms[2, 1] = -np.inf
    expected = logsumexp(log_terms, axis=axis)
    for found in log_sum(log_terms, axis), softmax_and_log_sum(log_terms, axis)[1]:
        np.testing.assert_allclose(found, expected, rtol=4 * EPS)
    np.testing.assert_allclose(softmax(log_terms, axis), scipy_softmax(log_terms, axis), rtol=1e3 * 16 * EPS)


def test_log_sum_of_minus_infinities_is_minus_infinity() -> None:
    log_terms = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    np.testing.assert_array_equal(log_sum(log_terms), [-np.inf, 0.0])
    np.testing.assert_array_equal(softmax_and_log_sum(log_terms)[1], [-np.inf, 0.0])
