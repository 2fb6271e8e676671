"""A whole fit gives the same bits with other instruction sets, in the core, in NumPy and in the BLAS."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaussmix import FAMILIES
from gaussmix.numerics.core import native_target

CHILD = Path(__file__).with_name("child.py")
FEW = ["tied", "EVE", "factor_analyzer"]
pytestmark = pytest.mark.skipif(native_target() is None, reason="the NumPy engine is the same to rounding only")


def digests(structures, **environment):
    """Digests of fits of structures from each start, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, CHILD],
        input=json.dumps(["fits_of_all_kinds", {"structures": structures}]) + "\n",
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout)


def dispatched_features():
    """What NumPy would choose kernels by on this processor."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


@pytest.mark.timeout(900)  # two processes make all kinds of fits, one of them without fast instructions
@pytest.mark.parametrize(
    "structures",
    [FEW, pytest.param([name for name in FAMILIES if name not in FEW], marks=pytest.mark.heavy)],
    ids=["few", "others"],
)
@pytest.mark.heavy
def test_another_instruction_set_another_blas_and_more_threads_change_no_bit(structures):
    """All at once: where it fails, leave out one after the other."""
    features = dispatched_features()
    assert features, "NumPy chooses nothing by the processor here"
    other = {"GAUSSMIX_ISA": "avx2", "NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_CORETYPE": "Nehalem"}
    many = digests(structures, **other, OPENBLAS_NUM_THREADS="3", OMP_NUM_THREADS="3")
    assert many == digests(structures)
