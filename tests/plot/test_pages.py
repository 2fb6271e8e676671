"""The guide's picture and the README's are made by what stands there."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_guide_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    page = (ROOT / "docs/guide/pictures.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    exec(compile(code, "pictures.md", "exec"), {})
    assert (tmp_path / "faithful.png").stat().st_size > 10_000


@pytest.mark.parametrize("page", ["light", "dark"])
def test_the_picture_of_the_readme_is_shown_and_can_be_drawn_again(page, tmp_path):
    shown = f"docs/_static/faithful-{page}.png"
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / shown).stat().st_size < 100_000
    script = runpy.run_path(str(ROOT / "examples/readme_picture.py"))
    script["write"](page, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes().startswith(b"\x89PNG")
