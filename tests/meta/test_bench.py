"""Tests of benchmarks without measurements: their commands, the compared programs, and the pages of results."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bench" / "peers"
COMMAND = re.compile(r"python -m (bench[.\w]*)")


HELP_OF_EACH = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print(name, end.code)
"""


@pytest.mark.heavy
def test_bench_commands_print_help_without_measuring() -> None:
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "bench").rglob("*.py")]
    names = sorted(
        ".".join(path.parts).removesuffix(".__main__")
        for path in files
        if '__name__ == "__main__"' in (ROOT / path).with_suffix(".py").read_text(encoding="utf-8")
    )
    run = subprocess.run(
        [sys.executable, "-c", HELP_OF_EACH, *names], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    lines = run.stdout.splitlines()
    assert [line for line in lines if line in {f"{name} 0" for name in names}] == [f"{name} 0" for name in names], run
    assert sum(line.startswith("usage: ") for line in lines) == len(names)


@pytest.mark.heavy
def test_bench_parity_rejects_a_trimmed_reference() -> None:
    words = [sys.executable, "-m", "bench.parity", str(ROOT / "tests" / "oracle" / "mclust")]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].endswith("mclust/README.md explains how to make it.")


def test_bench_commands_that_documents_mention_exist() -> None:
    documents = [*(ROOT / "docs" / "develop").rglob("*.md"), ROOT / "bench" / "README.md", ROOT / "README.md"]
    named = {name for path in documents for name in COMMAND.findall(path.read_text(encoding="utf-8"))}
    assert "bench.pages.roofline" in named
    assert [name for name in sorted(named) if find_spec(name) is None] == []


def classes(path: Path) -> list[ast.ClassDef]:
    """Return the classes of a file that derive from `Peer`, a program in the tables of results."""
    found = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    bases = [{base.id for base in node.bases if isinstance(base, ast.Name)} for node in found]
    return [node for node, names in zip(found, bases, strict=True) if "Peer" in names]


def test_all_peer_classes_are_registered_under_their_names() -> None:
    from bench.peers import PEERS

    in_files = {node.name for path in FOLDER.glob("*.py") for node in classes(path)}
    assert {type(peer).__name__ for peer in PEERS.values()} == in_files
    assert all(name == peer.name for name, peer in PEERS.items())
    assert next(iter(PEERS)) == "gaussmix"


def test_modules_of_peers_do_not_import_the_peers_at_the_top() -> None:
    known = {*sys.stdlib_module_names, "bench", "numpy"}
    for path in FOLDER.glob("*.py"):
        if classes(path) and path.name != "base.py":
            tops = ast.parse(path.read_text(encoding="utf-8")).body
            names = [alias.name for node in tops if isinstance(node, ast.Import) for alias in node.names]
            names += [node.module or "" for node in tops if isinstance(node, ast.ImportFrom)]
            assert {name.partition(".")[0] for name in names} <= known, path.name


def test_required_speed_ratios_refer_to_peers_that_process_all_rows() -> None:
    from bench.peers import PEERS
    from bench.peers.bars import BARS, KINDS

    for bar in BARS:
        assert (bar.structure, bar.separated) in KINDS
        assert PEERS[bar.peer].whole
        assert bar.structure in PEERS[bar.peer].structures
    assert PEERS["gaussmix"].whole


def test_peers_that_are_not_installed_report_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.peers import PEERS

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("bench.peers.base.find_spec", lambda name: None)
    reasons = {name: peer.missing() for name, peer in PEERS.items()}
    assert reasons["R mclust"] == "no Rscript"
    assert reasons["oneDAL"] == "no package scikit-learn-intelex"
    assert all(reasons.values())


def rows_of_table(text: str, first: str) -> list[str]:
    """Return the lines of the table whose header begins with `first`."""
    lines = text[text.index(first) :].splitlines()
    return lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]


