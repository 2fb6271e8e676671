"""Store rows in files on executors, which all workers of a machine map into memory, and store the states of fits."""

from __future__ import annotations

import mmap
import os
import pickle
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gaussmix._src.interfaces.block import Block
from gaussmix._src.sources.remote import States

ALIGNMENT = 64  # alignment of arrays in files, in bytes
MAX_STATE_BYTES = 2**28  # maximum size in bytes of states in a worker; further states are recomputed in every pass

_states: dict[str, dict[int, States]] = {}  # states of fits in this worker, by name of the store and partition


@dataclass(frozen=True)
class StateStore:
    """The rows of one source in files on executors, in a folder that Spark removes when an executor ends.

    The files and states are only a cache: if they are lost, they are computed again.
    """

    name: str  # name of the folder

    def write(self, target: int, blocks: list[Block], digest: int) -> str:
        """Write the blocks of a partition and a digest of its rows to a file, and return the path of the file."""
        folders = self._folders()
        folder = folders[target % len(folders)]
        folder.mkdir(parents=True, exist_ok=True)
        path, beside = folder / f"{target}.rows", folder / f"{target}.{os.getpid()}.tmp"
        try:
            _write(beside, blocks, digest)
            os.replace(beside, path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
        return str(path)

    def remove(self) -> None:
        """Remove all partitions."""
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Return the store's folder on each disk that this executor may use."""
        folders = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")
        return [Path(folder) / f"gaussmix-{self.name}" for folder in folders]

    def states(self, target: int) -> States:
        """Return the states of fits that this worker has stored for a partition."""
        for other in [name for name in _states if name != self.name]:
            if _n_bytes() > MAX_STATE_BYTES:
                del _states[other]
        mine = _states.setdefault(self.name, {})
        if target not in mine and _n_bytes() > MAX_STATE_BYTES:
            return {}
        return mine.setdefault(target, {})


def read(path: str, digest: int) -> list[Block] | None:
    """Map the blocks in a file into memory; return None if the file does not exist here or has another digest."""
    try:
        with open(path, "rb") as file:
            of, head, sizes = pickle.load(file)
            if of != digest:
                return None
            first, mapped = file.tell(), memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        return None
    buffers = []
    for size in sizes:
        first += -first % ALIGNMENT
        buffers.append(mapped[first : first + size])
        first += size
    return pickle.loads(head, buffers=buffers)


def _write(path: Path, blocks: list[Block], digest: int) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(blocks, 5, buffer_callback=buffers.append)
    with path.open("wb") as file:
        pickle.dump((digest, head, [buffer.raw().nbytes for buffer in buffers]), file)
        for buffer in buffers:
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(buffer.raw())


def _n_bytes() -> int:
    retained = (states for mine in _states.values() for fits in mine.values() for _, states in fits.values())
    return sum(state.n_bytes for states in retained for state in states)
