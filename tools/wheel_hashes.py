"""Compare hashes of fits by wheels of all platforms, which must be the same.

Usage: wheel_hashes.py write WHEEL       next to the wheels of cibuildwheel, in its test of WHEEL
       wheel_hashes.py compare FOLDER    with wheels, and the hashes that were written for each
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def write(wheel: Path) -> None:
    """Write the installed package's hashes to cibuildwheel's folder of wheels, which is /output in Linux containers."""
    root = Path(__file__).parents[1]
    folder = Path("/output") if sys.platform == "linux" else root / "wheelhouse"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, root / "tests/fit_hashes.py"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    (folder / f"{wheel.stem}.txt").write_text(lines, encoding="utf-8")


def differences(folder: Path) -> Iterator[str]:
    """Return one sentence for each wheel without hashes, and for each hash that differs from the first wheel's."""
    wheels = sorted(folder.rglob("*.whl"))
    if len(wheels) < 2:
        yield f"{len(wheels)} wheels are too few to compare"
    written = {wheel: wheel.with_suffix(".txt") for wheel in wheels}
    yield from (f"there are no hashes of {wheel.name}" for wheel in wheels if not written[wheel].exists())
    texts = {wheel.stem: file.read_text(encoding="utf-8") for wheel, file in written.items() if file.exists()}
    hashes = {stem: dict(line.rsplit(": ", 1) for line in text.splitlines()) for stem, text in texts.items()}
    first = next(iter(hashes), "")
    for wheel, found in hashes.items():
        if not found:
            yield f"the file of {wheel} is empty"
        names = sorted(name for name in hashes[first].keys() | found if hashes[first].get(name) != found.get(name))
        if names:
            yield f"{wheel} and {first} differ in {len(names)} fits, first {names[0]}"


def main(command: str, path: str) -> int:
    """Run a command, and return 1 if hashes differ or are missing, otherwise 0."""
    if command == "write":
        write(Path(path))
        return 0
    found = list(differences(Path(path)))
    print(*(found or ["The hashes of all wheels are the same."]), sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
