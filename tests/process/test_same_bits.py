"""A whole fit gives the same bits with other instruction sets, in the core, in NumPy and in the BLAS."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaussmix.numerics.core import native_target

CHILD = Path(__file__).with_name("child.py")
pytestmark = pytest.mark.skipif(native_target() is None, reason="the NumPy engine is the same to rounding only")


def digests(**environment):
    """Digests of a fit of each structure from each start, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, CHILD],
        input=json.dumps(["fits_of_all_kinds", {}]) + "\n",
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def default():
    return digests()


def dispatched_features():
    """What NumPy would choose kernels by on this processor."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


@pytest.mark.skipif(native_target() is not None and native_target().isa == "avx2", reason="has one instruction set")
def test_the_core_with_avx2(default):
    assert digests(GAUSSMIX_ISA="avx2") == default


def test_numpy_without_its_instruction_sets(default):
    features = dispatched_features()
    assert features, "NumPy chooses nothing by the processor here"
    assert digests(NPY_DISABLE_CPU_FEATURES=" ".join(features)) == default


def test_another_blas_kernel_and_number_of_threads(default):
    assert digests(OPENBLAS_CORETYPE="Nehalem", OPENBLAS_NUM_THREADS="3", OMP_NUM_THREADS="3") == default


def test_everything_at_once(default):
    environment = {"GAUSSMIX_ISA": "avx2", "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched_features())}
    assert digests(**environment, OPENBLAS_CORETYPE="Nehalem") == default
