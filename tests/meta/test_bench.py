"""Benches and tools without measuring: commands, peers, what a budget buys, what the pages say."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bench" / "peers"
COMMAND = re.compile(r"python -m (bench[.\w]*)")
SECONDS = {"gaussmix": 0.01, "scikit-learn": 0.3, "oneDAL": 0.04, "R mclust": 2.0}  # 30× and 4×


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benches run from the root of the repository."""
    monkeypatch.syspath_prepend(str(ROOT))


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
def test_every_command_has_help_and_measures_nothing_for_it() -> None:
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "bench").rglob("*.py")]
    names = sorted(
        ".".join(path.parts).removesuffix(".__main__")
        for path in files
        if '__name__ == "__main__"' in (ROOT / path).with_suffix(".py").read_text(encoding="utf-8")
    )
    run = subprocess.run(
        [sys.executable, "-c", HELP_OF_EACH, *names], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    said = run.stdout.splitlines()
    assert [line for line in said if line in {f"{name} 0" for name in names}] == [f"{name} 0" for name in names], run
    assert sum(line.startswith("usage: ") for line in said) == len(names)


@pytest.mark.heavy
def test_parity_refuses_a_trimmed_reference_in_a_sentence() -> None:
    words = [sys.executable, "-m", "bench.parity", str(ROOT / "tests" / "oracle" / "mclust")]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].endswith("mclust/README.md says how to make it.")


def test_documents_name_commands_that_are_there() -> None:
    documents = [*(ROOT / "docs" / "develop").rglob("*.md"), ROOT / "bench" / "README.md", ROOT / "README.md"]
    named = {name for path in documents for name in COMMAND.findall(path.read_text(encoding="utf-8"))}
    assert "bench.pages.roofline" in named
    assert [name for name in sorted(named) if find_spec(name) is None] == []


def test_tests_that_look_for_mutants_are_there() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", (ROOT / "tools" / "mutants.py").read_text(encoding="utf-8")))
    assert "tests/laws/test_em.py" in named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def classes(path: Path) -> list[ast.ClassDef]:
    """Classes of a file that say what they are called in the table."""
    found = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    bases = [{base.id for base in node.bases if isinstance(base, ast.Name)} for node in found]
    return [node for node, names in zip(found, bases, strict=True) if names & {"Peer", "Program"}]


def test_every_file_of_a_peer_is_registered_and_names_follow_from_the_classes() -> None:
    from bench.peers.registry import PEERS

    in_files = {node.name for path in FOLDER.glob("*.py") for node in classes(path)} - {"Program"}
    assert {type(peer).__name__ for peer in PEERS.values()} == in_files
    assert all(name == peer.name for name, peer in PEERS.items())
    assert next(iter(PEERS)) == "gaussmix"


def test_no_peer_is_imported_before_it_is_used() -> None:
    known = {*sys.stdlib_module_names, "bench", "numpy"}
    for path in FOLDER.glob("*.py"):
        if classes(path) and path.name != "base.py":
            tops = ast.parse(path.read_text(encoding="utf-8")).body
            names = [alias.name for node in tops if isinstance(node, ast.Import) for alias in node.names]
            names += [node.module or "" for node in tops if isinstance(node, ast.ImportFrom)]
            assert {name.partition(".")[0] for name in names} <= known, path.name


def test_bars_are_set_against_peers_that_do_all_rows() -> None:
    from bench.peers.bars import BARS, KINDS
    from bench.peers.registry import PEERS

    for bar in BARS:
        assert (bar.structure, bar.separated) in KINDS
        assert PEERS[bar.peer].whole
        assert bar.structure in PEERS[bar.peer].structures
    assert PEERS["gaussmix"].whole


def test_a_peer_that_is_not_there_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.peers.registry import PEERS

    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "daal4py", None)
    monkeypatch.setattr("bench.peers.base.find_spec", lambda name: None)
    reasons = {name: peer.missing() for name, peer in PEERS.items()}
    assert reasons["R mclust"] == "no Rscript"
    assert reasons["Armadillo"] == "no g++"
    assert reasons["oneDAL"] == "no package scikit-learn-intelex"
    assert all(reasons.values())


