"""Rows in the memory of the workers of a Dask cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from itertools import accumulate, chain, pairwise
from time import sleep
from typing import Any

import dask
import numpy as np
from dask.sizeof import sizeof

from gaussmix.numerics.threads import at_most
from gaussmix.sources.base import Source, T
from gaussmix.sources.files.base import About
from gaussmix.sources.remote import Held, Remote
from gaussmix.waist.block import Block, nodes
from gaussmix.waist.leaves import LEAF_ROWS

IN_GRAPH = 100_000  # bytes of a task; a larger one goes to each worker once, before the pass
MOST_ATTEMPTS = 10  # passes begun again after what they need was lost
PAUSE = 0.5  # seconds before that


def loaded(client: Any, parts: Sequence[Any], about: About) -> Source:
    """The rows on the workers of a cluster, checked.

    Raises ValueError: there are no rows, or the first number or weight that no fit can use is named. ImportError: a
    worker has no gaussmix, or another version of it.
    """
    _check_workers(client)
    lists = client.compute([dask.delayed(list, pure=False)([part]) for part in parts])
    source = Cluster(client, lists, len(about.names), about.dtype)
    if source.n_rows == 0:
        raise ValueError(f"{about.name} has no rows.")
    about = replace(about, n_rows=source.n_rows)
    flaw = next((flaw for flaw in source.map_rows(about.flaw) if flaw is not None), None)
    if flaw is not None:
        raise ValueError(flaw)
    return source


def _check_workers(client: Any) -> None:
    """A worker that can't import what a task names leaves the cluster, and the task waits for ever for another."""
    ours = metadata.version("gaussmix")
    for worker, theirs in client.run(metadata.version, "gaussmix", on_error="return").items():
        if isinstance(theirs, ImportError):
            raise ImportError(f"The worker {worker} has no gaussmix. Install gaussmix {ours} on all workers.")
        if isinstance(theirs, str) and theirs != ours:
            raise ImportError(f"The worker {worker} has gaussmix {theirs}. Install {ours}, as here, on all workers.")


class Cluster(Remote):
    """Rows in the memory of the workers of a cluster; each worker has whole leaves.

    Tasks are short and know nothing of each other, so a worker that is lost costs what it held and what it was doing.
    Its rows are computed again from where they came from. Each result has a key, so none is counted twice.

    They come from `parts`: a future of a list of blocks for each partition, in the order of the rows, whose
    `Block.first_row` is not read.
    """

    def __init__(self, client: Any, parts: Sequence[Any], n_features: int, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self._client, self.n_features, self.dtype = client, n_features, dtype
        sizes = _gathered(client, parts, lambda: client.map(_rows_of, parts, pure=False))
        self.n_rows = sum(sizes)
        self._held = _aligned(client, parts, sizes)

    def changed(self, change: Callable[[Block], Iterable[Block]], n_rows: int) -> Source:
        """As for every source, but the changed blocks are kept, and not made again in every pass."""
        sent = self._sent(change)
        parts = self._client.map(_changed, self._held, change=sent, pure=False)
        return Cluster(self._client, parts, self.n_features, self.dtype)

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        def submit() -> list[Any]:
            sent, n_threads, groups = self._sent((work, arguments)), self._client.nthreads(), self._groups()
            parts = [[self._held[number] for number in group] for group in groups.values()]
            threads = [n_threads.get(worker, 1) for worker in groups]
            futures: list[Any] = self._client.map(_work, groups.values(), parts, threads, sent=sent, pure=False)
            return futures

        found = dict(chain.from_iterable(_gathered(self._client, self._held, submit)))
        return [found[number] for number in range(len(self._held))]

    def _groups(self) -> dict[str, list[int]]:
        """Numbers of the parts that each worker is to do: one task does them all, because each costs milliseconds."""
        holders = self._client.who_has(self._held)
        groups: dict[str, list[int]] = {}
        for number, part in enumerate(self._held):
            worker = min(sorted(holders[part.key]), key=lambda each: len(groups.get(each, ())), default=part.key)
            groups.setdefault(worker, []).append(number)
        return groups

    def _sent(self, what: Any) -> Any:
        """What tasks of one pass share: itself where it is small, else where each worker has it."""
        from distributed.protocol.pickle import dumps

        packed = dumps(what)
        return packed if len(packed) <= IN_GRAPH else self._client.scatter(packed, broadcast=True, hash=False)


def _gathered(client: Any, needed: Sequence[Any], submit: Callable[[], Sequence[Any]]) -> list[Any]:
    """The results of what `submit` sends to the workers; sent again where workers died with what it needs.

    The cluster computes again what was lost of the futures `needed`, which the tasks read, but gives up where workers
    died several times meanwhile; then it is asked anew.
    """
    from distributed import CancelledError, KilledWorker

    for _ in range(MOST_ATTEMPTS - 1):
        try:
            return list(client.gather(submit()))
        except (KilledWorker, CancelledError):
            if client.status != "running":
                raise
            sleep(PAUSE)  # until the client has heard what else was lost
            with suppress(KeyError):  # distributed 2026.8 does the work, and then looks for futures that nobody has
                client.retry([future for future in needed if future.status == "error"])
    return list(client.gather(submit()))


def _aligned(client: Any, parts: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Futures of `Held`: the leaves that begin in a partition are with it, so fewer rows than a leaf has move."""
    starts = [0, *accumulate(sizes)]
    n_rows = starts[-1]
    cuts = [min(-(-start // LEAF_ROWS) * LEAF_ROWS, n_rows) for start in starts]
    held = []
    for number, (first, end) in enumerate(pairwise(cuts)):
        if first == end:
            continue
        pieces = [client.submit(_piece, parts[number], first - starts[number], end - starts[number], pure=False)]
        later = number + 1
        while starts[later] < end:
            if sizes[later]:
                pieces.append(client.submit(_piece, parts[later], 0, end - starts[later], pure=False))
            later += 1
        held.append(client.submit(_join, first, pieces, pure=False))
    return held


def _bytes_of(block: Block) -> int:
    """For Dask, which brings small things to where it has room, and would move rows if it took them for small."""
    arrays = block.rows, block.row_weight, block.given
    return sum(array.nbytes for array in arrays if array is not None)


sizeof.register(Block, _bytes_of)
sizeof.register(Held, lambda held: sum(map(_bytes_of, held.blocks)))


def _rows_of(part: Sequence[Block]) -> int:
    return sum(block.n_rows for block in part)


def _piece(part: Sequence[Block], first: int, end: int) -> list[Block]:
    """Rows first … end − 1 of a partition."""
    found = []
    for block in part:
        if first < block.n_rows and end > 0:
            found.append(block.between(max(first, 0), min(end, block.n_rows)))
        first, end = first - block.n_rows, end - block.n_rows
    return found


def _join(first_row: int, pieces: Sequence[Sequence[Block]]) -> Held:
    whole = Block.joined([block for piece in pieces for block in piece])
    return Held(list(nodes([replace(whole, first_row=first_row)])))


def _work(numbers: Sequence[int], parts: Sequence[Held], n_threads: int, sent: bytes) -> list[tuple[int, Any]]:
    work, arguments = pickle.loads(sent)
    with at_most(n_threads):
        return [(number, work(held, *arguments)) for number, held in zip(numbers, parts, strict=True)]


def _changed(held: Held, change: Any) -> list[Block]:
    change = pickle.loads(change)
    return [changed for block in held.blocks for changed in change(block)]
