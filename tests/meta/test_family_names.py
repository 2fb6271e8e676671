"""A family's name is written where the family is, and otherwise only where a user's choice has a default."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from gaussmix import FAMILIES
from gaussmix.families import ALIASES, Structure

PACKAGE = Path(__file__).parents[2] / "src" / "gaussmix"
ELSEWHERE = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in {"families", "testing", "__init__.py"}  # whose names are public
]


def defaults(tree: ast.AST) -> Iterator[ast.expr | None]:
    """Default values of `covariance_type` in signatures and of fields, and of command-line options."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            pairs = zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True)
            for argument, value in [*pairs, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]:
                if argument.arg == "covariance_type":
                    yield value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.target.id == "covariance_type":
                yield node.value
        elif isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "default")


def named_families(source: str) -> list[str]:
    """Family names among a module's string literals that are no default: `line: name`."""
    tree = ast.parse(source)
    allowed = {id(value) for value in defaults(tree)}
    literals = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in allowed)
    return [f"{node.lineno}: {node.value}" for node in literals if node.value in FAMILIES]


def test_no_family_is_named_outside_families() -> None:
    found = {path: named_families(path.read_text(encoding="utf-8")) for path in ELSEWHERE}
    assert {path: names for path, names in found.items() if names} == {}


def test_editors_complete_every_name() -> None:
    *names, any_text = get_args(Structure)
    assert any_text is str
    assert {name for literal in names for name in get_args(literal)} == {*FAMILIES, *ALIASES}


def test_the_check_sees_a_name_and_lets_defaults_pass() -> None:
    assert named_families("if covariance_type == 'full':\n    pass") == ["1: full"]
    assert named_families("def f(a, covariance_type='full', *, b='diag'): ...") == ["1: diag"]
    assert named_families("class A:\n    covariance_type: str = 'full'\n    other: str = 'diag'") == ["3: diag"]
    assert named_families("option('--covariance-type', default='full')") == []
