"""Store rows in files on executors, which all workers of a machine map into memory, and store the states of fits."""

from __future__ import annotations

import mmap
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gaussmix._src.interfaces.block import Block
from gaussmix._src.sources.remote import MAX_FITS, States

ALIGNMENT = 64  # alignment of arrays in files, in bytes
MAX_STATE_BYTES = 2**28  # maximum size in bytes of states in a worker; further states are recomputed in every pass

_states: dict[str, dict[int, States]] = {}  # states of fits in this worker, by name of the store and partition


@dataclass(frozen=True)
class StateStore:
    """The rows of one source in files on executors, in a folder that Spark removes when an executor ends.

    Lost files are written again. If candidates of truncated EM are lost, they are chosen again, which changes results;
    other lost states only cost time.
    """

    name: str  # name of the folder

    def write(self, partition: int, blocks: list[Block], digest: int) -> str:
        """Write the blocks of a partition and a digest of its rows to a file, and return the path of the file."""
        folders = self._folders()
        folder = folders[partition % len(folders)]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{partition}.rows"
        with _replaced(path) as temporary:
            _write(temporary, blocks, digest)
        return str(path)

    def remove(self) -> None:
        """Remove all partitions."""
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Return the store's folder on each disk that this executor may use."""
        folders = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")
        return [Path(folder) / f"gaussmix-{self.name}" for folder in folders]

    def states(self, partition: int) -> States:
        """Return the states of fits that this worker has stored for a partition."""
        for other in [name for name in _states if name != self.name]:
            if _n_bytes() > MAX_STATE_BYTES:
                del _states[other]
        own = _states.setdefault(self.name, {})
        if partition not in own and _n_bytes() > MAX_STATE_BYTES:
            return {}
        return own.setdefault(partition, {})


class FitPass(NamedTuple):
    """A pass of a fit: the key of the fit's states, and the number of the pass among all passes over the source."""

    fit: str
    number: int


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces the file at `path` unless an error is raised."""
    temporary = path.with_name(f"{path.name}-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def stored_states(path: str, states: States, fit_pass: FitPass) -> Iterator[None]:
    """Add the states after the previous pass to `states`, and move the new states to a file next to the rows.

    Only states that affect results are moved to files. They can't stay in the memory of a worker, because Spark may
    give the partition to another worker in the next pass. If a task is repeated, it begins with the same states.
    """
    fit, number = fit_pass
    with suppress(FileNotFoundError):
        states[fit] = pickle.loads(Path(f"{path}.{fit}.{number - 1}").read_bytes())
    yield
    if any(state.affects_results for state in states[fit][1]):
        with _replaced(Path(f"{path}.{fit}.{number}")) as temporary:
            temporary.write_bytes(pickle.dumps(states.pop(fit), 5))
        _remove_old_states(path, fit_pass)


def _remove_old_states(path: str, fit_pass: FitPass) -> None:
    """Remove states of a partition that are older than the previous pass, or of fits before the last `MAX_FITS`."""
    with suppress(FileNotFoundError):  # raised if another worker repeats the task, and removes the same files
        complete = [file for file in Path(path).parent.glob(f"{Path(path).name}.*") if "-" not in file.suffix]
        files = sorted(complete, key=os.path.getmtime, reverse=True)
        fits = list(dict.fromkeys(file.suffixes[-2][1:] for file in files))
        for file in files:
            fit, number = (suffix[1:] for suffix in file.suffixes[-2:])
            if fit not in fits[:MAX_FITS] or (fit == fit_pass.fit and int(number) < fit_pass.number - 1):
                file.unlink()


def read(path: str, digest: int) -> list[Block] | None:
    """Map the blocks in a file into memory; return None if the file does not exist here or has a different digest."""
    try:
        with open(path, "rb") as file:
            stored_digest, head, sizes = pickle.load(file)
            if stored_digest != digest:
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
