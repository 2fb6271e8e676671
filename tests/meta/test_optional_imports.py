"""What is optional stays optional: gaussmix imports and fits without it, in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

FIT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))  # None in sys.modules makes an import fail
import numpy as np
from gaussmix import GaussianMixture
rows = np.random.default_rng(0).normal(size=(60, 2))
for _ in range(2):
    print(GaussianMixture(2, random_state=0, max_iter=1000).fit(rows).converged_)
"""


def fit_without(*blocked: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Fit twice in a new process where some modules can't be imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAUSSMIX_")}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", FIT.format(blocked=blocked)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_fits_without_any_optional_package() -> None:
    run = fit_without("click", "rich", "pyarrow", "matplotlib", "pandas", "polars", GAUSSMIX_ENGINE="numpy")
    assert (run.stdout, run.stderr, run.returncode) == ("True\nTrue\n", "", 0)


def test_without_the_core_it_runs_on_numpy_and_says_so_once() -> None:
    run = fit_without("gaussmix._core")
    assert (run.stdout, run.returncode) == ("True\nTrue\n", 0)
    assert run.stderr.count("gaussmix runs on its NumPy engine") == 1
    assert run.stderr.count("Warning") == 1


def test_the_numpy_engine_that_was_asked_for_is_not_warned_of() -> None:
    run = fit_without("gaussmix._core", GAUSSMIX_ENGINE="numpy")
    assert (run.stdout, run.stderr, run.returncode) == ("True\nTrue\n", "", 0)


def test_a_native_engine_that_is_not_there_is_an_error() -> None:
    run = fit_without("gaussmix._core", GAUSSMIX_ENGINE="native")
    assert run.returncode == 1
    assert "GAUSSMIX_ENGINE='native', but the C++ core is not installed" in run.stderr
