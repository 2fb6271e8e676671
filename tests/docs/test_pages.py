"""Tests that the Python code in README and guide runs and prints the output that is shown below it."""

from __future__ import annotations

import pkgutil
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from runpy import run_module
from typing import Any
from unittest.mock import patch

import pytest
from common import ALIASES

from gaussmix import FAMILIES

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+://)([^)#]+)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITING = ["docs/guide/model-files.md", "docs/guide/streams.md"]  # pages with code that writes files
NEED_PYSPARK = {"from gaussmix.spark import GaussianMixture"}
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a page."""
    return FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/index.md",
        "docs/guide/getting-started.md",
        *(f"docs/guide/{name}.md" for name in ("initialisation", "convergence", "degenerate", "troubleshooting")),
        "docs/guide/choosing.md",
        "docs/guide/inference.md",
        "docs/guide/factor-analysers.md",
        "docs/guide/curves.md",
        "docs/guide/priors.md",
        "docs/guide/bayesian.md",
        "docs/guide/distribution.md",
        "docs/guide/prediction.md",
        "docs/guide/labels.md",
        "docs/guide/missing.md",
        "docs/guide/outliers.md",
        "docs/guide/noise.md",
        "docs/guide/clusters.md",
        "docs/guide/checkpoints.md",
        "docs/guide/thousands.md",
        "docs/guide/tables.md",
        "docs/guide/export.md",
        "docs/guide/from-mclust.md",
        "docs/guide/from-scikit-learn.md",
        "docs/guide/other-tools.md",
        "docs/guide/from-matlab.md",
        "docs/guide/reading.md",
        "docs/answered/collapse.md",
        "docs/answered/how-many.md",
        "docs/answered/missing-weights.md",
        "docs/answered/known.md",
        "docs/answered/large.md",
        "docs/answered/from-r.md",
        "docs/answered/tools.md",
        "docs/answered/starts.md",
        "docs/answered/fitted.md",
        "docs/answered/not-yet.md",
        "docs/reference/estimator.md",
        "docs/reference/mixture.md",
        *WRITING,
    ],
)
def test_python_blocks_print_the_output_shown_below(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path if page in WRITING else ROOT)
    namespace: dict[str, Any] = {}
    found = blocks(page)
    assert "python" in dict(found)
    for (language, code), (_, below) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "python":
            printed = StringIO()
            with redirect_stdout(printed):
                exec(compile(code, page, "exec"), namespace)
            assert printed.getvalue() in ("", below)


def assert_same_words(printed: str, expected: str) -> None:
    """Check that two texts have the same words, and the same numbers up to 1e-9 or the last digit shown."""
    found, wanted = re.split(r"[\s,]+", printed.strip()), re.split(r"[\s,]+", expected.strip())
    assert len(found) == len(wanted)
    for word, want in zip(found, wanted, strict=True):
        if NUMBER.fullmatch(word) and NUMBER.fullmatch(want):
            shown = 10.0 ** -len(want.partition(".")[2])
            assert float(word) == pytest.approx(float(want), rel=1e-9, abs=1.01 * shown if shown > 1e-9 else 0.0)
        else:
            assert word == want


@pytest.mark.heavy
def test_commands_of_the_guide_print_the_output_shown_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [block for block in blocks("docs/guide/command-line.md") if block[0] != "console"]  # outputs in full
    (_, fit), (_, fitted), (_, table), (_, predict), (_, predicted), (_, regress), (_, regressed) = found[:7]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "new.csv").write_text(table, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for command, expected in ((fit, fitted), (predict, predicted), (regress, regressed)):
        with patch("sys.argv", shlex.split(command)), pytest.raises(SystemExit, match=r"^0$"):
            run_module("gaussmix", run_name="__main__")
        assert_same_words(capsys.readouterr().out, expected)


def texts(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield paths with their texts, without fenced blocks."""
    return ((path, FENCE.sub("", path.read_text(encoding="utf-8"))) for path in paths)


def test_relative_links_lead_to_existing_files() -> None:
    links = [(path, target) for path, text in texts(PAGES) for target in LINK.findall(text)]
    assert [link for link in links if not (link[0].parent / link[1]).exists()] == []


