"""Make small wrong changes to the code, one at a time, and fail if no test notices a change.

Usage: mutations.py [--all]        make the changes that reviews found, as `nox -s mutations` does, or the whole table's
       mutations.py draw SEED      print 200 new changes for the table

A row of tools/mutations.tsv has a file, the text of one of its lines, the replacement, and the test that must fail.
docs/develop/mutations.md describes the table.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from queue import SimpleQueue

from gaussmix import _core

ROOT = Path(__file__).parents[1]
CORE = Path(_core.__file__ or "")
LEFT_OUT = shutil.ignore_patterns(".*", "build", "_build", "dist", "bench", "__pycache__")
TEST = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--all"]
FAST = [
    *("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG="),  # neither optimisation nor debug information
    *("-DGAUSSMIX_KERNEL_OPTIMISATION=-O0", "-DGAUSSMIX_COMPILES_avx512=OFF"),
    "-DCMAKE_UNITY_BUILD=OFF",  # one file per unit, so that a change compiles one file
]
CONFIGURE = ["cmake", "-B", "build", f"-DPython_EXECUTABLE={sys.executable}", *FAST]

# Formatters put spaces around binary operators, but not around the brackets of C++ templates.
NEIGHBOURS = {
    **{"<": "<= >", "<=": "< >=", ">": ">= <", ">=": "> <=", "==": "!=", "!=": "==", "and": "or", "or": "and"},
    **{"+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "/", "**": "*", "&&": "||", "||": "&&"},
    **{"True": "False", "False": "True", "true": "false", "false": "true", "break": "continue", "continue": "break"},
}
OPERATOR = r"(?<= )([<>]=?|[=!]=|[-+*/%]|//|and|or|&&|\|\|)(?= )|(?<=[\w)\]])(\*\*)"
WORD = r"(?<!Literal\[)\b([Tt]rue|[Ff]alse|break|continue)\b"
NUMBER = r"(?<![\w.'<])(?<!p[-+])(\d[\d_]*(?:\.\d+)?(?:e-?\d+)?)(?![\w.'>])"
UNARY = r"(?<=[(\[= ])(-)(?=[\w(])|\b(not )|(?<=[( ])(!)(?=[\w(])"
CONDITION = r"^(?:el)?if (.+):$|^while (.+):$| if (.+?) else |\b(?:if|while) \((.+)\) "  # group 4: C++
LOOP = r"^for .+? in (.+):$"
NOT_CHANGED = ("@", "#", "import ", "from ", "class ", "if TYPE_CHECKING", "template", "static_assert", "using ")


def main() -> None:
    if sys.argv[1:2] == ["draw"]:
        rng = random.Random(int(sys.argv[2]))
        return print("\n".join(map("\t".join, [*draw("src/gaussmix", 150, rng), *draw("cpp", 50, rng)])))
    rows = (ROOT / "tools" / "mutations.tsv").read_text(encoding="utf-8").split("\n")
    used = rows[: None if "--all" in sys.argv else rows.index("# Drawn")]
    changes = [row.split("\t") for row in used if row and row[0] != "#"]
    # Changes in C++ are made in one copy, so that the core is compiled as a whole only once.
    groups = [[change for change in changes if not change[0].endswith(".py")]]
    groups += [[change] for change in changes if change[0].endswith(".py")]
    copies: SimpleQueue[Path] = SimpleQueue()  # copies of the sources, each used for one group at a time
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        for number in range(os.cpu_count() or 1):
            copies.put(shutil.copytree(ROOT, Path(folder, str(number)), ignore=LEFT_OUT))
            shutil.copy(CORE, Path(folder, str(number), "src", "gaussmix"))
        wrong = [*chain.from_iterable(threads.map(lambda group: faults(copies, group), groups))]
        if fails([*TEST, *{test for *_, test in changes if test[0] != "-"}], copies.get(), output=None):
            wrong.append("A test fails without any change.")
    print("\n".join(wrong) or f"{len(changes)} changes have the results in the table.")
    sys.exit(bool(wrong))


def faults(copies: SimpleQueue[Path], changes: list[list[str]]) -> list[str]:
    """Return the faults of rows of the table, whose changes are made one after the other in one copy."""
    scratch = copies.get()
    found = [fault(scratch, *change) for change in changes]
    copies.put(scratch)
    return [*filter(None, found)]


def fault(scratch: Path, file: str, before: str, after: str, test: str) -> str | None:
    """Return the fault of a row of the table."""
    text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).exists() else ""
    changed, n_places = re.subn(rf"(?m)^([ \t]*){re.escape(before)}$", lambda match: match[1] + after, text)
    if n_places != 1:
        return f"{file}: {before!r} is not there once"
    if test[0] == "-":
        return None
    (scratch / file).write_text(changed, encoding="utf-8")
    compiles = file.endswith(".py") or build_core(scratch)
    wrong = "does not compile" if not compiles else "" if fails([*TEST, test], scratch) else f"is not noticed by {test}"
    (scratch / file).write_text(text, encoding="utf-8")
    shutil.copy(CORE, scratch / "src" / "gaussmix")
    return wrong and f"{file}: {after!r} {wrong}"


def build_core(scratch: Path) -> bool:
    """Compile the files that a change affects quickly: for one instruction set, and without optimisation."""
    if fails(CONFIGURE, scratch) or fails(["cmake", "--build", "build", "-j2"], scratch):
        return False
    shutil.copy(next((scratch / "build").glob("_core*")), scratch / "src" / "gaussmix" / CORE.name)
    return True


def fails(command: list[str], scratch: Path, output: int | None = subprocess.DEVNULL) -> bool:
    """Check whether a command fails on a copy of the sources."""
    environment = {**os.environ, "PYTHONPATH": str(scratch / "src"), "GAUSSMIX_INSTRUCTION_SETS": "all"}
    try:  # a command that hangs, such as a changed test, fails
        return subprocess.run(command, cwd=scratch, env=environment, stdout=output, timeout=600).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def draw(root: str, number: int, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Return changes of lines that occur once, drawn over the folders in proportion to their lines with code."""
    folders = defaultdict(list)
    for path in sorted((ROOT / root).rglob("*")):
        if path.suffix in (".py", ".cpp", ".hpp"):
            text = path.read_text(encoding="utf-8")
            prose = r'"""(?s:.*?)"""|"(?:\\.|[^"\\\n])*"|' + (r"#.*" if path.suffix == ".py" else r"//.*")
            code = re.sub(prose, lambda match: re.sub(r"\S", "¤", match[0]), text).split("\n")
            lines = [line.strip() for line in text.split("\n")]
            folders[path.relative_to(ROOT / root).parts[:-1][:1]] += [
                (str(path.relative_to(ROOT)), line, [*changes_of(line, masked)] if lines.count(line) == 1 else [])
                for line, masked in zip(lines, map(str.strip, code), strict=True)
                if masked.strip("¤ ")
            ]
    total, seen, made = sum(map(len, folders.values())), 0, 0
    for each in folders.values():
        seen += len(each)
        quota = round(number * seen / total) - made
        for file, line, after in rng.sample([line for line in each if line[2]], quota):
            yield file, line, rng.choice(after)
        made += quota


def changes_of(line: str, code: str) -> Iterator[str]:
    """Return the changes of a line: neighbouring comparisons, differences instead of sums, and negated conditions.

    `code` is the line with each character of texts and comments replaced, so that only code is changed.
    """
    for pattern in () if code.startswith(NOT_CHANGED) else (OPERATOR, WORD, NUMBER, UNARY, CONDITION, LOOP):
        for match in re.finditer(pattern, code):
            begin, end = match.span(match.lastindex or 0)
            old = line[begin:end]
            if pattern == NUMBER:
                new = [str(int(old) + 1), str(int(old) - 1)] if re.fullmatch(r"[\d_]+", old) else [repr(float(old) + 1)]
            elif pattern in (CONDITION, LOOP):
                new = ["()" if pattern == LOOP else f"!({old})" if match.lastindex == 4 else f"not ({old})"]
            else:
                new = NEIGHBOURS.get(old, "").split() or [""]
            yield from (line[:begin] + word + line[end:] for word in new)


if __name__ == "__main__":
    main()
