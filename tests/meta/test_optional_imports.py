"""What is optional stays optional: gaussmix imports and fits without it, in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from gaussmix.numerics import core as numerics_core

FIT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))  # None in sys.modules makes an import fail
import gaussmix
import numpy as np
from gaussmix import GaussianMixture
gaussmix.__path__.insert(0, {folder!r})  # of another extension, if any
rows = np.random.default_rng(0).normal(size=(60, 2))
for _ in range(2):
    print(GaussianMixture(2, random_state=0, max_iter=1000).fit(rows).converged_)
"""


def fit_without(*blocked: str, folder: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Fit twice in a new process where some modules can't be imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAUSSMIX_")}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", FIT.format(blocked=blocked, folder=folder)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.heavy
def test_fits_without_any_optional_package() -> None:
    run = fit_without("click", "rich", "pyarrow", "matplotlib", "pandas", "polars", GAUSSMIX_ENGINE="numpy")
    assert (run.stdout, run.stderr, run.returncode) == ("True\nTrue\n", "", 0)


@pytest.mark.heavy
def test_without_the_core_it_runs_on_numpy_and_says_so_once() -> None:
    run = fit_without("gaussmix._core")
    assert (run.stdout, run.returncode) == ("True\nTrue\n", 0)
    assert run.stderr.count("gaussmix runs on its NumPy engine") == 1
    assert run.stderr.count("Warning") == 1
    assert "not installed; gcc or clang (on Windows clang-cl) compiles it" in run.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["of another platform", "without its symbols"])
def test_an_extension_that_cannot_be_loaded_is_named_with_the_reason(tmp_path: Path, kind: str) -> None:
    another = import_module("numpy._core._multiarray_umath").__file__ if kind == "without its symbols" else None
    content = Path(another).read_bytes() if another else b"\x7fELF, but not of this processor"
    (tmp_path / f"_core{EXTENSION_SUFFIXES[0]}").write_bytes(content)
    run = fit_without(folder=str(tmp_path))
    assert (run.stdout, run.returncode) == ("True\nTrue\n", 0)
    (line,) = (line for line in run.stderr.splitlines() if "Warning" in line)
    assert "its NumPy engine, which is many times slower. Its C++ core cannot be loaded (" in line
    assert "_core" in line.partition("loaded (")[2]
    assert line.endswith("); reinstall gaussmix.")


def test_a_processor_without_kernels_is_told_those_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("gaussmix._core", reason="the C++ core is not built")
    monkeypatch.setattr(core, "active", lambda: None)
    monkeypatch.setattr(numerics_core, "_target_or_reason", numerics_core._target_or_reason.__wrapped__)
    assert numerics_core.why_not_native().endswith("they need arm64, or x86-64 with AVX2.")


@pytest.mark.heavy
def test_the_numpy_engine_that_was_asked_for_is_not_warned_of() -> None:
    run = fit_without("gaussmix._core", GAUSSMIX_ENGINE="numpy")
    assert (run.stdout, run.stderr, run.returncode) == ("True\nTrue\n", "", 0)


@pytest.mark.heavy
def test_a_native_engine_that_is_not_there_is_an_error() -> None:
    run = fit_without("gaussmix._core", GAUSSMIX_ENGINE="native")
    assert run.returncode == 1
    assert "GAUSSMIX_ENGINE is 'native'. Its C++ core is not installed" in run.stderr
