"""Tests that the repository does not grow: limits on its lines, its files and the imports of its tests.

A change that removes code lowers `MOST`. A change that adds a feature raises `MOST` by the numbers that its issue
states. Only lines with code count, without blank lines, comments and docstrings.
"""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = {
    "src": 35_190,
    "cpp": 14_034,
    "tests": 35_171,
    "bench": 2660,
    "tools": 626,
    "files": 1_012,
    "inner imports of tests": 323,
    "monkeypatched names": 102,
}
PUBLIC = {"anndata", "export", "extend", "patched", "plot", "spark", "testing"}  # modules that users import from


def lines_and_inner_imports(text: str) -> tuple[int, int]:
    """Count lines of Python with code, and imports from modules of the package that the reference does not document."""
    code = {at for at, line in enumerate(text.splitlines(), 1) if line.strip() and line.lstrip()[0] != "#"}
    docstrings, modules = set[int](), list[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Constant, ast.JoinedStr)):  # all lines of a text count, even blank ones
            code.update(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # docstrings of attributes, too
            docstrings.update(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                docstrings.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            modules.append(node.names[0].name if isinstance(node, ast.Import) else node.module or "")
    inner = [name for name in modules if name.startswith("gaussmix.") and name.split(".")[1] not in PUBLIC]
    return len(code - docstrings), len(inner)


def lines_of_cpp(text: str) -> int:
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment.group().count("\n"), text, flags=re.DOTALL)
    return sum(1 for line in text.splitlines() if re.sub("//.*", "", line).strip())


def figures() -> Counter[str]:
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout")
    found = Counter[str]()
    for name in listed.splitlines():
        path, folder = ROOT / name, name.split("/")[0]
        if not path.is_file():
            continue
        found["files"] += 1
        if name.endswith((".py", ".cpp", ".hpp")):
            text = path.read_text(encoding="utf-8")
            lines, inner = lines_and_inner_imports(text) if name.endswith(".py") else (lines_of_cpp(text), 0)
            found[folder] += lines
            if folder == "tests":
                found["inner imports of tests"] += inner
                found["monkeypatched names"] += len(re.findall(r"monkeypatch\.(?!setenv|delenv|chdir)\w+\(", text))
    return found


@pytest.mark.heavy
def test_the_repository_does_not_grow() -> None:
    found = figures()
    assert {name: found[name] for name in MOST if found[name] > MOST[name]} == {}


def test_lines_with_code_are_counted() -> None:
    assert lines_and_inner_imports('"""A module."""\n\n# why\nx = [\n    1,  # one\n]\n') == (3, 0)
    assert lines_of_cpp("/* two\nlines */\n// why\nint x;  // one\n") == 1
    imports = "import gaussmix\nfrom gaussmix.plot import clusters\nfrom gaussmix._src.em.step.loop import run_em\n"
    assert lines_and_inner_imports(imports) == (3, 1)
