"""Tests that structures and sources of an installed package, such as tests/plugin, are found by their names."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix._src import plugins

PACKAGE = Path(__file__).parents[1] / "plugin"
USE = """
import sys
import numpy as np
import gaussmix
from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureIC, Mixture
from gaussmix.testing import check_family

def unknown():
    "As in a new process."
    FAMILIES.pop("plugin_compound", None)
    return sys.modules.pop("gaussmix_plugin.compound", None) is None

X = np.random.default_rng(0).normal(size=(300, 3)) @ (np.eye(3) + 0.5)
assert unknown() and "gaussmix_plugin" not in sys.modules
gm = GaussianMixture(2, covariance_type="plugin_compound", random_state=0).fit(X)
assert gm.mixture_.family is FAMILIES["plugin_compound"] and gm.mixture_.n_parameters == 11
assert gm.mixture_.marginal([0, 1]).n_parameters == gm.mixture_.condition({0: 1.0}).n_parameters == 9

assert not unknown()
gm = GaussianMixtureIC(2, covariance_type=["EII", "plugin_compound"], random_state=0).fit(X)
assert gm.covariance_type_ == "plugin_compound"

assert not unknown()
assert Mixture.load("m.gmm").family.name == "plugin_compound"
assert not unknown()
assert GaussianMixture.load("m.gmm").covariance_type == "plugin_compound"
check_family(FAMILIES["plugin_compound"], np.random.default_rng(0))

assert "gaussmix_plugin.sqlite" not in sys.modules
source = gaussmix.open("rows.sqlite", columns=["b", "a"], weights="w")
assert source.feature_names == ("b", "a") and source.n_rows == 300
gm = GaussianMixture(2, random_state=0).fit(source)
assert list(gm.feature_names_in_) == ["b", "a"] and gm.predict(source).shape == (300,)
assert GaussianMixture(2, random_state=0).fit("rows.sqlite").means_.shape == (2, 3)
table = sys.modules["gaussmix_plugin.sqlite"].Rows("rows.sqlite", "rows")
assert GaussianMixture(2, random_state=0).fit(table).means_.shape == (2, 3)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the installed package, a model with its structure, and rows for its source."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE / "gaussmix_plugin", folder / "gaussmix_plugin", ignore=shutil.ignore_patterns("__py*"))
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"gaussmix_plugin-{project['version']}.dist-info"
    about.mkdir()
    name = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(name, encoding="utf-8")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    rows = np.abs(np.random.default_rng(0).normal(size=(300, 3)))
    with closing(sqlite3.connect(folder / "rows.sqlite")) as database, database:
        database.execute("CREATE TABLE rows (a, b, w)")
        database.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows.tolist())
    arguments = ["fit", "rows.sqlite", "--weights", "w", "-k", "2", "-s", "plugin_compound", "-q", "-o", "m.gmm"]
    run(folder, "-m", "gaussmix", *arguments)
    return folder


def run(folder: Path, *words: str) -> str:
    """Run Python in a process that finds the packages in a folder, and return its output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.heavy
def test_structures_and_sources_of_an_installed_package_can_be_used(installed: Path) -> None:
    run(installed, "-c", USE)


@pytest.mark.heavy
def test_the_command_line_can_use_structures_and_sources_of_a_package(installed: Path) -> None:
    assert "plugin_compound" in run(installed, "-m", "gaussmix", "describe", "m.gmm")


def test_a_plugin_that_cannot_be_imported_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {
        "absent": EntryPoint("absent", "no_such_module", "gaussmix.families"),
        "empty": EntryPoint("empty", "json", "gaussmix.families"),
    }
    monkeypatch.setattr(plugins, "points", lambda group: offered)
    rows = np.zeros((4, 1))
    with pytest.raises(ImportError, match="'no_such_module' offers 'absent', but importing 'no_such_module' fails"):
        GaussianMixture(2, covariance_type="absent").fit(rows)
    with pytest.raises(ImportError, match="'json' does not register a structure named 'empty'"):
        GaussianMixture(2, covariance_type="empty").fit(rows)
    with pytest.raises(ValueError, match="'absent'"):
        GaussianMixture(2, covariance_type="absen").fit(rows)