@pytest.mark.parametrize("budget", [0.1, 1.0, 3.0, 30.0, 1e4])
def test_a_plan_keeps_its_budget_and_uses_it(budget: float) -> None:
    from bench.peers.measure import LEAST_ITERATIONS, MOST_ITERATIONS, MOST_REPEATS, plan

    tried, n_rows, iteration, overhead = 10_000, 200_000, 0.01, 0.02
    chosen = plan(iteration, overhead, tried, n_rows, budget, whole=False)
    share = chosen.n_rows / tried
    cost = chosen.repeats * share * (2 * overhead + (2 + chosen.iterations) * iteration)
    assert tried <= chosen.n_rows <= n_rows
    assert cost <= budget or chosen.n_rows == tried
    if chosen.n_rows < n_rows:  # then all went into rows
        assert chosen.iterations == LEAST_ITERATIONS
        assert cost > 0.9 * budget
    if budget == 1e4:
        assert (chosen.n_rows, chosen.iterations, chosen.repeats) == (n_rows, MOST_ITERATIONS, MOST_REPEATS)
    assert plan(iteration, overhead, tried, n_rows, budget, whole=True).n_rows == n_rows


def test_errors_are_in_their_units() -> None:
    from bench.peers.base import Fit
    from bench.peers.exact import errors

    covariances = np.array([[[4.0, 1.0], [1.0, 9.0]]])
    exact = [Fit(np.array([1.0]), np.array([[5.0, 7.0]]), covariances, total) for total in (-100.0, -50.0)]
    assert errors(exact[1], exact, 1) == dict.fromkeys(("weights", "means", "covariances", "log-likelihood"), 0.0)
    assert errors(replace(exact[1], log_likelihood=-100.0), exact, 1)["log-likelihood"] == 0.0
    off = Fit(np.array([1.25]), np.array([[5.0, 7.75]]), covariances + 0.75 * (1 - np.eye(2)), -55.0)
    found = errors(off, exact, 1)
    assert found["weights"] == 0.25
    assert found["means"] == 0.25  # of a standard deviation of 3
    assert found["covariances"] == 0.75 / 6  # of the product of two standard deviations
    assert found["log-likelihood"] == pytest.approx(0.1, rel=1e-15)


