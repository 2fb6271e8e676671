"""tools/check_wheel.py sees each fault that a wheel or a source distribution might have."""

from __future__ import annotations

import importlib.util
import io
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
INFO = "gaussmix-1.0.dist-info"
STABLE = "gaussmix-1.0-cp312-abi3-manylinux_2_28_x86_64.whl"
KERNELS = b"avx2\0avx512\0"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool as a module, without objdump: what stands for an extension here has no instructions."""
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / "tools/check_wheel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return module


def good_wheel() -> dict[str, bytes]:
    """Files of a wheel without faults."""
    package = ROOT / "src" / "gaussmix"
    sources = [f"gaussmix/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")]
    others = ["gaussmix/py.typed", "gaussmix/_core.pyi", "gaussmix/cli/show/page.html"]
    others += [f"{INFO}/METADATA", f"{INFO}/licenses/LICENSE"]
    return {**dict.fromkeys([*sources, *others], b""), "gaussmix/_core.abi3.so": KERNELS}


def faults_of_wheel(tool: ModuleType, folder: Path, files: dict[str, bytes], name: str = STABLE) -> list[str]:
    path = folder / name
    with ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
    return list(tool.wheel_faults(path))


def faults_of_sdist(tool: ModuleType, folder: Path, names: Iterable[str]) -> list[str]:
    path = folder / "gaussmix-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as sdist:
        for name in names:
            sdist.addfile(tarfile.TarInfo(f"gaussmix-1.0/{name}"), io.BytesIO())
    return list(tool.sdist_faults(path))


def test_nothing_is_wrong_with_good_ones(tool: ModuleType, tmp_path: Path) -> None:
    files = good_wheel()
    assert faults_of_wheel(tool, tmp_path, files) == []
    files["gaussmix/_core.cpython-311-x86_64-linux-gnu.so"] = files.pop("gaussmix/_core.abi3.so")
    assert faults_of_wheel(tool, tmp_path, files, "gaussmix-1.0-cp311-cp311-linux_x86_64.whl") == []
    del files["gaussmix/_core.cpython-311-x86_64-linux-gnu.so"]
    assert faults_of_wheel(tool, tmp_path, files, "gaussmix-1.0-py3-none-any.whl") == []
    assert faults_of_sdist(tool, tmp_path, tool.IN_SDIST) == []


@pytest.mark.parametrize(
    "missing",
    [
        "gaussmix/py.typed",
        "gaussmix/_core.pyi",
        "gaussmix/cli/show/page.html",
        f"{INFO}/licenses/LICENSE",
        "gaussmix/errors.py",
    ],
)
def test_what_is_missing_is_named(tool: ModuleType, tmp_path: Path, missing: str) -> None:
    files = good_wheel()
    del files[missing]
    assert faults_of_wheel(tool, tmp_path, files) == [f"{missing.replace('-1.0', '-*')} is missing"]


@pytest.mark.parametrize("extra", ["cpp/module.cpp", "gaussmix/kernels.hpp", "tests/test_em.py", "gaussmix/tests/a.py"])
def test_what_does_not_belong_is_named(tool: ModuleType, tmp_path: Path, extra: str) -> None:
    faults = faults_of_wheel(tool, tmp_path, good_wheel() | {extra: b""})
    assert faults
    assert {fault.partition(" ")[0] for fault in faults} == {extra}


@pytest.mark.parametrize(
    ("tag", "extension", "kernels"),
    [
        ("cp312-abi3-musllinux_1_2_aarch64", "_core.abi3.so", b"neon\0"),
        ("cp314-cp314t-macosx_11_0_arm64", "_core.cpython-314t-darwin.so", b"neon\0"),
        ("cp312-abi3-macosx_11_0_x86_64", "_core.abi3.so", KERNELS),
        ("cp314-cp314t-win_amd64", "_core.cp314t-win_amd64.pyd", KERNELS),
        ("cp312-abi3-win_arm64", "_core.pyd", b"neon\0"),
    ],
)
def test_each_platform_has_the_kernels_of_its_processor(
    tool: ModuleType, tmp_path: Path, tag: str, extension: str, kernels: bytes
) -> None:
    files = good_wheel()
    del files["gaussmix/_core.abi3.so"]
    name = f"gaussmix-1.0-{tag}.whl"
    assert faults_of_wheel(tool, tmp_path, files | {f"gaussmix/{extension}": kernels}, name) == []
    expected = [f"no kernels named {isa}" for isa in kernels.decode().split("\0")[:-1]]
    found = faults_of_wheel(tool, tmp_path, files | {f"gaussmix/{extension}": b"portable\0"}, name)
    assert found == [*expected, "there are kernels named portable"]


def test_kernels_extension_and_tag_are_looked_at(tool: ModuleType, tmp_path: Path) -> None:
    files = good_wheel()
    assert faults_of_wheel(tool, tmp_path, files | {"gaussmix/_core.abi3.so": b"avx2\0"}) == ["no kernels named avx512"]
    for tag in "cp313-cp313", "cp314-cp314t":
        (fault,) = faults_of_wheel(tool, tmp_path, files, f"gaussmix-1.0-{tag}-linux_x86_64.whl")
        assert f"is tagged {tag}" in fault
    (fault,) = faults_of_wheel(tool, tmp_path, files, "gaussmix-1.0-py3-none-any.whl")
    assert fault == "gaussmix/_core.abi3.so is for one platform only"
    del files["gaussmix/_core.abi3.so"]
    (fault,) = faults_of_wheel(tool, tmp_path, files)
    assert "0 extensions" in fault


@pytest.mark.parametrize(
    ("isa", "line"),
    [
        ("avx2", "vfmadd231pd (%rsi),%ymm1,%ymm0"),
        ("avx512", "vfmadd231pd (%rsi),%zmm1,%zmm0"),
        ("neon", "fmla\tv30.2d, v28.2d, v4.d[0]"),  # GNU's objdump
        ("neon", "fmla.2d\tv30, v28, v4[0]"),  # LLVM's, of macOS's files
    ],
)
def test_the_instructions_of_a_backend_are_known(tool: ModuleType, isa: str, line: str) -> None:
    assert [name for name, pattern in tool.INSTRUCTIONS.items() if pattern.search(line)] == [isa]


def test_a_source_distribution_is_complete_and_unbuilt(tool: ModuleType, tmp_path: Path) -> None:
    missing = "tests/formats/v1.gmm"
    assert faults_of_sdist(tool, tmp_path, set(tool.IN_SDIST) - {missing}) == [f"{missing} is missing"]
    extra = "src/gaussmix/_core.abi3.so"
    assert faults_of_sdist(tool, tmp_path, [*tool.IN_SDIST, extra]) == [f"{extra} does not belong here"]


def test_nothing_to_check_is_a_fault(tool: ModuleType) -> None:
    assert tool.main() == 1
