"""Tests of names: no private vocabulary, unique class names, and constructors that name what they are built from."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Words that had a private meaning here. The field uses: index, trace, prior, certificate, collapsed, outlier, report,
# validation, split, fixed, initial, warm start, forecast, converge, ascent, settings, missing value, requested, weight.
PRIVATE = {
    "place", "course", "belief", "standing", "stuck", "gross", "told", "tell", "door", "waist", "halves", "given",
    "held", "kept", "begun", "dealt", "onward", "outlook", "settled", "settle", "settling", "climb", "judged",
    "recipe", "fault", "stamp", "learned", "flaw", "refusal", "gone", "unwanted", "meant", "unmet", "asked", "hole",
    "said", "sure", "look", "hope", "far", "apart", "few", "most", "every", "found", "share",
}  # fmt: skip
# Words of `PRIVATE` that are ordinary English in the name of a test.
IN_TEST_NAMES = {"place", "far", "few", "most", "every", "found", "share", "kept"}
# Names with words of this list that Python or other packages have chosen.
ALLOWED = {
    "src/gaussmix/_src/sources/files/stores.py: tell",  # a method of Python's file objects
}
MAX_SHARED_CLASS_NAMES = 3
MAX_SHARED_CONSTANTS = 6  # maximum number of constants that have different values in several files


def words_of(name: str) -> set[str]:
    """Return the words of an identifier, with their singular forms."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return words | {word.removesuffix("s") for word in words}


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield the classes, functions, parameters, attributes, constants and variables that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@cache
def syntax_trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "src").rglob("*.py"))}


@pytest.mark.heavy
def test_no_name_contains_a_private_word() -> None:
    found = set()
    for path, tree in syntax_trees().items():
        names = [path.stem if path.stem != "__init__" else path.parent.name]
        names += defined(tree)
        found |= {f"{path.relative_to(ROOT)}: {name}" for name in names if words_of(name) & PRIVATE}
    code = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\b[A-Za-z_]\w*', re.DOTALL)
    for path in sorted((ROOT / "cpp").rglob("*.[ch]pp")):
        names = [path.stem, *(name for name in code.findall(path.read_text(encoding="utf-8")) if name[0] not in '/"')]
        found |= {f"{path.relative_to(ROOT)}: {name}" for name in names if words_of(name) & PRIVATE}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        names = [path.stem, *re.findall(r"(?m)^ *def (\w+)", path.read_text(encoding="utf-8"))]
        found |= {f"{path.relative_to(ROOT)}: {name}" for name in names if words_of(name) & (PRIVATE - IN_TEST_NAMES)}
    assert sorted(found ^ ALLOWED) == []


def test_names_of_classes_and_constants_are_unique() -> None:
    classes, constants = defaultdict[str, set[Path]](set), defaultdict[str, dict[Path, str]](dict)
    for path, tree in syntax_trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes[node.name].add(path)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id.lstrip("_")
                if name.isupper():
                    constants[name][path] = ast.unparse(node.value)
    shared = sorted(name for name, paths in classes.items() if len(paths) > 1)
    assert len(shared) <= MAX_SHARED_CLASS_NAMES, shared
    different = sorted(name for name, values in constants.items() if len({*values.values()}) > 1)
    assert len(different) <= MAX_SHARED_CONSTANTS, different


def test_no_function_is_named_of() -> None:
    found = [f"{path.name}: {node.name}" for path, tree in syntax_trees().items() for node in ast.walk(tree)
             if isinstance(node, ast.FunctionDef) and node.name in ("of", "_of")]  # fmt: skip
    assert found == []
