"""Check the contents of wheels and source distributions.

Usage: check_wheel.py FILE...      as in `nox -s wheel`

A wheel contains the package, its type stubs, its licence and one extension, tagged for the Pythons that can load it.
The wheel contains no source of this extension and no tests. The extension contains exactly the kernels of its
processors. A source distribution contains everything that building, testing and documenting need, and no built files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile

PACKAGE = Path(__file__).parents[1] / "src" / "gaussmix"

PAGE = "gaussmix/_src/cli/show/page.html"  # template of reports
IN_WHEEL = [PAGE, "gaussmix/py.typed", "gaussmix/_core.pyi", "gaussmix/__init__.pyi", "gaussmix-*/licenses/LICENSE"]
ONLY_IN_WHEEL = [*IN_WHEEL, "gaussmix/*.py", "gaussmix/_core.*", "gaussmix-*.dist-info/*", "gaussmix.libs/*"]
EXTENSION = re.compile(r"gaussmix/_core\.[^/]*(so|pyd)$")
# From Python 3.12 on one wheel uses the stable ABI, except for free-threaded 3.14. The values are the extensions'
# suffixes.
TAGS = {
    "cp311-cp311": ("_core.cpython-311-", "_core.cp311-"),
    "cp312-abi3": ("_core.abi3.so", "_core.pyd"),
    "cp314-cp314t": ("_core.cpython-314t-", "_core.cp314t-"),
}

IN_SDIST = [
    "CMakeLists.txt", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "noxfile.py", "PKG-INFO",
    "cpp/kernels/kernels.cpp", "cpp/simd/avx512.hpp", "docs/conf.py", "docs/index.md", "examples/faithful.csv",
    "src/gaussmix/_core.pyi", "tests/conftest.py", "tests/formats/v1.gmm", "tests/meta/public_api.txt",
    "tests/oracle/mclust/fits.json", "tools/check_weak_symbols.py", "packaging/build_backend.py",
]  # fmt: skip
NOT_IN_SDIST = ["*.so", "*.pyd", "*.pyc", "build/*", "dist/*", ".venv*", ".nox/*", ".git/*", ".ci/*", "*_cache/*"]

# Backends by the suffix of a wheel's platform, and the multiply-add instruction of each backend that has one.
BACKENDS = {("x86_64", "amd64"): {"portable", "avx2", "avx512"}, ("aarch64", "arm64"): {"neon"}}
INSTRUCTIONS = {
    "avx2": re.compile(r"vfmadd\d+pd .*%ymm"),
    "avx512": re.compile(r"vfmadd\d+pd .*%zmm"),
    "neon": re.compile(r"fmla(\.2d\s|\s+v\d+\.2d)"),
}


def wheel_faults(path: Path) -> Iterator[str]:
    """Return one sentence for each fault of a wheel."""
    with ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/")]
        yield from _missing(names, IN_WHEEL)
        yield from (f"{name} does not belong here" for name in names if not _matches(name, ONLY_IN_WHEEL))
        here = {f"gaussmix/{source.relative_to(PACKAGE).as_posix()}" for source in PACKAGE.rglob("*.py")}
        yield from (f"{name} is missing" for name in sorted(here - set(names)))
        yield from (f"{name} is not in the source tree" for name in names if name.endswith(".py") and name not in here)

        extensions = [name for name in names if EXTENSION.fullmatch(name)]
        _, _, python, abi, platform = path.stem.split("-")
        if len(extensions) != 1:
            yield f"there are {len(extensions)} extensions, not one: {extensions}"
            return
        if not extensions[0].removeprefix("gaussmix/").startswith(TAGS.get(f"{python}-{abi}", ())):
            yield f"{extensions[0]} is tagged {python}-{abi}; known are {', '.join(TAGS)}"
        for ends, backends in BACKENDS.items():
            if platform.endswith(ends):
                yield from _kernel_faults(wheel.read(extensions[0]), backends)


def _kernel_faults(extension: bytes, backends: set[str]) -> Iterator[str]:
    """Return names of missing and unexpected backends of an extension, and of backends without instructions."""
    for isa in [*INSTRUCTIONS, "portable"]:
        is_there = isa.encode() + b"\0" in extension
        if is_there != (isa in backends):
            yield f"there are kernels named {isa}" if is_there else f"no kernels named {isa}"
    if code := _disassembled(extension):
        wanted = sorted(backends & INSTRUCTIONS.keys())
        yield from (f"no {isa} instructions" for isa in wanted if not INSTRUCTIONS[isa].search(code))


def _disassembled(extension: bytes) -> str:
    """Return the instructions of an extension; empty if no installed objdump supports its processor and format."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "_core.so"
        file.write_bytes(extension)
        for tool in "objdump", "llvm-objdump":
            if shutil.which(tool):
                command = [tool, "--disassemble", "--no-show-raw-insn", file]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode == 0:
                    return done.stdout
    return ""


def sdist_faults(path: Path) -> Iterator[str]:
    """Return one sentence for each fault of a source distribution."""
    with tarfile.open(path) as sdist:
        names = [member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()]
    yield from _missing(names, IN_SDIST)
    yield from (f"{name} does not belong here" for name in names if _matches(name, NOT_IN_SDIST))


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _missing(names: list[str], patterns: list[str]) -> Iterator[str]:
    yield from (f"{pattern} is missing" for pattern in patterns if not any(fnmatch(name, pattern) for name in names))


def main(*paths: str) -> int:
    """Print the faults of each file. Return 1 if there is a fault or no file, otherwise 0."""
    n_faults = 0
    for path in map(Path, paths):
        faults = list(wheel_faults(path) if path.suffix == ".whl" else sdist_faults(path))
        print(f"{path.name}:", *(faults or ["as it should be"]), sep="\n  ")
        n_faults += len(faults)
    return int(n_faults > 0 or not paths)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
