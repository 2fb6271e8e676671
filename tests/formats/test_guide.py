"""What the guide's pages that write model files show is what happens."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide"


@pytest.mark.parametrize(("page", "n_shown"), [("model-files.md", 2), ("streams.md", 4)])
def test_the_guide_s_python_prints_what_stands_below_it(page, n_shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    text = (GUIDE / page).read_text("utf-8")
    shown = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", text, re.M | re.S)
    assert len(shown) == n_shown
    for code, below in shown:
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(code, page, "exec"), namespace)
        assert printed.getvalue() == below
