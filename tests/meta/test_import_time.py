"""What is slow to import is imported where it is needed, in a fresh interpreter and without a clock."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gaussmix

LIBRARIES = {"numpy", "scipy", "sklearn", "pandas", "pyarrow", "rich", "matplotlib", "joblib", "safetensors"}

LOADED = """
import json, sys
def run(*words):
    from gaussmix.cli import main
    sys.argv = ["gaussmix", *words]
    try:
        main()
    except SystemExit as end:
        assert end.code == {code}, end.code
{statement}
print(json.dumps(sorted(sys.modules)))
"""


def loaded(statement: str, code: int = 0) -> set[str]:
    """The modules that a statement loads, and Python for itself."""
    words = [sys.executable, "-c", LOADED.format(statement=statement, code=code)]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("import gaussmix; gaussmix.__version__; dir(gaussmix)", 0),
        ("run('--help')", 0),
        ("run('--version')", 0),
        ("run()", 2),
        ("run('ft')", 2),
        ("run('--hlp')", 2),
    ],
)
def test_what_needs_no_library_loads_none(statement: str, code: int) -> None:
    modules = loaded(statement, code)
    assert "gaussmix" in modules
    assert sorted(LIBRARIES & modules) == []


def test_a_fit_loads_what_it_needs_of_scikit_learn_and_nothing_else_that_is_slow() -> None:
    needed = "import sklearn.base, sklearn.utils.validation, safetensors.numpy"
    fit = (
        "from gaussmix import GaussianMixture; GaussianMixture(2).fit([[0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [6, 5]])"
    )
    beyond = loaded(fit) - loaded(needed)
    assert sorted(name for name in beyond if name.partition(".")[0] in LIBRARIES) == []
    others = {"estimators.classifier", "estimators.regressor", "estimators.detector", "selection.search", "plot", "cli"}
    assert sorted(f"gaussmix.{name}" for name in others if f"gaussmix.{name}" in beyond) == []


@pytest.mark.parametrize("name", ["Classifier", "Regressor", "Detector", "Imputer"])
def test_an_estimator_that_predicts_loads_no_metrics_before_it_is_scored(name: str) -> None:
    assert "sklearn.metrics" not in loaded(f"from gaussmix import GaussianMixture{name}")


def test_editors_and_the_interpreter_find_names_in_the_same_modules() -> None:
    tree = ast.parse(Path(gaussmix.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    typed = {alias.name: node.module for node in imports for alias in node.names}
    homes = {name: f"gaussmix.{home}" for name, home in gaussmix._HOMES.items()}
    assert {name: typed[name] for name in gaussmix.__all__} == homes
    assert {*gaussmix.__all__, "__version__"} <= set(dir(gaussmix))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(gaussmix, "Gaussian")
    run = subprocess.run([sys.executable, "-c", "from gaussmix import Gaussian"], capture_output=True, text=True)
    assert "ImportError: cannot import name 'Gaussian' from 'gaussmix'" in run.stderr


def test_each_public_name_can_be_the_first_that_is_used() -> None:
    names = [*gaussmix.__all__, "__version__"]
    each = f"""
import sys
for name in {names!r}:
    for module in [module for module in sys.modules if module.partition(".")[0] == "gaussmix"]:
        if module != "gaussmix._core":
            del sys.modules[module]
    import gaussmix
    assert "gaussmix.model" not in sys.modules
    assert getattr(gaussmix, name) is getattr(gaussmix, name)
"""
    assert "gaussmix" in loaded(each)
