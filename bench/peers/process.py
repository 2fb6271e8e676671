"""A measurement in a process of its own, so that one that crashes or hangs ends no more than itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT = 120  # seconds


def in_a_process(module: str, *words: str, limit: float = LIMIT) -> Any:
    """What `python -m MODULE OUT WORDS` writes to OUT as JSON, or {"failed": why}."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", module, str(out), *words]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"over {limit:.0f} s"}
        if done.returncode == 0:
            return json.loads(out.read_text())
        print(done.stderr[-2000:], file=sys.stderr)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"failed": last[:120] if done.returncode > 0 else f"signal {-done.returncode}"}
