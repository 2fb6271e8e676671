"""Armadillo's gmm_full and gmm_diag, in a program that is compiled here for this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.peers.program import Program

SOURCE = Path(__file__).with_name("armadillo.cpp")
ASK = '#include <armadillo>\n"is" ARMA_VERSION_MAJOR.ARMA_VERSION_MINOR.ARMA_VERSION_PATCH\n'


class Armadillo(Program):
    name = "Armadillo"

    def missing(self) -> str | None:
        if shutil.which("g++") is None:
            return "no g++"
        return None if self._preprocessed().returncode == 0 else "no header of Armadillo"

    def version(self) -> str:
        return self._preprocessed().stdout.rpartition('"is"')[2].replace(" ", "").strip()

    def command(self) -> list[str]:
        program = self.folder / "armadillo"
        if not program.exists():
            flags = ["-O3", "-march=native", "-fopenmp", "-DARMA_NO_DEBUG"]
            subprocess.run(["g++", *flags, str(SOURCE), "-o", str(program), "-larmadillo"], check=True)
        return [str(program)]

    @staticmethod
    def _preprocessed() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["g++", "-E", "-P", "-x", "c++", "-"], input=ASK, capture_output=True, text=True)
