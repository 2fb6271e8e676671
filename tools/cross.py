"""Build for other processors and systems, run the programs under emulators, and compare the bits.

Usage: cross.py bits PROGRAM|TARGET...        run same_bits, which CMakeLists.txt builds, or build it for a target
       cross.py python FOLDER [ARGUMENT...]   run an arm64 Python, which has gaussmix's wheel and the packages that
                                              its tests need, with the arguments

The targets are here (this system's compiler), arm64 (NEON, under qemu-user), windows (under Wine) and wasm
(WebAssembly, in Node). The compiler for arm64 and windows is ziglang's clang, which includes every system's headers.
qemu is found in PATH, or unpacked from Debian's package into build/. Wine, or Emscripten and Node, must be installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "cross"

# For each target: the compiler's target, CMake's names of the system and the processor, and the emulator.
TARGETS = {
    "arm64": ("aarch64-linux-musl", "Linux", "aarch64", "qemu-aarch64-static"),
    "windows": ("x86_64-windows-gnu", "Windows", "AMD64", "wine64"),
}
DEBIAN = {"em++": "emscripten", "node": "nodejs"}  # names of packages that differ from their command
PYTHON = "aarch64-linux-gnu.2.28", "Linux", "aarch64"
# fmt: off
PYTHON_PACKAGES = [  # Debian packages
    "python3.11", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1",
    "libstdc++6", "libgomp1", "zlib1g", "libexpat1", "libssl3", "libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5",
    "libcrypt1", "libuuid1", "libtinfo6", "libncursesw6", "libreadline8", "libdb5.3",
]
WHEELS = [
    "numpy", "scipy", "scikit-learn", "safetensors", "joblib", "threadpoolctl", "narwhals", "pandas",
    "pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "mpmath",
]
# fmt: on


def run(*command: object, cwd: Path = ROOT) -> None:
    """Run a command, and show its output if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def unpacked(architecture: str, *packages: str) -> Path:
    """Return a folder with Debian packages of an architecture, which are downloaded but not installed."""
    folder = BUILD / f"debian-{architecture}" / packages[0]
    if not folder.exists():
        lists, archives = BUILD / f"lists-{architecture}", BUILD / f"archives-{packages[0]}"
        for path in lists / "partial", archives:
            path.mkdir(parents=True, exist_ok=True)
        (lists / "nothing-is-installed").touch()
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "APT::Sandbox::User": "",
            "Dir::State::lists": lists,
            "Dir::State::status": lists / "nothing-is-installed",
            "Dir::Cache": lists,
        }
        apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
        run(*apt, "update")
        run(*apt, "download", *packages, cwd=archives)
        begun = folder.with_suffix(".part")
        begun.mkdir(parents=True, exist_ok=True)
        for archive in archives.glob("*.deb"):
            run("dpkg", "-x", archive, begun)
        begun.rename(folder)
    return folder


def emulator(name: str) -> str:
    """Return a command that runs programs of another processor or system."""
    found = shutil.which(name) or shutil.which(name, path="/usr/lib/wine")
    if found is None and name.startswith("qemu"):
        found = str(unpacked("amd64", "qemu-user-static") / "usr" / "bin" / name)
    if found is None:
        sys.exit(f"{name} is not installed. Install Debian's package {DEBIAN.get(name, name)}.")
    return found


def built(folder: Path, goal: str, *definitions: str) -> Path:
    """Build one goal of CMakeLists.txt."""
    os.environ["GAUSSMIX_INSTRUCTION_SETS"] = "all"
    run("cmake", "-S", ROOT, "-B", folder, "-DGAUSSMIX_WERROR=ON", *definitions)
    run("cmake", "--build", folder, "--target", goal, "--parallel", os.cpu_count() or 1)
    return next(path for name in (f"{goal}*.so", f"{goal}.exe", f"{goal}.js", goal) for path in folder.glob(name))


def cross_compiler(folder: Path, zig: str, system: str, processor: str) -> list[str]:
    """Write a script that runs zig's compiler for a target, and return the definitions with which CMake uses it."""
    import ziglang

    folder.mkdir(parents=True, exist_ok=True)
    compiler = folder / "c++"
    # zig has another name for x86-64-v3, and adds a sanitizer to code that is not optimised.
    compiler.write_text(
        f'#!/bin/bash\nexec "{Path(ziglang.__file__).parent / "zig"}" c++ -target {zig} -fno-sanitize=all '
        f'"${{@//-march=x86-64-v/-mcpu=x86_64_v}}"\n'
    )
    compiler.chmod(0o755)
    names = {"CXX_COMPILER": compiler, "SYSTEM_NAME": system, "SYSTEM_PROCESSOR": processor}
    return [f"-DCMAKE_{name}={value}" for name, value in names.items()]