def test_all_names_in_the_reference_are_public() -> None:
    entry = re.compile(r"^(?:\.\. (currentmodule|auto\w+):: | {3}~?(?=[\w.]+$))([\w.]+)$", re.MULTILINE)
    found = []
    for page in sorted((ROOT / "docs/reference").glob("*.md")):
        module = "gaussmix"
        for directive, name in entry.findall(page.read_text(encoding="utf-8")):
            if directive == "currentmodule":
                module = name
            elif directive != "autosummary":
                full = name if name.startswith("gaussmix.") else f"{module}.{name}"
                if "spark" not in full or find_spec("pyspark"):
                    assert "_src" not in full, page
                    pkgutil.resolve_name(full)  # raises an error that contains the missing name
                    found.append(full)
    assert len(found) > 100


def test_imports_of_pages_and_examples_run() -> None:
    programs = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").rglob("*.py"))]
    programs += [text for page in PAGES for kind, text in blocks(page) if kind in ("python", "pycon")]
    wanted = re.compile(r"^(?:>>> )?((?:from gaussmix\S* import (?:\([^)]*\)|.*))|import gaussmix.*)$", re.MULTILINE)
    imports = sorted({line for program in programs for line in wanted.findall(program)} - NEED_PYSPARK)
    assert len(imports) > 30
    assert [line for line in imports if "_src" in line] == []
    for line in imports:
        exec(line, {})


def test_files_that_pages_mention_exist() -> None:
    name = re.compile(r"`([\w.-]+/[\w./-]+\.(?:py|md|cpp|hpp|csv))`(?! \*new\*)")
    folders = [ROOT, ROOT / "src/gaussmix/_src", ROOT / "src", ROOT / "cpp"]
    named = [(path, file) for path, text in texts(PAGES) for file in name.findall(text)]
    assert [each for each in named if not any((folder / each[1]).exists() for folder in folders)] == []


def value_of(formula: str, n_components: int, n_features: int) -> float:
    """Evaluate a formula in which products have no sign, such as K d(d+1)/2."""
    signed = re.sub(r"(?<=[Kd)]) ?(?=[Kd(])", "*", formula.replace("−", "-"))
    return eval(signed, {"K": n_components, "d": n_features})


def test_the_guide_lists_all_structures_with_their_numbers_of_parameters() -> None:
    text = (ROOT / "docs/guide/structures.md").read_text()
    shown = {}
    for name, formula in re.findall(r'^\| `"(\w+)"` \|.*?\| ([^|]*) \|.*$', text, flags=re.MULTILINE):
        shown[name] = formula
    for names, formulas in re.findall(r"^\| (`[EVI]{3}`.*?) \|.*\| ([^|]*) \|$", text, flags=re.MULTILINE):
        shown |= dict(zip(re.findall(r"`([EVI]{3})`", names), formulas.split(", "), strict=True))
        for alias, name in re.findall(r'`([EVI]{3})` \(`"(\w+)"`\)', names):
            assert ALIASES[alias] == name
    tried_by_all = {name for name, each in FAMILIES.items() if each.in_all}
    assert set(shown) == tried_by_all | {name for name in ALIASES if len(name) == 3}
    for name, formula in shown.items():
        assert value_of(formula, 3, 5) == FAMILIES[ALIASES.get(name, name)].n_parameters(3, 5)


def test_the_page_about_the_core_lists_all_files() -> None:
    text = (ROOT / "docs/develop/cpp.md").read_text(encoding="utf-8")
    named, folder = [], ""
    for line in text.splitlines():
        if line.startswith("| file"):
            folder = next(iter(re.findall(r"in `(.*)`", line)), "")
        elif line.startswith("| `"):
            named += [folder + name for name in re.findall(r"`(.+?)`", line.split("|")[1])]
    core = ROOT / "cpp"
    files = [path.relative_to(core).as_posix() for kind in ("cpp", "hpp") for path in core.rglob(f"*.{kind}")]
    assert sorted(named) == sorted(files)
