"""Tests of the compiled core: kernels share no symbols, processors occur only in backends, and the stub is correct."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaussmix import _core

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "tools" / "check_weak_symbols.py"
ARCHITECTURES = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}  # architectures of the backends with these names


def find_compiler():
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None or not CHECK.exists():
        pytest.skip("needs a C++ compiler and the repository")
    return compiler


def compile_object(tmp_path, source, isa):
    """Compile an object for one instruction set without inlining, because -O0 shows symbols that -O3 may hide."""
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    path = tmp_path / f"{isa}.o"
    command = [
        find_compiler(),
        "-std=c++20",
        "-O0",
        "-fno-exceptions",
        "-w",
        f"-march={ARCHITECTURES[isa]}",
        f"-DGAUSSMIX_ISA={isa}",
        f'-DGAUSSMIX_BACKEND="{isa}.hpp"',
        f"-I{ROOT / 'cpp'}",
    ]
    subprocess.run([*command, "-c", source, "-o", path], check=True)
    return path


def check_weak_symbols(isa, path):
    return subprocess.run([sys.executable, CHECK, isa, path], capture_output=True, text=True, check=False)


@pytest.mark.heavy
def test_kernels_share_no_weak_symbols_with_other_instruction_sets(tmp_path):
    answer = check_weak_symbols("avx2", compile_object(tmp_path, ROOT / "cpp" / "kernels" / "kernels.cpp", "avx2"))
    assert answer.returncode == 0, answer.stdout


@pytest.mark.heavy
def test_names_in_unnamed_namespaces_differ_between_files(tmp_path):
    """Compile the core in one unit, because each new file changes which files CMake compiles together."""
    command = [find_compiler(), "-std=c++20", "-fsyntax-only", "-w", "-DGAUSSMIX_ISA=baseline", f"-I{ROOT / 'cpp'}"]
    passes = [ROOT / "cpp" / f"{name}.cpp" for name in ("incomplete", "passes", "sampling", "spans", "truncated")]
    files = [*passes, *sorted(ROOT.glob("cpp/em/*.cpp")), *sorted(ROOT.glob("cpp/families/*.cpp"))]
    unit = tmp_path / "unit.cpp"
    unit.write_text("".join(f'#include "{path}"\n' for path in files), encoding="utf-8")
    subprocess.run([*command, unit], check=True)


def test_intrinsics_occur_only_in_backends_and_in_the_dispatch():
    """Check that intrinsics and processors' names occur only in cpp/simd and in the dispatch."""
    processor_names = re.compile(
        r"_mm\d*_|__m(128|256|512)|immintrin|arm_neon|__(aarch64|x86_64|AVX|FMA)|avx|neon", re.IGNORECASE
    )
    files = (ROOT / "cpp").rglob("*.[ch]pp")
    sources = [path for path in files if path.parent.name != "simd" and path.stem != "dispatch"]
    if not sources:
        pytest.skip("needs the repository")
    assert [str(path) for path in sources if processor_names.search(path.read_text(encoding="utf-8"))] == []


def test_the_committed_stub_equals_the_stub_generated_from_the_core(tmp_path):
    pytest.importorskip("nanobind", reason="nanobind generates the stub")
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff formats the stub")
    stub = tmp_path / "_core.pyi"
    subprocess.run([sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "gaussmix._core", "-o", stub], check=True)
    options = ["-q", "--config", ROOT / "pyproject.toml", stub]
    subprocess.run([ruff, "check", "--fix", "--exit-zero", *options], check=True, capture_output=True)
    subprocess.run([ruff, "format", *options], check=True)
    committed = ROOT / "src" / "gaussmix" / "_core.pyi"
    assert stub.read_text() == committed.read_text(), f"generate {committed.name} again: the core is {_core.__file__}"
