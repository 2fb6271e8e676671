"""Tests of the compiler that the build backend selects, and of its error if there is no compiler."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

scikit_build = pytest.importorskip("scikit_build_core.build", reason="the build requirements are not installed")
requirements = pytest.importorskip("packaging.requirements")

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "packaging" / "build_backend.py"
pytestmark = [
    pytest.mark.skipif(not BACKEND.exists(), reason="needs the repository"),
    pytest.mark.skipif(os.name != "posix", reason="the compilers here are shell scripts"),
]
WORKS = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho > "$2"\n'
FAILS = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def backend(monkeypatch, tmp_path):
    """Load the backend, in an empty folder on a machine without a compiler and without settings."""
    for name in "CXX", "CXXFLAGS", "LDFLAGS", "CMAKE_ARGS", "GAUSSMIX_COMPILER", "CMAKE_GENERATOR_TOOLSET":
        monkeypatch.setenv(name, "")  # unset again afterwards if the backend sets it
        monkeypatch.delenv(name)
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("build_backend", BACKEND)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(**scripts):
    """Put compilers on the path; in their names _ stands for +."""
    for name, script in scripts.items():
        path = Path("bin", name.replace("_", "+"))
        path.write_text(script)
        path.chmod(0o755)


def needs_zig(backend, settings=None):
    """Return whether pip would install ziglang to build a wheel."""
    required = [requirements.Requirement(text) for text in backend.get_requires_for_build_wheel(settings)]
    return "ziglang" in [each.name for each in required if each.marker is None or each.marker.evaluate()]


def test_without_a_compiler_ziglang_is_required(backend):
    assert needs_zig(backend)
    assert any(text.startswith("ziglang") for text in backend.get_requires_for_build_editable())


@pytest.mark.parametrize("name", ["c__", "g__", "clang__"])
def test_the_build_uses_a_compiler_that_works(backend, name):
    install(**{"c__": FAILS, name: WORKS})
    assert not needs_zig(backend)
    backend.prepared(None)
    assert os.environ["CXX"] == name.replace("_", "+")


def test_a_broken_compiler_makes_the_build_require_ziglang(backend, monkeypatch):
    install(c__=WORKS)
    for broken in "/bin/false", "/bin/true", "/no/such/file":
        monkeypatch.setenv("CXX", broken)
        assert needs_zig(backend)


def test_the_check_of_a_compiler_uses_cxxflags_and_ldflags(backend, monkeypatch):
    install(c__="#!/bin/sh\n" + '[ "$2 $3" = "-stdlib=libc++ -fuse-ld=lld" ] || exit 1\n' + WORKS)
    assert needs_zig(backend)
    monkeypatch.setenv("CXXFLAGS", "-stdlib=libc++")
    monkeypatch.setenv("LDFLAGS", "-fuse-ld=lld")
    assert not needs_zig(backend)


def test_compiles_requires_cpp20(backend, monkeypatch):
    """Check that the compiler of this machine compiles the test program as C++20, but not as C++17."""
    monkeypatch.setenv("PATH", os.defpath + os.pathsep + "/usr/local/bin")
    compiler = backend.choose(None)
    if compiler == "zig":
        pytest.skip("there is no compiler")
    assert backend.compiles(compiler)
    monkeypatch.setenv("CXXFLAGS", "-std=c++17")  # the last option counts
    assert not backend.compiles(compiler)


def test_gaussmix_compiler_selects_zig_or_the_system_compiler(backend, monkeypatch):
    install(c__=WORKS)
    monkeypatch.setenv("GAUSSMIX_COMPILER", "zig")
    assert needs_zig(backend)
    monkeypatch.setenv("GAUSSMIX_COMPILER", "system")
    assert not needs_zig(backend)
    monkeypatch.setenv("GAUSSMIX_COMPILER", "gcc")
    with pytest.raises(SystemExit, match="Set it to system or zig"):
        needs_zig(backend)


def test_cmake_settings_of_a_compiler_prevent_the_use_of_zig(backend, monkeypatch):
    assert not needs_zig(backend, {"cmake.define.CMAKE_CXX_COMPILER": "/opt/cross/c++"})
    assert not needs_zig(backend, {"wheel.cmake": "false"})
    assert needs_zig(backend, {"cmake.define.CMAKE_CXX_COMPILER_LAUNCHER": "ccache"})
    monkeypatch.setenv("CMAKE_GENERATOR_TOOLSET", "ClangCL")
    assert not needs_zig(backend)


def test_a_build_without_any_compiler_exits_with_instructions(backend, monkeypatch):
    """Check the error if there is neither a compiler nor ziglang, which pip could not install."""
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    monkeypatch.setenv("CXX", "/bin/false")
    sentence = r"^Nothing compiles gaussmix's C\+\+20 core here \(tried: %s\): install g\+\+ or clang.*ziglang\.$"
    with pytest.raises(SystemExit, match=sentence % "/bin/false, ziglang"):
        backend.build_wheel("wheels")
    with pytest.raises(SystemExit, match=sentence % "/bin/false, ziglang"):
        backend.build_editable("wheels")
    (shown,) = [text for text in backend.get_requires_for_build_wheel() if text.startswith("ziglang")]
    assert "install-gcc-or-clang" in shown  # part of the installer's own error message
    monkeypatch.setenv("GAUSSMIX_COMPILER", "system")
    with pytest.raises(SystemExit, match=sentence % "/bin/false"):
        backend.get_requires_for_build_wheel()


def test_zig_builds_in_a_separate_folder_for_any_processor(backend, monkeypatch):
    package = Path("ziglang")
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "zig").write_text('#!/bin/sh\necho "$@"\n')
    (package / "zig").chmod(0o755)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    built = []
    monkeypatch.setattr(backend.scikit_build, "build_wheel", lambda *arguments: built.append(arguments))
    backend.build_wheel("wheels", {"logging.level": "INFO"})
    assert built == [("wheels", {"build-dir": "build/zig/{wheel_tag}", "logging.level": "INFO"}, None)]
    compiler = Path(os.environ["CXX"])
    assert compiler.is_absolute()
    assert backend.subprocess.check_output([compiler, "-c", "a b.cpp"], text=True) == "c++ -mcpu=baseline -c a b.cpp\n"
    assert backend.subprocess.check_output([compiler.with_name("ar"), "qc"], text=True) == "ar qc\n"
