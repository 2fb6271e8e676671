"""mclust for R: `em`, which makes an E-step from given parameters and then calls `me`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.peers.program import Program


class Mclust(Program):
    name = "R mclust"
    threads = (1,)  # its Fortran loops use one

    def missing(self) -> str | None:
        if shutil.which("Rscript") is None:
            return "no Rscript"
        return None if self._ask('invisible(packageVersion("mclust"))').returncode == 0 else "no R package mclust"

    def version(self) -> str:
        return self._ask('cat(format(packageVersion("mclust")))').stdout

    def command(self) -> list[str]:
        return ["Rscript", "--vanilla", str(Path(__file__).with_name("mclust.R"))]

    @staticmethod
    def _ask(expression: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["Rscript", "--vanilla", "-e", expression], capture_output=True, text=True)
