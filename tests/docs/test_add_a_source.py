"""The source that docs/develop/add-a-source.md shows keeps the laws of sources."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.base import Source
from gaussmix.testing import check_source

PAGE = Path(__file__).parents[2] / "docs/develop/add-a-source.md"


def test_it_obeys_the_laws(tmp_path: Path, rng: np.random.Generator) -> None:
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    numbers, namespace = count(), {}
    exec(compile(code[0], str(PAGE), "exec"), namespace)

    def make_source(rows: Rows, row_weight: Array | None) -> Source:
        paths = []
        for first, end in pairwise([0, 7, 1000, len(rows)]):
            paths.append(tmp_path / f"{next(numbers)}.npy")
            np.save(paths[-1], rows[first:end])
        source: Source = namespace["FileSource"](paths)
        if row_weight is None:
            return source
        return source.changed(lambda block: [replace(block, row_weight=row_weight[block.places])], source.n_rows)

    check_source(make_source, rng)
