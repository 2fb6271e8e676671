"""tools/wheel_hashes.py sees wheels whose hashes differ or are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAME = {
    "a-linux.whl": "",
    "b-win.whl": "",
    "c-none-any.whl": "",
    "a-linux.txt": "full: 1f",
    "b-win.txt": "full: 1f",
}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "The hashes of all wheels are the same."),
        ({"b-win.txt": "full: 2e"}, "b-win and a-linux differ in 1 fits, first full"),
        ({"b-win.txt": "full: 1f\ntied: 2e"}, "b-win and a-linux differ in 1 fits, first tied"),
        ({"d-macos.whl": ""}, "there are no hashes of d-macos.whl"),
    ],
)
def test_differences_are_named(tmp_path: Path, changed: dict[str, str], sentence: str) -> None:
    for name, content in (SAME | changed).items():
        (tmp_path / name).write_text(content)
    command = [sys.executable, ROOT / "tools/wheel_hashes.py", "compare", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"{sentence}\n", int(bool(changed)))


def test_one_wheel_is_too_few(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools/wheel_hashes.py", "compare", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("0 wheels with an extension are too few to compare\n", 1)
