"""Run a measurement in a separate process, so that other measurements continue if it crashes or hangs."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT = 150  # time limit in seconds
SCRATCH = "GAUSSMIX_BENCH_SCRATCH"  # variable that names a folder for data that a run computes once


def parse_arguments(description: str | None, word: str) -> argparse.Namespace:
    """Return the arguments that `in_a_process` passed to this process: `out`, a path, and one more word."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="file to write JSON to")
    parser.add_argument(word)
    return parser.parse_args()


def in_a_process(module: str, *words: str, limit: float = LIMIT) -> Any:
    """Return the JSON that `python -m MODULE OUT WORDS` writes to OUT, or {"failed": why}."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", module, str(out), *words]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            _, output = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"over {limit:g} s"}
        finally:
            # Child processes are killed, too, because they would slow down the next measurement.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            assert process.stderr is not None
            process.stderr.close()
        if process.returncode == 0:
            return json.loads(out.read_text())
        print(output[-2000:], file=sys.stderr)
        last = (output.strip().splitlines() or ["no message"])[-1]
        return {"failed": last[:120] if process.returncode > 0 else f"signal {-process.returncode}"}
