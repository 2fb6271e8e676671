"""What a pass over rows on other machines sends, and what it takes here: known before the first pass."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf

UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}


@dataclass(frozen=True)
class Traffic:
    """The bytes that a pass sends.

    Parameters
    ----------
    task : of what a worker must know: the parameters, and those by which it ordered the rows.
    node : of the sums of a node of the tree of leaves, as they are sent.
    n_workers : each gets the task once.
    n_nodes : the most sums that come to this process.
    largest : what the cluster lets come to this process in a pass.
    setting : what sets `largest`.
    """

    task: int
    node: int
    n_workers: int
    n_nodes: int = 1
    largest: float = inf
    setting: str = ""

    @property
    def down(self) -> int:
        """To the workers."""
        return self.task * self.n_workers

    @property
    def up(self) -> int:
        """To this process."""
        return self.node * self.n_nodes

    @property
    def memory(self) -> int:
        """In this process: two copies of the task, and sums as they came and as whole matrices."""
        return 2 * self.task + 3 * self.up

    def check(self) -> None:
        """Raise MemoryError, with the numbers, for a pass that cannot work."""
        sums = f"A pass brings {said(self.up)} of sums to this process"
        advice = "lower n_components, or choose a covariance_type with fewer parameters, such as 'diag'"
        if self.up > self.largest:
            raise MemoryError(
                f"{sums}, and {self.setting} is {said(self.largest)}. Set it to {said(2 * self.up)} where the session "
                f"begins, {advice}."
            )
        if self.memory > physical_memory():
            raise MemoryError(
                f"{sums}, which takes {said(self.memory)} of memory. This machine has {said(physical_memory())}. Use a "
                f"larger one, {advice}."
            )


def physical_memory() -> float:
    """Bytes of this machine; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return inf


def said(n_bytes: float) -> str:
    """A number of bytes for people: 1.5 MB."""
    unit = next((unit for unit, size in UNITS.items() if n_bytes >= size), "kB")
    return f"{n_bytes / UNITS[unit]:.3g} {unit}"
