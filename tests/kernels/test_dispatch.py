"""Tests of the selection of kernels, and of the environment variable for it."""

import os
import subprocess
import sys

from gaussmix import _core as core

# The program imports only the extension, because importing the package takes seconds.
PRINT_ACTIVE_ISA = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_core", sys.argv[1])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
print(core.active().isa)
"""


def active_isa(**environment):
    """Return the active instruction set of a new interpreter."""
    inherited = {name: value for name, value in os.environ.items() if name != "GAUSSMIX_ISA"}
    command = [sys.executable, "-c", PRINT_ACTIVE_ISA, core.__file__]
    return subprocess.run(command, capture_output=True, text=True, env=inherited | environment, check=False)


def test_the_fastest_instruction_set_is_active(targets):
    assert active_isa().stdout.strip() == targets[-1].isa
    assert active_isa(GAUSSMIX_ISA="").stdout.strip() == targets[-1].isa


def test_targets_are_sorted_by_speed_and_the_first_runs_on_every_processor(targets):
    names = [target.isa for target in targets]
    assert names == [isa for isa in ("portable", "neon", "avx2", "avx512") if isa in names]
    assert names[0] in ("portable", "neon")


def test_gaussmix_isa_selects_the_instruction_set(target):
    assert active_isa(GAUSSMIX_ISA=target.isa).stdout.strip() == target.isa


def test_an_unknown_gaussmix_isa_raises_an_error_that_lists_the_targets(targets):
    answer = active_isa(GAUSSMIX_ISA="mmx")
    assert answer.returncode != 0
    assert "ValueError" in answer.stderr
    for target in targets:
        assert target.isa in answer.stderr


def test_a_tile_has_144_rows():
    assert core.TILE_ROWS == 144
