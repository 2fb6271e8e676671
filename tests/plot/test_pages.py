"""Tests that the code of the guide and of the README draws their pictures."""

import re
import runpy
from pathlib import Path
from textwrap import dedent

import matplotlib.pyplot as plt
import pytest

import gaussmix.plot

ROOT = Path(__file__).parents[2]


PLOT = re.compile(r"^\.\. plot::\n((?:   :[^\n]*\n)*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@pytest.mark.heavy
def test_the_code_of_the_guide_draws_each_picture(monkeypatch):
    """Run the blocks in order, as Sphinx does, with the names of earlier blocks; each block shows a picture."""
    monkeypatch.chdir(ROOT)
    blocks = PLOT.findall((ROOT / "docs/guide/pictures.md").read_text(encoding="utf-8"))
    files = re.findall(r"filename-prefix: (\S+)", "".join(options for options, _ in blocks))
    assert len(set(files)) == len(blocks)  # Sphinx numbers pictures from 1 in every block
    names = {}
    drawn = set()
    for options, code in blocks:
        exec(compile(dedent(code), "pictures.md", "exec"), names)
        figures = len(plt.get_fignums())
        assert figures == (0 if ":nofigs:" in options else 1), code
        assert ":alt: " in options or not figures, code
        drawn |= set(re.findall(r"gp\.(\w+)", code))
        plt.close("all")
    assert drawn == set(gaussmix.plot.__all__)


@pytest.mark.heavy
@pytest.mark.parametrize("page", ["light", "dark"])
def test_the_picture_of_the_readme_is_shown_and_can_be_drawn_again(page, tmp_path):
    shown = f"docs/_static/tasks-{page}.png"
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / shown).stat().st_size < 350_000
    script = runpy.run_path(str(ROOT / "examples/readme_picture.py"))
    script["write"](page, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes().startswith(b"\x89PNG")


def test_the_reference_lists_each_display():
    page = (ROOT / "docs/reference/displays.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^   gaussmix\.plot\.(\w+)$", page, re.MULTILINE)) == sorted(gaussmix.plot.__all__)
