"""One door to every task: `nox -l` lists them, `nox -s lint docs` runs some, and `--` passes arguments on."""

from __future__ import annotations

import subprocess

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

WITHOUT_CORE = "--config-settings=wheel.cmake=false"  # for what reads the code and computes little
# An installation survives a core that does not compile. A session for the core must not, or it would test nothing.
IMPORT_CORE = ["python", "-c", "import gaussmix._core"]


def build_in(folder: str, *definitions: str) -> list[str]:
    """Settings for a build that keeps its CMake options to itself, apart from everybody's build folder."""
    settings = [f"build-dir={folder}", *(f"cmake.define.{definition}" for definition in definitions)]
    return [f"--config-settings={setting}" for setting in settings]


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that pytest finds; `-- tests/laws -k tied` for a part of it."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def laws(session: nox.Session) -> None:
    """What must hold for every family, engine, source and start."""
    session.install(".[test]")
    session.run("pytest", "tests/laws", *session.posargs)


@nox.session
def kernels(session: nox.Session) -> None:
    """The C++ core by itself: no compiler warnings, no shared symbols, its stub up to date, every kernel tested."""
    session.install("cmake", "nanobind")  # ctest; the stub's generator
    session.install(".[test,lint]", *build_in("build/kernels", "GAUSSMIX_WERROR=ON"))
    session.run(*IMPORT_CORE)
    session.run("ctest", "--test-dir", "build/kernels", "--output-on-failure", "--no-tests=error")
    session.run("pytest", "tests/kernels", *session.posargs)


@nox.session
def sanitize(session: nox.Session) -> None:
    """The kernels under the address and undefined-behaviour sanitizers of gcc."""
    session.install(".[test]", *build_in("build/sanitize", "GAUSSMIX_SANITIZE=address,undefined"))
    # Python itself is not built with the sanitizer, so its run-time must be loaded first, and before libstdc++.
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # what CPython keeps until its end is no leak of ours
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # so that arrays that Python allocates are watched too
    }
    session.run(*IMPORT_CORE, env=environment)
    # test_build compiles, which has nothing to do with what the kernels do at run time.
    only = ["tests/kernels", "--ignore=tests/kernels/test_build.py"]
    session.run("pytest", *only, *session.posargs, env=environment)


@nox.session
def formats(session: nox.Session) -> None:
    """Files of every release are still read."""
    session.install(".[test]")
    session.run("pytest", "tests/formats", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, and a changelog that can be built."""
    session.install(".[cli,lint]", WITHOUT_CORE)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, without warnings, to docs/_build; open docs/_build/index.html."""
    session.install(".[cli,docs]", WITHOUT_CORE)
    session.run("sphinx-build", "-W", "--keep-going", "-E", "docs", "docs/_build", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Seconds for each EM iteration beside scikit-learn's; `-- --help` for a part of it."""
    session.install(".[bench]")
    session.run("python", "bench/run.py", *session.posargs)
