"""What the guide to model files shows is what happens."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "model-files.md"


def test_the_guide_s_python_prints_what_stands_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    shown = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert len(shown) == 2
    for code, below in shown:
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), namespace)
        assert printed.getvalue() == below
