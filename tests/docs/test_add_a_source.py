"""Tests that the source in docs/develop/add-a-source.md passes all checks of sources."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix.extend import SOURCES, Source
from gaussmix.testing import check_source

PAGE = Path(__file__).parents[2] / "docs/develop/add-a-source.md"


def run_block(number: int, namespace: dict[str, Any]) -> None:
    """Run a Python block of the page in `namespace`."""
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    exec(compile(code[number], str(PAGE), "exec"), namespace)


def test_the_source_of_the_guide_passes_check_source(tmp_path: Path, rng: np.random.Generator) -> None:
    numbers, namespace = count(), dict[str, Any]()
    run_block(0, namespace)

    def make_source(rows: Rows, row_weight: Array | None) -> Source:
        paths = []
        for first, end in pairwise([0, 7, 1000, len(rows)]):
            paths.append(tmp_path / f"{next(numbers)}.npy")
            np.save(paths[-1], rows[first:end])
        source: Source = namespace["FileSource"](paths)
        if row_weight is None:
            return source
        return source.changed(lambda block: [replace(block, row_weight=row_weight[block.row_slice])], source.n_rows)

    check_source(make_source, rng)


def test_an_estimator_fits_and_predicts_with_the_source_of_the_guide(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = np.concatenate([rng.standard_normal((300, 2)), rng.standard_normal((500, 2)) + 9])
    namespace: dict[str, Any] = {"paths": [tmp_path / "a.npy", tmp_path / "b.npy"]}
    for path, part in zip(namespace["paths"], np.split(rows, [450]), strict=True):
        np.save(path, part)
    run_block(0, namespace)
    run_block(1, namespace)
    expected = GaussianMixture(2, random_state=0).fit(rows)
    # Both fits run the same steps up to rounding, which does not grow because components are 12 deviations apart.
    np.testing.assert_allclose(namespace["gm"].means_, expected.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(namespace["labels"], expected.predict(rows))


def test_open_uses_registered_sources(tmp_path: Path, rng: np.random.Generator, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: SOURCES.pop(".mynpy", None))
    namespace: dict[str, Any] = {}
    run_block(0, namespace)
    run_block(2, namespace)
    rows = rng.standard_normal((50, 3))
    np.save(tmp_path / "rows.npy", rows)
    path = (tmp_path / "rows.npy").rename(tmp_path / "rows.mynpy")
    source = gaussmix.open(path)
    assert type(source) is namespace["FileSource"]
    np.testing.assert_array_equal(source.sample(50).rows, rows)
