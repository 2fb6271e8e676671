"""Count the instructions that the kernels of a step execute for a row and component: NEON's beside AVX2's.

QEMU runs the driver of tests/same_bits.cpp, and lists the blocks that it enters. objdump says what is in them.
So no processor with the instructions is needed, and no count is estimated. The share is NEON's, of the peak of a
processor with four pipes of 128 bits that starts eight instructions in a cycle: multiply-adds / 4 over the larger of
multiply-adds / 4 and instructions / 8. Stack moves are those of vector registers, in innermost loops.

Usage: count_instructions.py [--loops] NEON_DRIVER [AVX2_DRIVER]      both linked with -static

--loops lists the innermost loops that run most often, too. docs/develop/performance.md: how to build the drivers.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = {
    "neon": ("aarch64-linux-gnu-objdump", ["qemu-aarch64-static"]),
    "avx2": ("objdump", ["qemu-x86_64-static", "-cpu", "max"]),
}
PAIRS = 288 * 8  # rows and components of the driver's step
PHASES = {
    "E": r"one_panel<|visit_components|panels::|squared_distance|flat_densities|flat::log_densities",
    "M": r"fixed::add|scatter::add|flat::add",
}
Loops = Counter[tuple[str, int, int]]
BRANCH = re.compile(r"(b|b\..*|bl|blr|br|ret|cbn?z|tbn?z|j.*|call.*)$")
MULTIPLY_ADD = re.compile(r"(fmla|fmls|vfn?m(add|sub)\d+p[sd])$")
STACK = re.compile(r"\[(sp|x29)\b|\(%r[sb]p")
VECTOR = re.compile(r"\b[qv]\d+\b|%[xy]mm")


@dataclass
class Counts:
    """Of instructions, executed or listed."""

    instructions: float = 0
    multiply_adds: float = 0
    stack_moves: float = 0

    def add(self, other: Counts, times: float = 1) -> None:
        """Add `times` as many."""
        self.instructions += times * other.instructions
        self.multiply_adds += times * other.multiply_adds
        self.stack_moves += times * other.stack_moves

    @property
    def share(self) -> float:
        """Of the peak, by count."""
        return self.multiply_adds / 4 / max(self.multiply_adds / 4, self.instructions / 8, 1e-9)


@dataclass
class Function:
    """One function's code, and the first and last places of its innermost loops."""

    name: str
    addresses: list[int] = field(default_factory=list)
    code: list[tuple[str, str]] = field(default_factory=list)
    loops: list[tuple[int, int]] = field(default_factory=list)

    def find_loops(self) -> None:
        """Where a branch goes back and no other does within."""
        places = {address: i for i, address in enumerate(self.addresses)}
        loops = set()
        for i, (name, operands) in enumerate(self.code):
            target = re.search(r"\b([0-9a-f]+) <", operands)
            if (
                target
                and BRANCH.match(name)
                and name not in ("bl", "call")
                and places.get(int(target[1], 16), i + 1) <= i
            ):
                loops.add((places[int(target[1], 16)], i))
        self.loops = sorted(a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops))

    def count(self, first: int, last: int) -> Counts:
        """Of the places first .. last."""
        counts = Counts()
        for i in range(first, last + 1):
            name, operands = self.code[i]
            is_inner = any(a <= i <= b for a, b in self.loops)
            is_move = is_inner and STACK.search(operands) and VECTOR.search(operands)
            counts.add(Counts(1, bool(MULTIPLY_ADD.match(name)), bool(is_move)))
        return counts


def functions(objdump: str, driver: str, isa: str) -> list[Function]:
    """Those of the kernels in double."""
    listing = subprocess.run([objdump, "-dC", "--no-show-raw-insn", driver], capture_output=True, text=True, check=True)
    found = []
    for text in re.split(r"\n\n(?=[0-9a-f]+ <)", listing.stdout):
        head, *lines = text.splitlines()
        if f"gaussmix::{isa}::" not in head or not any(re.search(p, head) for p in PHASES.values()):
            continue
        function = Function(head)
        for line in lines:
            if match := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line):
                function.addresses.append(int(match[1], 16))
                function.code.append((match[2], match[3]))
        function.find_loops()
        found.append(function)
    return sorted(found, key=lambda f: f.addresses[0])


