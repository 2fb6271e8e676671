"""The build backend: scikit-build-core, which compiles with the package ziglang if no C++ compiler works.

The environment variable GAUSSMIX_COMPILER, `system` or `zig`, overrides this choice; see docs/develop/release.md.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from scikit_build_core import build as scikit_build
from scikit_build_core.build import (  # noqa: F401  # hooks that are used unchanged
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

# Settings that specify CMake's compiler. The last one chooses clang-cl on Windows.
CHOICES_OF_CMAKE = re.compile(r"CMAKE_CXX_COMPILER\b|CMAKE_TOOLCHAIN_FILE|CMAKE_GENERATOR_TOOLSET")
COMPILERS = ["c++", "g++", "clang++"]
PROGRAM = """\
#include <bit>
#include <span>
#include <vector>
using Register [[gnu::vector_size(16)]] = double;
template <class T>
    requires(sizeof(T) == 4)
int ones(std::span<const T> x) { return std::popcount(x.front()); }
constinit int expected = 2;
int main() { return ones<unsigned>(std::vector<unsigned>{3}) - expected + static_cast<int>(Register{}[0]); }
"""

Settings = dict[str, "str | list[str]"]


def compiles(command: str) -> bool:
    """Check that a command makes a program from ten lines of C++20, with the environment's flags."""
    flags = [os.environ.get(name, "") for name in ("CXXFLAGS", "LDFLAGS")]
    words = shlex.split(" ".join([command, "-std=c++20", *flags]), posix=os.name == "posix")
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "probe.cpp"), Path(folder, "probe")
        source.write_text(PROGRAM, encoding="utf-8")
        try:
            done = subprocess.run([*words, str(source), "-o", str(program)], capture_output=True, check=False)
        except OSError:
            return False
        return done.returncode == 0 and any(path != source for path in Path(folder).iterdir())


def commands() -> list[str]:
    """Return the compilers to try: CXX of the environment, or the compilers that CMake tries first."""
    return [os.environ["CXX"]] if os.environ.get("CXX") else COMPILERS


def no_compiler(tried: list[str]) -> SystemExit:
    """Return the exception that ends the build with a one-sentence error."""
    return SystemExit(
        f"Nothing compiles gaussmix's C++20 core here (tried: {', '.join(tried)}): install g++ or clang++ "
        "(on Windows clang-cl, and set CMAKE_GENERATOR_TOOLSET=ClangCL), or the package ziglang."
    )


def choose(settings: Settings | None) -> str:
    """Return the compiler command or `zig`; empty if the settings specify a compiler or nothing is compiled."""
    settings, asked = settings or {}, os.environ.get("GAUSSMIX_COMPILER", "")
    if asked not in ("", "system", "zig"):
        raise SystemExit(f"GAUSSMIX_COMPILER is '{asked}'. Set it to system or zig, or unset it.")
    told = " ".join([*settings, *os.environ, os.environ.get("CMAKE_ARGS", "")])
    if settings.get("wheel.cmake") == "false" or (asked != "zig" and CHOICES_OF_CMAKE.search(told)):
        return ""
    chosen = "zig" if asked == "zig" else next(filter(compiles, commands()), "")
    if not chosen and asked == "system":
        raise no_compiler(commands())
    if os.name == "nt":
        os.environ.setdefault("CMAKE_GENERATOR", "Ninja")  # Visual Studio's generator ignores CXX
    return chosen or "zig"


def wrapped(zig: Path) -> str:
    """Write commands for zig's compiler and archiver into a folder, where CMake finds them; return the compiler."""
    folder, windows = Path("build", "zig").absolute(), os.name == "nt"
    folder.mkdir(parents=True, exist_ok=True)
    # By default, zig compiles for the processor of this machine.
    for tool, words in ("ranlib", "ranlib"), ("ar", "ar"), ("c++", "c++ -mcpu=baseline"):
        path = folder / (f"{tool}.cmd" if windows else tool)
        path.write_text(f'@"{zig}" {words} %*\n' if windows else f'#!/bin/sh\nexec "{zig}" {words} "$@"\n')
        path.chmod(0o755)
    return str(path)


def prepared(settings: Settings | None) -> Settings:
    """Make CMake use the chosen compiler; return the settings, with a separate folder for builds by zig."""
    chosen, settings = choose(settings), settings or {}
    if chosen == "zig":
        package = find_spec("ziglang")
        if package is None or package.origin is None:
            tried = [] if os.environ.get("GAUSSMIX_COMPILER") == "zig" else commands()
            raise no_compiler([*tried, "ziglang"])
        chosen = wrapped(Path(package.origin).with_name("zig"))
        settings = {"build-dir": "build/zig/{wheel_tag}", **settings}
    if chosen:
        os.environ["CXX"] = chosen
    return settings


def zig_requirement(settings: Settings | None) -> list[str]:
    """Return ziglang if it is needed.

    The requirement names an extra that the package does not have. Installers ignore it, but print it if they cannot
    find the package; in this case, the backend cannot report an error itself.
    """
    return ["ziglang[no-cxx20-compiler-works-so-install-gcc-or-clang]"] if choose(settings) == "zig" else []


def get_requires_for_build_wheel(config_settings: Settings | None = None) -> list[str]:
    return [*zig_requirement(config_settings), *scikit_build.get_requires_for_build_wheel(config_settings)]


def get_requires_for_build_editable(config_settings: Settings | None = None) -> list[str]:
    return [*zig_requirement(config_settings), *scikit_build.get_requires_for_build_editable(config_settings)]


def build_wheel(folder: str, config_settings: Settings | None = None, metadata_directory: str | None = None) -> str:
    return scikit_build.build_wheel(folder, prepared(config_settings), metadata_directory)


def build_editable(folder: str, config_settings: Settings | None = None, metadata_directory: str | None = None) -> str:
    return scikit_build.build_editable(folder, prepared(config_settings), metadata_directory)
