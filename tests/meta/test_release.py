"""Tests that versions, licences and dependencies in other files agree with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FIELDS = PROJECT["project"]


def read(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def requirement(text):
    """Return the name and the version bounds of a requirement of pip or conda."""
    name, bounds = re.fullmatch(r"([\w-]+)\s*(.*)", text).groups()
    return name, bounds.replace(" ", "")


def test_the_conda_package_agrees_with_pyproject():
    recipe = read("packaging/conda/recipe.yaml")
    assert recipe["context"]["version"] == FIELDS["version"]
    needs = recipe["requirements"]
    wanted = {requirement(text) for text in [*FIELDS["dependencies"], *FIELDS["optional-dependencies"]["cli"]]}
    assert {requirement(text) for text in needs["run"]} == {*wanted, ("python", "")}
    built = {requirement(text) for text in PROJECT["build-system"]["requires"]}
    assert {requirement(text) for text in needs["host"]} == {*built, ("python", ""), ("pip", "")}
    (command,) = recipe["build"]["python"]["entry_points"]
    assert command == " = ".join(["gaussmix", FIELDS["scripts"]["gaussmix"]])
    assert recipe["about"]["license"] == FIELDS["license"]
    for file in recipe["tests"][1]["files"]["source"]:
        assert (ROOT / file).exists()


def test_the_citation_agrees_with_pyproject():
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # fields that the format requires
    assert (citation["version"], citation["license"]) == (FIELDS["version"], FIELDS["license"])
    assert (citation["repository-code"], citation["url"]) == (FIELDS["urls"]["Source"], FIELDS["urls"]["Documentation"])
    assert [author["name"].lower() for author in citation["authors"]] == [
        each["name"].lower() for each in FIELDS["authors"]
    ]
    entry = re.search(r"```bibtex\n(.*?)```", (ROOT / "docs/index.md").read_text(encoding="utf-8"), re.DOTALL)
    assert entry is not None
    shown = dict(re.findall(r"(\w+) = \{+(.*?)\}", entry[1]))
    entries = {key: citation[key] for key in ("title", "version")}
    assert shown == {"author": "The gaussmix developers", "url": citation["repository-code"], **entries}


def test_actions_are_pinned_by_hash_and_workflows_can_only_read():
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        workflow = read(path)
        used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
        assert [name for name in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name)] == []
        assert workflow["permissions"] in ({}, {"contents": "read"})