def in_node(folder: Path) -> list[str]:
    """Return a command that runs same_bits as WebAssembly, which computes fused multiply-adds in the C library."""
    module = Path(emulator("em++")).resolve().parent / "cmake" / "Modules" / "Platform" / "Emscripten.cmake"
    # folder of the modules that Emscripten's scripts import, in Debian
    os.environ.setdefault("NODE_PATH", "/usr/share/nodejs")
    names = {
        "CMAKE_TOOLCHAIN_FILE": module,
        "CMAKE_CXX_FLAGS": "-msimd128 -fexceptions",
        "CMAKE_EXE_LINKER_FLAGS": "-sALLOW_MEMORY_GROWTH=1",
        "GAUSSMIX_PYTHON": "OFF",
    }
    program = built(folder, "same_bits", *(f"-D{name}={value}" for name, value in names.items()))
    return [emulator("node"), "--no-experimental-fetch", str(program)]  # otherwise Emscripten 3.1 fetches its own file


def hashes(command: list[str]) -> dict[str, dict[str, str]]:
    """Return the hash of each case for each backend of a program."""
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in lines:
        if line.startswith("# "):
            backend = line[2:]
        else:
            name, _, value = line.partition(": ")
            found[backend][name] = value
    return found


def compare(names: list[str]) -> int:
    """Print how many hashes of each backend equal the first one's; return 1 if any differs or there is only one."""
    first: dict[str, str] = {}
    n_others = n_backends = 0
    for name in names:
        command, folder = [name], BUILD / name
        if name == "here":
            command = [str(built(folder, "same_bits", "-DGAUSSMIX_PYTHON=OFF"))]
        elif name == "wasm":
            command = in_node(folder)
        elif name in TARGETS:
            *target, runner = TARGETS[name]
            program = built(folder, "same_bits", "-DGAUSSMIX_PYTHON=OFF", *cross_compiler(folder, *target))
            command = [emulator(runner), str(program)]
        for backend, found in hashes(command).items():
            n_backends, first = n_backends + 1, first or found
            others = [case for case in first | found if found.get(case) != first.get(case)]
            n_same, n_others = len(first) - len(others), n_others + len(others)
            print(f"{backend:10} {n_same:4} of {len(first)} hashes are the same   {' '.join(command)}")
            for case in others:
                print(f"    {case}: {found.get(case)}, not {first.get(case)}")
    if n_backends < 2:
        print("There is one backend, and nothing to compare it with.")
    return int(n_others > 0 or n_backends < 2)


def arm64_wheel() -> Path:
    """Return a checked wheel for Linux on arm64; scikit-build-core and nanobind must be installed."""
    build, wheels = BUILD / "arm64-wheel", BUILD / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    settings = [f"build-dir={build / 'build'}"]
    settings += ["cmake.define." + definition.removeprefix("-D") for definition in cross_compiler(build, *PYTHON)]
    os.environ["_PYTHON_HOST_PLATFORM"] = "linux-aarch64"
    os.environ["SETUPTOOLS_EXT_SUFFIX"] = ".cpython-311-aarch64-linux-gnu.so"
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", wheels]
    run(*pip, *(f"--config-settings={setting}" for setting in settings), ROOT)
    (wheel,) = wheels.glob("*.whl")
    run(sys.executable, "tools/check_wheel.py", wheel)
    return wheel


def run_python(folder: Path, arguments: list[str]) -> int:
    """Run an arm64 Python from Debian, with a wheel of gaussmix that is built here and wheels of its dependencies."""
    root = unpacked("arm64", *PYTHON_PACKAGES)
    if not folder.exists():
        wheels = BUILD / "wheels"
        platforms = [f"--platform=manylinux{tag}_aarch64" for tag in ("_2_28", "2014", "_2_17")]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--python-version=311", *platforms]
        run(*pip, "-d", wheels, *WHEELS)
        for wheel in wheels.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(folder.with_suffix(".part"))
        folder.with_suffix(".part").rename(folder)
    shutil.rmtree(folder / "gaussmix", ignore_errors=True)
    zipfile.ZipFile(arm64_wheel()).extractall(folder)
    environment = {"PYTHONHOME": root / "usr", "PYTHONPATH": folder, "OPENBLAS_NUM_THREADS": 1}
    settings = [str(word) for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    words = [emulator("qemu-aarch64-static"), "-L", str(root), *settings]
    python = folder.with_name("run-python")  # becomes sys.executable, so that tests can start another Python
    program = shlex.quote(str(root / "usr" / "bin" / "python3.11"))
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} -0 "$0" {program} "$@"\n')
    python.chmod(0o755)
    return subprocess.run([str(python), *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    task, *words = sys.argv[1:]
    sys.exit(compare(words) if task == "bits" else run_python(Path(words[0]).resolve(), words[1:]))
