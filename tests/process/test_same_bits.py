"""Tests that a fit gives the same bits with other instruction sets in the core, in NumPy and in the BLAS."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaussmix import FAMILIES, _core


def digests(names, **environment):
    """Return digests of the fits of `tests/fit_hashes.py`, in a separate interpreter."""
    command = [sys.executable, Path(__file__).parents[1] / "fit_hashes.py", *names]
    variables = os.environ | environment
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=300)
    lines = dict(line.split(": ") for line in done.stdout.splitlines())
    assert {name.split()[0] for name in lines} == set(names)
    return lines


def dispatched_features():
    """Return the features of this processor by which NumPy would choose kernels."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


def targets():
    """Return the instruction sets of this processor without the fastest one, or only that one if there is no other."""
    names = [target.isa for target in _core.targets()]
    return names[:-1] or names


@pytest.mark.heavy
@pytest.mark.timeout(900)  # the processes run many fits, some of them without fast instructions
def test_instruction_set_blas_and_threads_do_not_change_a_fit():
    """Check all changes at once: to find the cause of a failure, leave out one after the other.

    A process runs the fits of all structures, because it would take longer to start a process for a structure.
    """
    features = dispatched_features()
    assert features, "NumPy does not choose kernels by processor features on this machine"
    other = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_CORETYPE": "Nehalem"}
    found = digests([*FAMILIES, "options"])
    for isa in targets():  # portable kernels take up to 16 times as long, so they run only the options
        names = [*FAMILIES, "options"] if isa == targets()[-1] else ["options"]
        expected = {name: digest for name, digest in found.items() if name.split()[0] in names}
        assert digests(names, GAUSSMIX_ISA=isa, **other, OPENBLAS_NUM_THREADS="3", OMP_NUM_THREADS="3") == expected
