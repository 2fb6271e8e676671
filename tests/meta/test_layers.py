"""Imports point down: the arrows of docs/develop/waist.md, read from the syntax tree."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "gaussmix"

# What a folder (or a module at the top) may import besides itself, `errors` and `lazy`.
MAY_IMPORT = {
    "errors": "",
    "version": "",
    "lazy": "",
    "plugins": "",
    "other_names": "",
    "numerics": "_core",
    "checks": "numerics",
    "value": "",
    "priors": "value numerics checks",
    "noise": "value checks",
    "restrictions": "value checks",
    "waist": "numerics",
    "covariances": "waist numerics",
    "families": "value plugins covariances waist numerics checks",
    "engines": "waist numerics _core",
    "sources": "version plugins waist numerics",
    "formats": "lazy version value model background numerics checks families.base",
    "background": "numerics",
    "model": "background covariances waist numerics families.base",
    "mixture": "lazy model background covariances waist numerics checks families.base engines formats",
    "em": (
        "value priors covariances waist numerics model background families.base engines.base engines.calls "
        "sources.array sources.base sources.findings sources.quantile sources.waiting"
    ),
    "door": (
        "noise restrictions priors covariances waist numerics checks families engines sources background mixture em"
    ),
    "fit": (
        "version value checks covariances waist numerics families engines sources model background mixture em formats "
        "door"
    ),
    "report": "lazy checks waist numerics families engines sources model mixture em door fit",
    "estimators": (
        "other_names noise restrictions priors covariances waist numerics checks families engines sources model "
        "background mixture em formats door fit report"
    ),
    "functions": "checks waist numerics families engines sources model mixture em formats door fit report estimators",
    "plot": "background numerics checks waist engines mixture door fit.criteria estimators",
    "export": "mixture numerics",
    "cli": (
        "value restrictions version export plot covariances background waist functions estimators door fit report em "
        "formats mixture families engines sources numerics"
    ),
    "anndata": "door estimators",
    "patched": "estimators",
    "spark": "families estimators sources",
    "__main__": "cli",
    "testing": "covariances waist numerics families engines sources model em noise priors estimators",
    "__init__": "noise restrictions em functions estimators priors families mixture sources patched",
}

# What a folder of `em` may import of the others.
MAY_IMPORT_OF_EM = {
    "objective": "",
    "step": "objective",
    "initialisation": "objective step",
    "search": "objective step initialisation",
    "priors": "objective step initialisation",
    "trimming": "objective step initialisation",
    "collapse": "objective step initialisation",
    "bayes": "objective step initialisation priors",
    "curvature": "objective step initialisation priors trimming",
}


@cache
def imported(path: Path) -> list[str]:
    """Dotted names that a module imports, each with a dot at its end."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names += [f"{node.module}.{alias.name}." for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [f"{alias.name}." for alias in node.names]
    return names


def forbidden(path: Path, layer: str) -> list[str]:
    """Imports in a module that its layer may not make."""
    allowed = tuple(f"gaussmix.{below}." for below in [layer, "errors", "lazy", *MAY_IMPORT[layer].split()])
    return [name for name in imported(path) if name.startswith("gaussmix.") and not name.startswith(allowed)]


def test_imports_point_down() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        names = forbidden(path, place.parts[0].removesuffix(".py"))
        found += [f"{place}: {name}" for name in names]
    assert found == []


def test_folders_of_em_are_in_order() -> None:
    folders = [path for path in (PACKAGE / "em").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert {path.name for path in folders} == set(MAY_IMPORT_OF_EM)
    found = []
    for folder in folders:
        allowed = tuple(f"gaussmix._src.em.{name}." for name in [folder.name, *MAY_IMPORT_OF_EM[folder.name].split()])
        for path in sorted(folder.glob("*.py")):
            wrong = [
                name for name in imported(path) if name.startswith("gaussmix._src.em.") and not name.startswith(allowed)
            ]
            found += [f"{folder.name}/{path.name}: {name}" for name in wrong]
    assert found == []


def files_imported(path: Path, files: dict[str, Path]) -> set[Path]:
    """The files of the package that one imports, at once or later, or for its annotations alone."""
    names = [name.rstrip(".") for name in imported(path)]
    return {files.get(name) or files.get(name.rpartition(".")[0], path) for name in names} - {path}


def circle(graph: dict[Path, set[Path]]) -> list[Path]:
    """A circle of files, each of which imports the next, and the last one the first; empty where there is none."""
    done: set[Path] = set()

    def found(way: list[Path]) -> list[Path]:
        for other in sorted(graph[way[-1]] - done):
            if other in way:
                return way[way.index(other) :]
            if circle := found([*way, other]):
                return circle
        done.add(way[-1])
        return []

    return next(filter(None, (found([path]) for path in graph if path not in done)), [])


def test_no_circle_of_files() -> None:
    paths = sorted(PACKAGE.rglob("*.py"))
    dotted = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths}
    files = {name.removesuffix(".__init__"): path for path, name in dotted.items()}
    del files["gaussmix"]  # of which others import modules only
    found = circle({path: files_imported(path, files) for path in paths})
    assert [dotted[path] for path in found] == []


def test_a_circle_is_found() -> None:
    a, b, c = map(Path, "abc")
    assert circle({a: {b, c}, b: {c}, c: set()}) == []
    assert circle({a: {b}, b: {c}, c: {b}}) == [b, c]
