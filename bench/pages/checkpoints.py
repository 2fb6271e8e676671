"""What a checkpoint costs: milliseconds to write one, and how much longer a fit takes that writes them all the time.

    python -m bench.pages.checkpoints               # about two minutes; rewrites bench/results/checkpoints.md

A checkpoint holds one mixture; beside it the best run of those before, and the parameters that ordered the rows, where
there are any. Both are measured. "In the way" is how long a fit stands still for a checkpoint, which another thread
writes. Processor time does not count what else a shared machine does; the time of the clock does, and the disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.pages.base import Page, parser_of
from gaussmix import FAMILIES
from gaussmix.em.trace import State, Trace
from gaussmix.engines.native.arguments import arguments_of
from gaussmix.engines.native.visits import Ordering
from gaussmix.errors import Outcome
from gaussmix.fit.checkpoint import Checkpoint, Standing
from gaussmix.model import Model

SHAPES = [(16, 8), (100, 32), (1024, 32)]  # components, features
N_STEPS = 200


def checkpoint_of(n_components: int, n_features: int, n_mixtures: int, path: Path) -> Checkpoint:
    """A checkpoint of a first run; or of a second one, whose rows are visited in an order, with three mixtures."""
    rng, family = np.random.default_rng(0), FAMILIES["full"]
    each = np.tile(np.eye(n_features), (n_components, 1, 1))
    means = rng.normal(size=(n_components, n_features))
    model = Model(np.full(n_components, 1 / n_components), means, family.covariances(each, *means.shape), family)
    memory = Ordering(arguments_of(model.parameters), 9, True).remembered()
    course = tuple(rng.normal(size=N_STEPS).tolist())
    identity = {"number": n_components}
    checkpoint = Checkpoint(path, identity)
    state = State(model, Trace(course, course, memory=memory if n_mixtures > 1 else {}))
    best = State(model, Trace(course, course), Outcome.CONVERGED) if n_mixtures > 1 else None
    checkpoint._stands[""] = Standing(0, rng.bit_generator.state, state, best)
    return checkpoint


def milliseconds(shape: tuple[int, int, int], folder: Path, repeats: int) -> tuple[list[list[float]], int]:
    """Of writing, by the clock and of the processor, and in the way of the fit; and the bytes of the file."""
    path = folder / f"{shape}.ckpt"
    checkpoint = checkpoint_of(*shape, path)
    writing: list[float] = []
    working: list[float] = []
    standing: list[float] = []
    for _ in range(repeats):
        began, worked = time.perf_counter(), time.thread_time()
        checkpoint._write(checkpoint._record(), ("", 0, 0))
        ended = time.perf_counter()
        working.append(1e3 * (time.thread_time() - worked))
        checkpoint._write_beside()
        standing.append(1e3 * (time.perf_counter() - ended))
        writing.append(1e3 * (ended - began))
        checkpoint._wait()
    assert checkpoint.failure is None
    return [writing, working, standing], path.stat().st_size


def measured(folder: str | None, repeats: int) -> Iterator[tuple[object, ...]]:
    """The rows of the table."""
    with TemporaryDirectory(dir=folder) as place:
        for shape in SHAPES:
            for n_mixtures in (1, 3):
                times, size = milliseconds((*shape, n_mixtures), Path(place), repeats)
                yield (*shape, n_mixtures, f"{size:,}", *(f"{np.median(each):.2g}" for each in times))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--folder", help="write there instead of to a temporary folder")
    arguments = parser.parse_args()
    page = Page(__file__, "Checkpoints", f"milliseconds, medians of {arguments.repeats}, with fsync")
    names = "K | d | mixtures | bytes | written | of the processor | in the way"
    page.table(names, measured(arguments.folder, arguments.repeats), n_words=0)
    page.write()


if __name__ == "__main__":
    main()
