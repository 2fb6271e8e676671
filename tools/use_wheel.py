"""Use the installed package as a user without a checkout does.

Usage: use_wheel.py CHECKOUT      from another folder, with the Python of the environment that has the wheel

The program fits Old Faithful in Python and on the command line, and compares the results with mclust's.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import gaussmix
from gaussmix import GaussianMixture, _core

# mclust 6.0.0 with tol = 1e-10, model VVV of two components: tests/oracle/mclust/fits.json
LOG_LIKELIHOOD, WEIGHTS = -1130.2639601859476, [0.35587304210759696, 0.6441269578924032]


def check_core() -> None:
    """Check that the wheel's core uses its best backend here, and runs without the GIL if the GIL is off."""
    names = [target.isa for target in _core.targets()]
    print(f"gaussmix {gaussmix.__version__} on Python {platform.python_version()}; kernels: {names}")
    assert _core.active().isa == names[-1]
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled(), "the core, or a dependency, requires the GIL"  # type: ignore[attr-defined]


def check_python(rows: np.ndarray) -> None:
    """Check that the log-likelihood agrees with mclust's to 1e-9, and that the weights agree to 1e-5."""
    gm = GaussianMixture(2, tol=1e-10, reg_covar=0, max_iter=1000, random_state=0).fit(rows)
    np.testing.assert_allclose(gm.score_samples(rows).sum(), LOG_LIKELIHOOD, rtol=1e-9)
    np.testing.assert_allclose(sorted(gm.weights_), WEIGHTS, atol=1e-5)


def check_command_line(csv: Path) -> None:
    """Check that the command is installed, fits, and labels every row with the model file that it wrote."""
    command = str(Path(sys.executable).with_name("gaussmix"))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "faithful.gmm"
        fit = [command, "fit", str(csv), "-k", "1:4", "-o", str(model), "--json"]
        report = json.loads(subprocess.run(fit, check=True, capture_output=True, text=True).stdout)
        print("gaussmix fit:", str(report)[:100], "…")
        predict = [command, "predict", str(model), str(csv)]
        lines = subprocess.run(predict, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 273, lines[:3]


if __name__ == "__main__":
    checkout = Path(sys.argv[1]).resolve()
    package = Path(gaussmix.__file__).resolve()
    assert not package.is_relative_to(checkout / "src"), f"{package} belongs to the checkout"
    csv = checkout / "examples" / "faithful.csv"
    check_core()
    check_python(np.loadtxt(csv, delimiter=",", skiprows=1))
    if find_spec("pyarrow"):  # the command line needs pyarrow, which has no wheels for some platforms
        check_command_line(csv)
    print("It works.")
