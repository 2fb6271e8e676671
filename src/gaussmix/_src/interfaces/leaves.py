"""Leaves (65,520 consecutive rows each), and a tree that adds the sums over leaves (docs/develop/numerics.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from gaussmix._src.numerics.core import core

LEAF_ROWS = core.LEAF_ROWS  # 65,520 rows per leaf, that is 455 tiles of 144 rows
TILE_ROWS = core.TILE_ROWS  # number of rows (144) that a kernel processes together


class Summable(Protocol):
    """Protocol of sums over rows that the operator `+` can add."""

    def __add__(self, other: Any, /) -> Any:
        """Return the sum over all rows of `self` and `other`, where the rows of `self` come first."""


S = TypeVar("S", bound=Summable)


class Sums(tuple[Any, ...]):
    """Tuple of several sums over the same rows. The operator `+` adds two tuples element by element."""

    def __add__(self, other: Any) -> Sums:
        return Sums(one + another for one, another in zip(self, other, strict=True))

    def split_by_component(self, n_parts: int) -> list[Sums]:
        """Call `split_by_component(n_parts)` of every element; item i of the result holds part i of each element."""
        return [Sums(parts) for parts in zip(*(each.split_by_component(n_parts) for each in self), strict=True)]

    @classmethod
    def joined(cls, parts: list[Sums]) -> Sums:
        """Return the `Sums` that `split_by_component` split into `parts`."""
        return cls(each[0].joined(list(each)) for each in zip(*parts, strict=True))


def count_leaves(n_rows: int) -> int:
    """Return the number of leaves of `n_rows` rows; the last leaf may have fewer than 65,520 rows."""
    return -(-n_rows // LEAF_ROWS)


def leaves_of(n_rows: int) -> Iterator[slice]:
    """Yield one slice for each leaf of `n_rows` rows."""
    return (slice(first, first + LEAF_ROWS) for first in range(0, n_rows, LEAF_ROWS))


class Tree(Generic[S]):
    """Sum over leaves; its bits depend neither on how the rows are divided into nodes nor on the order of the nodes.

    A node is the sum over 2^l consecutive leaves; the index of its first leaf is a multiple of 2^l. As soon as the tree
    has both halves of a larger node, it adds these halves. The total is the sum of all nodes, added from the last to
    the first. The operator `+` merges trees of different leaves, so that a few workers can merge all trees. The engine
    for rows on a device adds parts of a different size instead of leaves, so its sums depend on the size.
    """

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[int, S]] = {}  # index of a node's first leaf → (number of its leaves, their sum)
        self._end = 0  # index of the first leaf after the last node

    def __len__(self) -> int:
        return len(self._nodes)

    def __add__(self, other: Tree[S]) -> Tree[S]:
        tree = Tree[S]()
        tree._nodes, tree._end = dict(self._nodes), self._end
        for first, (n_leaves, sums) in other._nodes.items():
            tree.add(sums, n_leaves, first)
        return tree

    def add(self, sums: S, n_leaves: int = 1, first: int | None = None) -> None:
        """Add the sum of `n_leaves` leaves that begin at leaf `first` (by default, after the last node)."""
        first = self._end if first is None else first
        self._end = max(self._end, first + n_leaves)
        while (sibling := self._nodes.get(first ^ n_leaves)) is not None and sibling[0] == n_leaves:
            del self._nodes[first ^ n_leaves]
            sums = sibling[1] + sums if first & n_leaves else sums + sibling[1]
            first, n_leaves = first & ~n_leaves, 2 * n_leaves
        self._nodes[first] = n_leaves, sums

    def split_by_component(self, n_parts: int) -> list[Tree[Any]]:
        """Call `split_by_component(n_parts)` of the sums in all nodes; return one tree for each group of components."""
        trees = [Tree[Any]() for _ in range(n_parts)]
        for first, (n_leaves, sums) in self._nodes.items():
            splittable: Any = sums
            for tree, part in zip(trees, splittable.split_by_component(n_parts), strict=True):
                tree.add(part, n_leaves, first)
        return trees

    def closed(self) -> Tree[S]:
        """Return a tree whose only node is the sum of all leaves. No leaves may be added to the returned tree."""
        tree = Tree[S]()
        tree.add(self.total)
        return tree

    @property
    def total(self) -> S:
        """Return the sum of all leaves; at least one leaf must have been added to the tree."""
        _, total = self._nodes[last := max(self._nodes)]
        for first in sorted(self._nodes.keys() - {last}, reverse=True):
            total = self._nodes[first][1] + total
        return total
