"""What a pass over rows on other machines sends, and what it takes here: known before the first pass."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from typing import Self

FAN_IN = 8  # trees that are merged at once, each of about as many nodes
MAX_MERGE_BYTES = 2**30  # bytes of them, if there are components enough to deal out
UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}


@dataclass(frozen=True)
class Traffic:
    """The bytes that a pass sends.

    Parameters
    ----------
    task : of what a worker must know: the parameters, and those by which it ordered the rows.
    node : of the sums of a node of the tree of leaves, as they are sent.
    n_components : to which the sums belong.
    n_workers : each gets the task once.
    n_leaves : of all rows.
    n_nodes : the most sums that come to this process where they are not dealt out.
    largest : what the cluster lets come to this process in a pass.
    setting : what sets `largest`.
    """

    task: int
    node: int
    n_components: int
    n_workers: int
    n_leaves: int
    n_nodes: int = 1
    largest: float = inf
    setting: str = ""

    @property
    def merging(self) -> int:
        """The most in a task that merges sums of all components: trees of neighbours, with whole matrices."""
        n_trees = min(FAN_IN, self.n_workers or FAN_IN, self.n_leaves)  # all workers may have died, and come back
        return 2 * self.node * min(self.n_leaves, 2 * n_trees * (self.n_leaves // n_trees).bit_length())

    @property
    def n_parts(self) -> int:
        """Number of parts into which components are split. A task merges one part, in `MAX_MERGE_BYTES` bytes."""
        return max(min(-(-self.merging // MAX_MERGE_BYTES), self.n_components), 1)

    @property
    def up(self) -> int:
        """To this process."""
        return self.node * (self.n_nodes if self.n_parts == 1 else 1)

    @property
    def memory(self) -> int:
        """In this process: two copies of the task, and sums as they came and as whole matrices."""
        return 2 * self.task + 3 * self.up

    def checked(self) -> Self:
        """Itself; raises MemoryError, with the numbers, for a pass that cannot work."""
        sums = f"A pass brings {format_bytes(self.up)} of sums to this process"
        advice = "lower n_components, or choose a covariance_type with fewer parameters, such as 'diag'"
        if self.up > self.largest:
            raise MemoryError(
                f"{sums}, and {self.setting} is {format_bytes(self.largest)}. Set it to {format_bytes(2 * self.up)} "
                f"where the session begins, {advice}."
            )
        if self.memory > physical_memory():
            raise MemoryError(
                f"{sums}, which takes {format_bytes(self.memory)} of memory. This machine has "
                f"{format_bytes(physical_memory())}. Use a larger one, {advice}."
            )
        return self


def physical_memory() -> float:
    """Bytes of this machine; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return inf


def format_bytes(n_bytes: float) -> str:
    """A number of bytes for people: 1.5 MB."""
    unit = next((unit for unit, size in UNITS.items() if n_bytes >= size), "kB")
    return f"{n_bytes / UNITS[unit]:.3g} {unit}"
