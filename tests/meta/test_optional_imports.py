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
rows = np.random.default_rng(0).normal(size=(60, 2))
for _ in range(2):
    print(GaussianMixture(2, random_state=0, max_iter=1000).fit(rows).converged_)
"""


@pytest.mark.heavy
def test_a_fit_runs_without_any_optional_package() -> None:
    blocked = "click", "rich", "pyarrow", "matplotlib", "pandas", "polars"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAUSSMIX_")}
    command = [sys.executable, "-W", "always", "-c", FIT.format(blocked=blocked)]
    run = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("True\nTrue\n", "", 0)