def canned() -> dict[str, Any]:
    """A report in which oneDAL is too fast, mclust did fewer rows and failed once, and Spark was not there."""
    from bench.peers.bars import KINDS, cases_of

    results = []
    for kind in KINDS:
        for number, case in enumerate(cases_of(*kind)):
            for peer, seconds in SECONDS.items():
                found: dict[str, Any] = {"seconds": {"1": 2 * seconds, "2": seconds}, "megabytes": 12.3}
                found |= {"n_rows": case.n_rows // (2 if peer == "R mclust" else 1), "iterations": 2, "repeats": 2}
                if peer == "R mclust" and number == 5:
                    found = {"failed": "over 120 s"}
                results.append({"peer": peer, "case": vars(case), **found})
    part = {"weights": 1e-16, "means": 2e-16, "covariances": 3e-16, "log-likelihood": None}
    return {
        "machine": {"processor": "canned"},
        "versions": dict.fromkeys(SECONDS, "1.0"),
        "notes": {"R mclust": "one thread"},
        "skipped": {"Spark MLlib": "no Java"},
        "errors": {"gaussmix": {"full": {"one": part, "three": part, "far": None}}, "oneDAL": {"failed": "why"}},
        "results": results,
        "minutes": 1.0,
    }


def assert_tables_are_regular(page: str) -> None:
    """A table begins after an empty line, and every row of it has as many cells as its head."""
    for above, line in pairwise(page.splitlines()):
        if line.startswith("|"):
            assert not above or above.count("|") == line.count("|"), line


def test_a_page_says_what_makes_it_and_holds_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.pages import base

    monkeypatch.setattr(base, "RESULTS", tmp_path)
    page = base.Page("pages/some.py", "Some figures", "in seconds", {"processor": "canned"})
    page.say("## A part")
    page.table("| n | seconds", ([name, 1, None] for name in ("one", "other")))
    page.write({"results": [1, None]})
    text = (tmp_path / "some.md").read_text(encoding="utf-8")
    assert_tables_are_regular(text)
    for line in ("Made by `python -m bench.pages.some`; in seconds.", "|---|---:|---:|", "| other | 1 |  |"):
        assert line in text.splitlines()
    report = json.loads((tmp_path / "some.json").read_text(encoding="utf-8"))
    assert report == {"machine": {"processor": "canned"}, "results": [1, None]}


def test_the_page_says_what_was_met_scaled_skipped_and_failed() -> None:
    from bench.peers.page import markdown

    page = markdown(canned())
    assert_tables_are_regular(page)
    for line in (
        "| full, overlapping clusters | scikit-learn | 28× | 30.0× | met |",
        "| full, separated clusters | scikit-learn | 60× | 30.0× | not met |",
        "| diag, overlapping clusters | oneDAL | 4× | 4.0× | met |",
        "| oneDAL | 40.0 | 40.0 | 40.0 | 40.0 | 40.0 | 40.0 | 4.0 |",
        "| R mclust | *2,000.0* | *2,000.0* | *2,000.0* | *2,000.0* | *2,000.0* | failed | 200.0 (5 of 6) |",
        "| R mclust | *12* | *12* | *12* | *12* | *12* | failed |",
        "| gaussmix, full | 1.0e-16 | 2.0e-16 | 3.0e-16 | – | 3.0e-16 | – |",
        "| oneDAL | failed | | | | | |",
        "- Spark MLlib: skipped, no Java",
        "- R mclust 1.0: one thread",
        "- R mclust on full 2e4, d=128, K=16: over 120 s",
    ):
        assert line in page.splitlines(), line


def test_a_bar_stays_open_until_every_shape_is_measured() -> None:
    from bench.peers.bars import BARS, verdict

    results = canned()["results"]
    assert verdict(BARS[0], results[:-1])[1] == "met"
    without = [r for r in results if (r["peer"], r["case"]["n_features"]) != ("scikit-learn", 128)]
    assert verdict(BARS[0], without)[1] == "open: 5 of 6 shapes"
    assert verdict(BARS[0], [])[1] == "open: not measured"


@pytest.mark.heavy
def test_the_plots_are_drawn(tmp_path: Path) -> None:
    from bench.peers.page import PLOTS
    from bench.peers.plots import draw

    draw(canned(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PLOTS.values())


@pytest.mark.heavy
def test_growth_states_the_exponents_of_its_points(tmp_path: Path) -> None:
    from bench.pages.growth_page import PLOTS, draw, markdown

    powers = {"n_rows": 1.0, "n_features": 2.0, "n_components": 1.5}
    sizes = [1, 10, 100, 1_000, 10_000, 100_000]
    points = {
        name: [{"size": n, "seconds": max(n, 10.0) ** power, "megabytes": 3.0 + (n < 100)} for n in sizes]
        for name, power in powers.items()
    }
    report: dict[str, Any] = {
        "machine": {"processor": "canned"},
        "fixed": dict.fromkeys(powers, 7),
        "fewer": {"n_features": {"n_rows": 5}},
        "sweeps": {name: {"gaussmix": of_name, "scikit-learn": of_name[:2]} for name, of_name in points.items()},
        "threads": [
            {
                "case": {"n_rows": 100, "n_features": 2, "n_components": 3},
                "speed_up": {"1": 1.0, "2": 1.9, "4": 1.8},
                "processes": 1.95,
            }
        ],
        "large": {"failed": "over 300 s"},
    }
    page = markdown(report)
    assert_tables_are_regular(page)
    for line in (
        "| gaussmix | 1.00 | 2.00 | 1.50 | 0.00 | 0.00 | 0.00 |",
        "| scikit-learn | – | – | – | – | – | – |",
        "## d: n = 5, K = 7",
        "| 100, 2, 3 | 1.90 | 1.80 | 1.95 |",
        "Not measured: over 300 s.",
    ):
        assert line in page.splitlines(), line
    draw(report, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PLOTS.values())


@pytest.mark.heavy
def test_what_inference_chooses_covers_what_it_says() -> None:
    """The table's rule on some of its cells; formulas alone fall short of it where components overlap."""
    from bench.pages.coverage import ALL, DIRICHLET, OURS, covered, is_right, sizes

    names = (
        "full, K=2, n=300, 4 apart, plain",
        "full, K=3, n=300, 2.5 apart, plain",
        "EEV, K=2, n=300, 3 apart, plain",
        "full, K=2, n=300, 4 apart, precision",
    )
    designs = {str(design): design for design in ALL}
    assert len(designs) == 40
    for name in names:
        found = covered((designs[name], list(range(1000, 1050)), (OURS, "hessian")))
        right = {
            title: [*map(is_right, np.array([each[title] for each in found]).T, sizes(designs[name]))]
            for title in (OURS, "hessian")
        }
        assert right[OURS] == [True] * 3, name
        if "2.5" in name:
            assert right["hessian"][1:] == [False] * 2
            assert {each["chosen"] for each in found} == {DIRICHLET}


@pytest.mark.heavy
def test_mclusts_intervals_are_read_in_the_order_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals about the truth hold every number, in any structure, and others none."""
    from bench.pages import coverage

    shift = 0.0

    def written(words: list[str], check: bool) -> None:
        mixture = design.mixture
        values = [mixture.weights, mixture.means.ravel(), mixture.model.covariances.dense().ravel()]
        point = np.concatenate(values) + shift
        np.savetxt(words[4], [[3, 0, *(point - 1e-9)], [3, 1, *(point + 1e-9)]], delimiter=",")

    monkeypatch.setattr(coverage.subprocess, "run", written)
    for shift in (0.0, 0.5):
        for design in coverage.ALL:
            if design.is_mclust:
                expected = {"design": str(design), "seed": 3, "mclust": [float(shift == 0)] * 3}
                assert coverage.beside(design, [3]) == [expected]


COVERAGE = "docs/guide/inference.md", "bench/results/coverage.md"


def rows_of_table(text: str, first: str) -> list[str]:
    """The lines of the table whose header begins so."""
    lines = text[text.index(first) :].splitlines()
    return lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]


def test_the_guide_shows_the_table_of_the_page_of_results() -> None:
    pages = (ROOT / "docs/guide/choosing.md", ROOT / "bench/results/choosing.md")
    guide, result = (rows_of_table(page.read_text(encoding="utf-8"), "| clusters | true |") for page in pages)
    assert guide == result
    assert len(guide) > 10


def cells_of(lines: list[str]) -> dict[str, dict[str, str]]:
    """The cells of a table by the beginning of their line and the title of their column, without asides and bold."""
    rows = [[re.sub(r"\*\*| \(.*?\)", "", cell).strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_the_guide_shows_the_coverage_of_the_page_of_results() -> None:
    guide, page = ((ROOT / name).read_text(encoding="utf-8") for name in COVERAGE)
    found = cells_of(rows_of_table(page, "| design |"))
    taken = found["all that take formulas"], found["all that take refits"]
    counts = [int(row["sets"].replace(",", "")) for row in taken]
    shares = [f"{100 * n / sum(counts):.0f} %" for n in counts]
    assert f"in {sum(counts):,} data sets" in guide
    assert f"| formulas suffice ({shares[0]} of the data sets) | it takes refits ({shares[1]}) |" in guide
    titles = {"Hessian": "hessian", "parametric bootstrap": "parametric", "mclust, nonparametric": "mclust"}
    shown = cells_of(rows_of_table(guide, "| 95 % intervals that held the truth |"))
    assert len(shown) > 5
    for title, row in shown.items():
        assert list(row.values())[1:] == [each[titles.get(title, title)] for each in taken], title
    for design, title in (
        ("full, K=3, n=300, 2.5 apart, plain", "hessian"),
        ("full, K=3, n=300, 2.5 apart, plain", "`inference(X)`"),
        ("full, K=2, n=300, 4 apart, precision", "hessian"),
        ("full, K=2, n=300, 4 apart, precision", "`inference(X)`"),
        ("full, K=2, n=300, 2.5 apart, prior", "`inference(X)`"),
    ):
        assert found[design][title] in guide, (design, title)


def test_the_words_of_inference_say_what_the_page_of_results_does() -> None:
    """What the notes of a result tell of simulated cases, in whole percent."""
    from gaussmix.report.bootstrap import _HELD_BY_REFITS
    from gaussmix.report.inference import _HELD, _OF_PRIOR

    found = cells_of(rows_of_table((ROOT / COVERAGE[1]).read_text(encoding="utf-8"), "| design |"))
    for words, title in ((_HELD, "hessian"), (_HELD_BY_REFITS, "`inference(X)`")):
        number = re.search(r"(\d+) %$", words)
        assert number is not None
        assert number[1] in found["all that take refits"][title].split(" / ")
    said = re.search(r"in (\d+) to (\d+) %", _OF_PRIOR)
    assert said is not None
    of_prior = sorted(map(int, found["full, K=2, n=300, 2.5 apart, prior"]["`inference(X)`"].split(" / ")))
    assert [int(each) for each in said.groups()] == [of_prior[0], of_prior[-1]]


def test_the_readme_shows_the_factors_of_the_page_of_results() -> None:
    result = (ROOT / "bench/results/scikit_learn.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    factors: dict[str, list[float]] = {}
    for section in result.split("\n## ")[1:5]:
        for line in rows_of_table(section, "| n, d, K |")[2:]:
            size, *_, ratio = line.strip("| ").split(" | ")
            factors.setdefault(size, []).append(float(ratio.removeprefix("×")))
    shown = {}
    for line in rows_of_table(readme, "| rows, features, components |")[2:]:
        size, *of_size = line.strip("| ").split(" | ")
        shown[size] = [int(factor.removesuffix("×")) for factor in of_size]
    assert list(shown) == list(factors)
    rounding = 0.5 + 0.05  # of a number, and of the same number with a digit more
    assert np.abs(np.array(list(shown.values())) - list(factors.values())).max() <= rounding
    every = sorted(factor for of_size in shown.values() for factor in of_size)
    assert f"{every[0]} to {every[-1]} times as fast as scikit-learn" in readme