def entered(qemu: list[str], driver: str, isa: str, case: list[str]) -> Counter[tuple[int, int]]:
    """How often each block was entered: the addresses of its first instruction and in its last."""
    ends: dict[int, int] = {}
    times: Counter[int] = Counter()
    start = None
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [*qemu, "-d", "in_asm,exec,nochain", "-D", str(log), driver, isa, "step", *case]
        subprocess.run(command, check=True, capture_output=True)
        with log.open() as lines:
            for line in lines:
                if line.startswith("Trace"):
                    times[int(line.split("/")[1], 16)] += 1
                elif line.startswith("IN:"):
                    start = None
                elif line.startswith("0x"):
                    address = int(line[: line.index(":")], 16)
                    start = start or address
                    ends[start] = address
    return Counter({(start, ends[start]): n for start, n in times.items()})


def executed(code: list[Function], blocks: Counter[tuple[int, int]], phase: str, loops: Loops) -> Counts:
    """What a phase executed for a row and component; and how often its innermost loops ended."""
    starts = [f.addresses[0] for f in code]
    total = Counts()
    for (start, end), times in blocks.items():
        function = code[max(bisect_right(starts, start) - 1, 0)]
        if not (function.addresses[0] <= start <= function.addresses[-1] and re.search(PHASES[phase], function.name)):
            continue
        first, last = (bisect_right(function.addresses, address) - 1 for address in (start, end))
        total.add(function.count(first, last), times / PAIRS)
        for a, b in function.loops:
            loops[function.name, a, b] += times * (first <= b <= last)
    return total


def show_loops(code: list[Function], loops: Loops) -> None:
    """The innermost loops that were run, the most frequent ones first."""
    for (name, a, b), times in loops.most_common(12):
        c = next(f for f in code if f.name == name).count(a, b)
        if times and c.multiply_adds:
            short = name.partition("<")[2].replace("gaussmix::", "")[:60]
            print(
                f"    {times:8} times {c.instructions:4} instructions, {c.multiply_adds:3} multiply-adds,"
                f" {c.stack_moves:3} stack moves, {c.share:4.0%}  {short}"
            )


def head(isa: str) -> str:
    """Of the columns of one backend."""
    return f" {isa}: instructions | multiply-adds | stack moves |" + " share |" * (isa == "neon")


def cells(isa: str, c: Counts) -> str:
    """The columns of one backend."""
    share = f" {c.share:.0%} |" if isa == "neon" else ""
    return f" {c.instructions:.1f} | {c.multiply_adds:.1f} | {c.stack_moves:.1f} |{share}"


def main(*arguments: str) -> int:
    """Print the table."""
    drivers = dict(zip(TOOLS, [a for a in arguments if a != "--loops"], strict=False))
    code = {isa: functions(TOOLS[isa][0], driver, isa) for isa, driver in drivers.items()}
    print("| covariances, d | phase |" + "".join(map(head, drivers)))
    print("|---|---|" + "---:|" * (3 * len(drivers) + ("neon" in drivers)))
    for kind in ("full", "diagonal"):
        for d in (2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64):
            case = [str(d), *(["diagonal"] if kind == "diagonal" else [])]
            blocks = {isa: entered(TOOLS[isa][1], driver, isa, case) for isa, driver in drivers.items()}
            loops: dict[str, Loops] = {isa: Counter() for isa in drivers}
            rows: dict[str, list[Counts]] = {phase: [] for phase in (*PHASES, "E + M")}
            for isa in drivers:
                both = Counts()
                for phase in PHASES:
                    rows[phase].append(executed(code[isa], blocks[isa], phase, loops[isa]))
                    both.add(rows[phase][-1])
                rows["E + M"].append(both)
            for phase, counts in rows.items():
                print(f"| {kind}, {d} | {phase} |" + "".join(map(cells, drivers, counts)), flush=True)
            if "--loops" in arguments:
                for isa in drivers:
                    show_loops(code[isa], loops[isa])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
