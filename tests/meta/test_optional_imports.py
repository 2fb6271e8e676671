"""Tests that gaussmix can be imported and fits without its optional dependencies, in a new interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FIT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))  # None in sys.modules makes an import fail
import gaussmix
import numpy as np
from gaussmix import GaussianMixture
gaussmix.__path__.insert(0, {folder!r})  # the folder of another extension module, if any
rows = np.random.default_rng(0).normal(size=(60, 2))
for _ in range(2):
    print(GaussianMixture(2, random_state=0, max_iter=1000).fit(rows).converged_)
"""


def fit_without(*blocked: str, folder: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Fit twice in a new process in which the blocked modules can't be imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAUSSMIX_")}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", FIT.format(blocked=blocked, folder=folder)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.heavy
def test_a_fit_runs_without_any_optional_package() -> None:
    run = fit_without("click", "rich", "pyarrow", "matplotlib", "pandas", "polars")
    assert (run.stdout, run.stderr, run.returncode) == ("True\nTrue\n", "", 0)
