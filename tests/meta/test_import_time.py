"""Tests that slow imports happen only when they are needed: the modules of a new interpreter are counted."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import gaussmix

PACKAGES = {"numpy", "scipy", "sklearn", "pandas", "pyarrow", "rich", "matplotlib", "joblib", "safetensors", "narwhals"}

LOADED = """
import json, sys
def run(*words):
    from gaussmix._src.cli import main
    sys.argv = ["gaussmix", *words]
    try:
        main()
    except SystemExit as end:
        assert end.code == {code}, end.code
{statement}
print(json.dumps(sorted(sys.modules)))
"""
FIT = """
import numpy
from gaussmix import GaussianMixture
GaussianMixture(3, random_state=0).fit(numpy.random.default_rng(0).normal(size=(300, 2)))
"""
MOST_MODULES, MOST_LINES = 103, 13_990  # maximum numbers of modules and lines of gaussmix that a default fit loads
UNUSED = {
    "em.bayes.birth_merge_moves", "em.step.online", "em.trimming.trimming", "engines.incomplete",
    "estimators.streaming", "fit.after.diagnostics", "fit.after.inference", "fit.checkpoint", "fit.options.base",
    "fit.monitor", "mixture.levels", "other_names", "priors", "report.estimates", "report.inference", "report.reading",
    "report.summary", "validation.incomplete", "validation.initial", "validation.labels",
}  # fmt: skip


def loaded(statement: str, code: int = 0) -> set[str]:
    """Return the modules that are loaded after a statement, including Python's own."""
    words = [sys.executable, "-c", LOADED.format(statement=statement, code=code)]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.heavy(n_default=2)
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
def test_import_help_and_usage_errors_load_no_library(statement: str, code: int) -> None:
    modules = loaded(statement, code)
    assert "gaussmix" in modules
    assert sorted(PACKAGES & modules) == []


@pytest.mark.heavy
def test_a_fit_loads_only_the_needed_modules_of_scikit_learn() -> None:
    needed = "import sklearn.base, sklearn.utils.validation, safetensors.numpy"
    fit = (
        "from gaussmix import GaussianMixture; GaussianMixture(2).fit([[0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [6, 5]])"
    )
    beyond = loaded(fit) - loaded(needed)
    assert sorted(name for name in beyond if name.partition(".")[0] in PACKAGES) == []
    unrelated = {"estimators.classifier", "estimators.regressor", "estimators.detector", "fit.selection", "plot", "cli"}
    assert sorted(name for name in unrelated if f"gaussmix._src.{name}" in beyond) == []


def test_a_mixture_loads_numpy_and_no_other_library() -> None:
    modules = loaded("from gaussmix import Mixture; repr(Mixture.from_parameters([1.0], [[0.0]], [[[1.0]]]))")
    assert sorted(PACKAGES & modules) == ["numpy"]


def typed(package: ModuleType) -> dict[str, str]:
    """Return the module of each name that a package or its stub imports for editors."""
    path = Path(str(package.__file__))
    path = path.with_suffix(".pyi") if path.with_suffix(".pyi").exists() else path
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


@pytest.mark.parametrize("name", ["mixture", "report"])
def test_lazy_modules_match_the_imports_for_type_checkers(name: str) -> None:
    package = import_module(f"gaussmix._src.{name}")
    modules = {module: home for module, home in typed(package).items() if home.startswith(package.__name__)}
    assert modules
    for module, home in modules.items():
        assert getattr(package, module).__name__ == f"{home}.{module}"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(package, "nothing")  # noqa: B009


@pytest.mark.heavy
def test_a_default_fit_loads_a_limited_number_of_modules() -> None:
    root, modules, lines = Path(str(gaussmix.__file__)).parents[1], loaded(FIT), dict[str, int]()
    for path in root.rglob("gaussmix/**/*.py"):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if name in modules:
            lines[name] = path.read_text(encoding="utf-8").count("\n")
    lines = {name: n for name, n in lines.items() if n > 1}
    print(*sorted(f"{n:5} {name}" for name, n in lines.items()), sep="\n")  # shows the modules if the test fails
    assert sorted(name for name in UNUSED if f"gaussmix._src.{name}" in lines) == []
    assert (len(lines) <= MOST_MODULES, sum(lines.values()) <= MOST_LINES) == (True, True)


def test_lazy_names_match_the_imports_for_type_checkers() -> None:
    homes = {name: f"gaussmix.{home}" for name, home in gaussmix._HOMES.items()}
    assert {name: typed(gaussmix)[name] for name in [*gaussmix.__all__, "load", "open"]} == homes
    assert {*gaussmix.__all__, "__version__"} <= set(dir(gaussmix))


@pytest.mark.heavy
@pytest.mark.parametrize(
    "words",
    [("fit", "{data}"), ("report", "{data}", "-k", "1:2", "-o", "{folder}/page.html")],
    ids=lambda words: words[0],
)
def test_fit_and_report_load_neither_pandas_nor_scipy_stats(words, tmp_path: Path) -> None:
    data = Path(__file__).parents[2] / "examples" / "faithful.csv"
    arguments = [word.format(data=data, folder=tmp_path) for word in words]
    modules = loaded(f"run(*{arguments!r}, '-q')")
    assert {"sklearn.base", "numpy"} <= modules
    assert sorted({"pandas.core", "scipy.stats.distributions"} & modules) == []


@pytest.mark.heavy
def test_lazily_imported_packages_have_their_usual_contents() -> None:
    later = """
from gaussmix._src.cli.program import SLOW_PACKAGES, LazyModule, import_lazily
import_lazily()
import sys
assert all(isinstance(sys.modules[name], LazyModule) for name in SLOW_PACKAGES)
from scipy.stats.qmc import Sobol
assert isinstance(sys.modules["scipy.stats"], LazyModule)
net = Sobol(3, seed=0).random_base2(4)
import pandas as pd, scipy.stats
assert pd.DataFrame({"a": [1.5]})["a"].tolist() == [1.5]
assert scipy.stats.norm.cdf(0.0) == 0.5
assert scipy.stats.qmc.Sobol is Sobol
assert (Sobol(3, seed=0).random_base2(4) == net).all() and 0.4 < net.mean() < 0.6
import pandas.testing
from pandas import Series
assert not any(isinstance(sys.modules[name], LazyModule) for name in SLOW_PACKAGES)
"""
    assert {"pandas.core", "scipy.stats.distributions"} <= loaded(later)


def test_lazy_imports_skip_packages_that_are_not_installed() -> None:
    absent = "from gaussmix._src.cli.program import import_lazily\nimport_lazily(('no_such_package',))"
    assert "no_such_package" not in loaded(absent)
