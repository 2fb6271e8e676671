"""Tests that modules import only from lower layers, as in docs/develop/architecture.md, and never in a cycle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PUBLIC = Path(__file__).parents[2] / "src" / "gaussmix"
PACKAGE = PUBLIC / "_src"

# The folders and modules that a folder or a top-level module may import in addition to itself, `errors` and `lazy`.
MAY_IMPORT = {
    "__init__": "",
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
    "forgetting": "value em",
    "interfaces": "numerics",
    "covariances": "interfaces numerics",
    "families": "value plugins covariances interfaces numerics checks",
    "engines": "interfaces numerics _core",
    "sources": "version plugins interfaces numerics",
    "formats": "lazy version value model noise_component numerics checks families.base",
    "noise_component": "numerics",
    "model": "noise_component covariances interfaces numerics families.base",
    "mixture": "lazy model noise_component covariances interfaces numerics checks families.base engines formats",
    "em": (
        "value priors covariances interfaces numerics model noise_component families.base engines.base engines.calls "
        "sources.array sources.base sources.row_statistics sources.quantile sources.survey sources.waiting"
    ),
    "validation": (
        "noise restrictions priors covariances interfaces numerics checks families engines sources noise_component "
        "mixture em"
    ),
    "fit": (
        "version value checks forgetting covariances interfaces numerics families engines sources model "
        "noise_component mixture em formats validation"
    ),
    "report": "lazy checks interfaces numerics families engines sources model mixture em validation fit",
    "estimators": (
        "other_names noise forgetting restrictions priors covariances interfaces numerics checks families engines "
        "sources model noise_component mixture em formats validation fit report"
    ),
    "functions": (
        "checks interfaces numerics families engines sources model mixture em formats validation fit report estimators"
    ),
    "plot": "noise_component numerics checks interfaces engines mixture validation fit.criteria estimators",
    "export": "mixture numerics checks",
    "cli": (
        "value restrictions version export plot covariances noise_component interfaces functions estimators validation "
        "fit report em formats mixture families engines sources numerics"
    ),
    "testing": "covariances interfaces numerics families engines sources model em noise priors estimators",
}

# The other folders of `em` that a folder of `em` may import.
MAY_IMPORT_OF_EM = {
    "objective": "",
    "step": "objective",
    "initialisation": "objective step",
    "search": "objective step initialisation",
    "priors": "objective step initialisation",
    "trimming": "objective step initialisation",
    "truncation": "objective",
    "collapse": "objective step initialisation",
    "bayes": "objective step initialisation priors",
    "curvature": "objective step initialisation priors trimming",
}


@cache
def imported(path: Path) -> list[str]:
    """Return the dotted names that a module imports, each with a dot at its end."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names += [f"{node.module}.{alias.name}." for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [f"{alias.name}." for alias in node.names]
    return names


def forbidden(path: Path, layer: str) -> list[str]:
    """Return the imports of a module that its layer does not allow."""
    below = [layer, "errors", "lazy", *MAY_IMPORT[layer].split()]
    allowed = tuple("gaussmix._core." if name == "_core" else f"gaussmix._src.{name}." for name in below)
    return [name for name in imported(path) if name.startswith("gaussmix.") and not name.startswith(allowed)]


def test_modules_import_only_from_lower_layers() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE)
        names = forbidden(path, module.parts[0].removesuffix(".py"))
        found += [f"{module}: {name}" for name in names]
    assert found == []


def test_folders_of_em_import_only_from_allowed_folders() -> None:
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
    """Return the files of the package that a file imports, including late imports and imports for annotations."""
    names = [name.rstrip(".") for name in imported(path)]
    return {files.get(name) or files.get(name.rpartition(".")[0], path) for name in names} - {path}


def import_cycle(graph: dict[Path, set[Path]]) -> list[Path]:
    """Return a cycle of files, in which each file imports the next and the last the first, or [] if there is none."""
    done: set[Path] = set()

    def search(chain: list[Path]) -> list[Path]:
        for other in sorted(graph[chain[-1]] - done):
            if other in chain:
                return chain[chain.index(other) :]
            if cycle := search([*chain, other]):
                return cycle
        done.add(chain[-1])
        return []

    return next(filter(None, (search([path]) for path in graph if path not in done)), [])


def test_files_do_not_import_each_other_in_a_cycle() -> None:
    paths = sorted(PUBLIC.rglob("*.py"))
    dotted = {path: ".".join(path.relative_to(PUBLIC.parent).with_suffix("").parts) for path in paths}
    files = {name.removesuffix(".__init__"): path for path, name in dotted.items()}
    del files["gaussmix"]  # other files import only its modules, not the package itself
    found = import_cycle({path: files_imported(path, files) for path in paths})
    assert [dotted[path] for path in found] == []


def test_import_cycle_returns_the_files_of_a_cycle() -> None:
    a, b, c = map(Path, "abc")
    assert import_cycle({a: {b, c}, b: {c}, c: set()}) == []
    assert import_cycle({a: {b}, b: {c}, c: {b}}) == [b, c]
