"""Tests of the docstrings of the public interface: their form, their completeness, and their examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gaussmix
from gaussmix._src.estimators.docs import _DOC_PARTS
from gaussmix._src.value import Value
from gaussmix.extend import Family

IGNORED = {"self", "cls", "args", "kwargs"}


def own(value: Any) -> bool:
    """Return whether gaussmix defines the object, not Python or scikit-learn."""
    return str(getattr(value, "__module__", "")).startswith("gaussmix")


def public_classes() -> list[type]:
    """Return the classes of `gaussmix.__all__`."""
    values = (getattr(gaussmix, name) for name in gaussmix.__all__)
    return [value for value in values if isinstance(value, type)]


def public_methods() -> Iterator[tuple[type, Any]]:
    """Yield the methods of public classes with their class; for covariance structures only the methods of `Value`."""
    for cls in public_classes():
        for name in sorted(dir(Value if issubclass(cls, Family) else cls)):
            member = inspect.getattr_static(cls, name)
            if not name.startswith("_") and inspect.isfunction(member) and own(member):
                yield cls, member


def sections(text: str) -> dict[str, str]:
    """Split a numpydoc docstring at its underlined headings; the text before the first heading has the key ""."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(text), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(text: str, heading: str = "Parameters") -> set[str]:
    """Return the names that a section describes by lines `a, b : description` in the first column."""
    lines = sections(text).get(heading, "").splitlines()
    entries = [line.partition(" : ")[0] for line in lines if " : " in line and not line.startswith(" ")]
    return {name.strip() for entry in entries for name in entry.split(",")}


def parameters(function: Any) -> list[str]:
    """Return the names of the parameters, without self."""
    return [name for name in inspect.signature(function).parameters if name not in IGNORED]


def is_summary(text: str) -> bool:
    """Return whether a docstring begins with a line that ends a sentence, followed by a blank line or nothing."""
    lines = inspect.cleandoc(text).splitlines()
    return bool(re.search(r"[.:;]( |$)", lines[0])) and (len(lines) == 1 or not lines[1])


def test_class_docstrings_have_a_summary_and_describe_all_parameters() -> None:
    for cls in public_classes():
        text = vars(cls).get("__doc__") or ""
        assert is_summary(text), cls
        if "__init__" in vars(cls) and own(cls.__init__):  # type: ignore[misc]
            assert described(text) == set(parameters(cls)), cls


def test_shared_passages_are_inserted_in_all_docstrings() -> None:
    texts = {f"{cls.__name__}.{method.__name__}": method.__doc__ or "" for cls, method in public_methods()}
    texts |= {cls.__name__: cls.__doc__ or "" for cls in public_classes()}
    placeholders = "|".join({*_DOC_PARTS} - {"BLANKLINE"})
    assert [name for name, text in texts.items() if re.search(f"<({placeholders})>", text)] == []


def test_method_docstrings_begin_with_a_summary_line() -> None:
    assert [method for _, method in public_methods() if not is_summary(method.__doc__ or "")] == []


def test_parameters_are_described_by_a_method_of_their_class() -> None:
    """A parameter may be described by another method of the class, as X of `predict` is described by `fit`."""
    nearby = defaultdict[type, set[str]](set)
    for cls, method in public_methods():
        here = described(method.__doc__ or "")
        assert here <= set(parameters(method)), f"{method} describes a name that is not a parameter"
        nearby[cls] |= here
    assert [method for cls, method in public_methods() if not set(parameters(method)) <= nearby[cls]] == []


def test_public_attributes_are_described() -> None:
    """A property has its own docstring, or a line in the section Attributes of its class."""
    for cls in public_classes():
        attributes = described(cls.__doc__ or "", "Attributes")
        for name in dir(Value if issubclass(cls, Family) else cls):
            member = inspect.getattr_static(cls, name)
            if not name.startswith("_") and isinstance(member, property) and own(member.fget):
                assert name in attributes or is_summary(member.__doc__ or ""), (cls, name)


PACKAGE = Path(gaussmix.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
WITH_EXAMPLES = [name for name, path in SOURCES.items() if ">>> " in path.read_text(encoding="utf-8")]


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.mark.heavy(n_default=7)
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_docstring_examples_run(name: str) -> None:
    if ".spark" in name:
        pytest.importorskip("pyspark")
    module, runner = importlib.import_module(name), doctest.DocTestRunner()
    # `doctest.testmod` would leave out classes whose `__module__` is the public module that exports them.
    for node in ast.walk(ast.parse(SOURCES[name].read_text(encoding="utf-8"))):
        text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        title = getattr(node, "name", name)
        runner.run(doctest.DocTestParser().get_doctest(text or "", dict(vars(module)), title, name, None))
    assert runner.failures == 0


AUTODOC = re.compile(r"^\.\. auto(?:class|exception):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
REFERENCE = Path(__file__).parents[2] / "docs/reference"


def in_the_reference() -> dict[type, set[str]]:
    """Return the classes that pages of the reference name, with the methods that Sphinx lists for each class."""
    found = {}
    for name, text in (match for page in REFERENCE.glob("*.md") for match in AUTODOC.findall(page.read_text("utf-8"))):
        module, _, short = name.rpartition(".")
        if "spark" in module:
            continue
        cls = getattr(importlib.import_module(module or "gaussmix"), short)
        options = dict(re.findall(r":([\w-]+): ?(.*)", text))
        named = {word for word in re.split(r"[,\s]+", options.get("members", "")) if word}
        own_or_all = set(dir(cls)) if "inherited-members" in options else set(vars(cls))
        listed = named or (own_or_all if "members" in options else set())
        found[cls] = listed - set(re.split(r"[,\s]+", options.get("exclude-members", "")))
    return found


def test_the_reference_lists_all_public_classes_and_methods() -> None:
    listed = in_the_reference()
    assert [cls.__name__ for cls in public_classes() if cls not in listed] == []
    methods = {(cls, method.__name__) for cls, method in public_methods() if not issubclass(cls, Value)}
    assert sorted(f"{cls.__name__}.{name}" for cls, name in methods if name not in listed[cls]) == []