def test_the_readme_shows_the_speed_factors_of_the_results_page() -> None:
    result = (ROOT / "bench/results/scikit_learn.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    factors: dict[str, list[float]] = {}
    for section in result.split("\n## ")[1:5]:
        for line in rows_of_table(section, "| n, d, K |")[2:]:
            size, *_, ratio = line.strip("| ").split(" | ")
            factors.setdefault(size, []).append(float(ratio.removeprefix("×")))
    shown = {}
    for line in rows_of_table(readme, "| rows, features, components |")[2:]:
        size, *size_factors = line.strip("| ").split(" | ")
        shown[size] = [int(factor.removesuffix("×")) for factor in size_factors]
    assert list(shown) == list(factors)
    rounding = 0.5 + 0.05  # rounding of a whole number, and of the same number with one decimal
    assert np.abs(np.array(list(shown.values())) - list(factors.values())).max() <= rounding
    ratios = sorted(factor for size_factors in shown.values() for factor in size_factors)
    range_of_all = f"On two cores, an EM iteration is {ratios[0]} to {ratios[-1]} times as fast as scikit-learn's"
    assert range_of_all in readme
    index = " ".join((ROOT / "docs/index.md").read_text(encoding="utf-8").split())
    assert range_of_all.replace("On", "on") in index
    gaussmix_ms, *_ = cells = rows_of_table(result, "| 500,000, 8, 16 |")[0].strip("| ").split(" | ")[1:]
    times = f"took {gaussmix_ms} ms. scikit-learn took {cells[2]} ms, {factors['500,000, 8, 16'][0]:.0f} times"
    assert times in index
    guide_text = (ROOT / "docs/guide/devices.md").read_text(encoding="utf-8")
    other = rows_of_table(result, "| 100,000, 32, 32 |")[0].split(" | ")[1]
    assert f"{gaussmix_ms} ms for an EM iteration over 500,000" in guide_text
    assert f"{other} ms over 100,000 × 32" in guide_text
    fit_times = [line.split(" | ")[1:3] for line in rows_of_table(result, "| 500,000, 8, 16, apart |")]
    (separate, sklearn_separate), (mixed, sklearn_mixed) = fit_times
    fits = f"took {separate} s for separate clusters and {mixed} s for overlapping clusters. scikit-learn's default"
    assert f"{fits} fits took {sklearn_separate} s and {sklearn_mixed} s." in index
    assert f"one core) {fits} fits took {float(sklearn_separate):.1f} and {float(sklearn_mixed):.1f} s." in readme


def test_the_guide_of_devices_states_the_ratios_of_its_results_pages() -> None:
    guide = " ".join((ROOT / "docs/guide/devices.md").read_text(encoding="utf-8").split())
    for page, sklearn_step, tgmm_step in (
        ("gpu", "scikit-learn's step on the same GPU", "as a step of tgmm"),
        ("devices", "scikit-learn's step", "as a step of tgmm"),
    ):
        table = (ROOT / f"bench/results/{page}.md").read_text(encoding="utf-8")
        names, _, *rows = [
            line.strip("| ").split(" | ") for line in rows_of_table(table, "| rows, components, structure |")
        ]
        for column, step in (("scikit-learn / gaussmix", sklearn_step), ("tgmm / gaussmix", tgmm_step)):
            ratios = [float(row[names.index(column)]) for row in rows]
            assert re.search(rf"{min(ratios):.0f} to {max(ratios):.0f} times as fast( as)? {re.escape(step)}", guide)


def test_the_readme_has_the_sentences_of_its_generated_summary() -> None:
    from bench.pages.scikit_learn import summary

    machine = dict.fromkeys(["scikit-learn", "processor", "processors used", "instruction set"], "")
    written = summary(machine, [], {"gaussmix": 1.0, "sklearn": 1.0}, [{"ours": 1.0, "sklearn": 1.0}] * 2)
    number = re.compile(r"[0-9]+(\.[0-9]+)?")
    lines = [number.sub("1", line) for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    for sentences in written.splitlines()[-2:]:
        assert number.sub("1", sentences) in lines


@pytest.mark.heavy
def test_draw_writes_the_speed_table_and_the_picture(tmp_path: Path) -> None:
    from bench.pages.tables import draw

    (tmp_path / "_static").mkdir()
    (tmp_path / "guide").mkdir()
    page = tmp_path / "guide" / "likelihood-and-time.md"
    page.write_text("a\n<!-- speed table -->\nold\n<!-- end of speed table -->\nb\n")
    nats_and_seconds = {"default": (0, 1.0), "kmeans": (1, 2.0), "scikit-learn": (2, 4.0), "n_init=10": (3, 8.0)}
    draw({"0 rounded": nats_and_seconds, "1 rounded": nats_and_seconds}, tmp_path)
    assert "| default | 0.25 | 0.25 | 1 | 100% |" in page.read_text()
    assert "| rounded | 2 | 2 | 2 | 2 |" in page.read_text()
    assert (tmp_path / "_static" / "likelihood-and-time.png").stat().st_size > 1_000
