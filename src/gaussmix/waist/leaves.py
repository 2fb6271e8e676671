"""Leaves: 65,520 consecutive rows each, and the tree in which what they say is added up (docs/develop/numerics.md)."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

LEAF_ROWS = 65_520  # 455 of the core's tiles of 144 rows


class Summable(Protocol):
    """What can be added up."""

    def __add__(self, other: Any, /) -> Any:
        """Merge with what the next rows say."""


S = TypeVar("S", bound=Summable)


class Sums(tuple[Any, ...]):
    """Several sums over the same rows, added one by one."""

    def __add__(self, other: Any) -> Sums:
        return Sums(one + another for one, another in zip(self, other, strict=True))


def count_leaves(n_rows: int) -> int:
    """How many leaves so many rows have; the last one may be short."""
    return -(-n_rows // LEAF_ROWS)


class Tree(Generic[S]):
    """The sum of what leaves say, in the order of their numbers; the same bits for any cut into nodes.

    A node is 2^l leaves that begin with a multiple of 2^l. Neighbours are merged into the node above them as soon as
    both are there. At the end, the nodes that are left are merged from the right.
    """

    def __init__(self) -> None:
        self._nodes: list[tuple[int, S]] = []  # how many leaves, and their sum; fewer and fewer leaves

    def add(self, sums: S, n_leaves: int = 1) -> None:
        """Append a node: the sum of the next leaves."""
        while self._nodes and self._nodes[-1][0] == n_leaves:
            sums = self._nodes.pop()[1] + sums
            n_leaves *= 2
        self._nodes.append((n_leaves, sums))

    @property
    def total(self) -> S:
        """The sum of all leaves; at least one was added."""
        (_, total), *others = reversed(self._nodes)
        for _, sums in others:
            total = sums + total
        return total
