"""Selection of the kernels, and the environment variable for it."""

import os
import subprocess
import sys

from gaussmix import _core as core

# Imports the extension alone, because importing the package takes seconds.
ASK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_core", sys.argv[1])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
print(core.active().isa)
"""


def active_isa(**environment):
    """Return the active instruction set of a new interpreter."""
    inherited = {name: value for name, value in os.environ.items() if name != "GAUSSMIX_ISA"}
    command = [sys.executable, "-c", ASK, core.__file__]
    return subprocess.run(command, capture_output=True, text=True, env=inherited | environment, check=False)


def test_the_fastest_is_active(targets):
    assert active_isa().stdout.strip() == targets[-1].isa
    assert active_isa(GAUSSMIX_ISA="").stdout.strip() == targets[-1].isa


def test_slowest_first_and_one_for_every_processor(targets):
    names = [target.isa for target in targets]
    assert names == [isa for isa in ("portable", "neon", "avx2", "avx512") if isa in names]
    assert names[0] in ("portable", "neon")


def test_the_environment_forces(target):
    assert active_isa(GAUSSMIX_ISA=target.isa).stdout.strip() == target.isa


def test_an_unknown_name_is_refused(targets):
    answer = active_isa(GAUSSMIX_ISA="mmx")
    assert answer.returncode != 0
    assert "ValueError" in answer.stderr
    for target in targets:
        assert target.isa in answer.stderr


def test_tile():
    assert core.TILE_ROWS == 144
