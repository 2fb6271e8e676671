"""Tests of the kernels that a build compiles, and of the warning on a processor whose kernels were left out."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaussmix import _core

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
needs_repository = pytest.mark.skipif(
    not (ROOT / "CMakeLists.txt").exists() or platform.machine() != "x86_64" or os.name != "posix" or COMPILER is None,
    reason="needs the repository, x86-64 and a C++ compiler",
)


def configured(folder, native, **environment):
    """Return CMake's output for a build without Python, with a compiler that assumes another native processor."""
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        pytest.skip("needs CMake and Ninja")
    compiler = folder / "c++"
    compiler.write_text(f'#!/bin/bash\nexec {COMPILER} "${{@/-march=native/{native}}}"\n')
    compiler.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GAUSSMIX", "CMAKE", "CXX"))}
    command = ["cmake", "-G", "Ninja", "-S", ROOT, "-B", folder / "build", "-DGAUSSMIX_PYTHON=OFF"]
    environment |= {"CXX": str(compiler)}
    return subprocess.run(command, env=own | environment, capture_output=True, text=True, check=False)


@needs_repository
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("native", "requested", "compiled"),
    [
        ("-march=x86-64-v4", "", {"portable", "avx512"}),
        ("-march=x86-64-v3", "", {"portable", "avx2"}),
        ("-march=x86-64", "", {"portable"}),
        ("-march=nothing", "", {"portable", "avx2", "avx512"}),
        ("-march=x86-64", "all", {"portable", "avx2", "avx512"}),
    ],
)
def test_a_build_omits_kernels_that_the_native_processor_would_not_run(tmp_path, native, requested, compiled):
    answer = configured(tmp_path, native, GAUSSMIX_INSTRUCTION_SETS=requested)
    assert answer.returncode == 0, answer.stderr
    rules = (tmp_path / "build" / "build.ninja").read_text()
    names = {isa for isa in ("portable", "avx2", "avx512") if f"gaussmix_kernels_{isa}.dir/" in rules}
    assert names == compiled
    assert all((f"GAUSSMIX_HAS_{isa.upper()}" in rules) == (isa in names) for isa in ("portable", "avx2", "avx512"))


@pytest.mark.heavy
@needs_repository
def test_an_unknown_gaussmix_instruction_sets_is_rejected(tmp_path):
    answer = configured(tmp_path, "-march=native", GAUSSMIX_INSTRUCTION_SETS="sse9")
    assert answer.returncode != 0
    assert "is 'sse9'. Set it to all, or unset it" in " ".join(answer.stderr.split())


@pytest.mark.heavy
@needs_repository
def test_portable_kernels_run_if_the_build_omitted_faster_kernels(tmp_path):
    """Check a core that was compiled as if on a processor without AVX2, whose dispatch runs on this processor."""
    source, program = tmp_path / "ask.cpp", tmp_path / "ask"
    source.write_text(
        '#include <cstdio>\n#include "dispatch.hpp"\n'
        "namespace gaussmix::portable {\nextern const KernelTable kKernels;\n"
        'const KernelTable kKernels{.isa = "portable"};\n}\nint main() {\n'
        '    std::printf("%s %s", gaussmix::active_kernels().isa, gaussmix::omitted_kernels());\n}\n'
    )
    definitions = [f"-DGAUSSMIX_{name}" for name in ("HAS_PORTABLE", "OMITS_AVX2", "OMITS_AVX512")]
    options = ["-std=c++20", "-w", *definitions, f"-I{ROOT / 'cpp'}"]
    subprocess.run([COMPILER, *options, source, ROOT / "cpp" / "dispatch.cpp", "-o", program], check=True)
    own = {name: value for name, value in os.environ.items() if name != "GAUSSMIX_ISA"}
    active, _, omitted = subprocess.check_output([program], env=own, text=True).partition(" ")
    fastest = _core.omitted() or _core.targets()[-1].isa
    assert (active, omitted) == ("portable", "" if fastest == "portable" else fastest)


@pytest.mark.heavy
@pytest.mark.parametrize(("forced", "n_warnings"), [("", "1"), (_core.targets()[0].isa, "0")])
def test_one_warning_names_the_build_option_for_omitted_kernels(forced, n_warnings):
    """Check that there is one warning for any number of fits, and none if the user has chosen kernels."""
    program = (
        "import warnings, gaussmix, gaussmix._core as core\n"
        "core.omitted = lambda: 'avx512'\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for k in 1, 2: gaussmix.GaussianMixture(k).fit([[0.0], [1.0], [5.0], [7.0]])\n"
        "print(sum('(avx512)' in text and 'GAUSSMIX_INSTRUCTION_SETS=all' in text for text in map(str, caught)))\n"
    )
    environment = os.environ | {"GAUSSMIX_ISA": forced}
    answer = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert answer.strip() == n_warnings
