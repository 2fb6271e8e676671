"""Check that kernels for one instruction set define no inline function that other code could use.

The linker keeps one copy of each inline function. If it kept a copy compiled for AVX-512, other code that uses the
function would crash on older processors. Therefore an object of kernels may define shared (weak) symbols only inside
its own namespace.

Usage: check_weak_symbols.py ISA OBJECT...      as in the build's tests: ctest --test-dir <build folder>
"""

import subprocess
import sys


def foreign_symbols(isa: str, listing: str) -> list[str]:
    """Return the weak or unique definitions in the output of `nm -C --defined-only` outside gaussmix::<isa>."""
    symbols = (line.split(maxsplit=2) for line in listing.splitlines())
    return [name for _, kind, name in symbols if kind in "WVu" and f"gaussmix::{isa}::" not in name]


def main(isa: str, *objects: str) -> int:
    """Print the foreign symbols of the objects, and return 1 if there are any."""
    nm = ["nm", "-C", "--defined-only"]
    listings = (subprocess.run([*nm, path], check=True, capture_output=True, text=True).stdout for path in objects)
    foreign = [name for listing in listings for name in foreign_symbols(isa, listing)]
    for name in foreign:
        print(f"{isa}: {name} is shared with code for other processors: keep std out of the kernels")
    return int(bool(foreign))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
