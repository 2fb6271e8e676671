"""EVE and VVE from the same labels as R's mclust: the ends are as high, though both have many maxima."""

import json
from pathlib import Path

import numpy as np
import pytest
from common import ArraySource, Stopping
from mclust_rule import run_from_labels
from tables import rows_of

from gaussmix.engines import choose
from gaussmix.families import family_named

FOLDER = Path(__file__).parent
FITS = json.loads((FOLDER / "mclust_axes.json").read_text())["fits"]
# mclust's VVE lowers the likelihood on its way, and its steps reach maxima that no beginning of ours leads to.
LOWER = {("iris", 3, "EVE", 4), ("iris", 3, "VVE", 4), ("banknote", 4, "EVE", 4), ("banknote", 4, "VVE", 4)}


def reason(name, column, model, n_components):
    is_lower = (name, column, model, n_components) in LOWER
    return [pytest.mark.xfail(strict=True, reason="mclust's end is another maximum")] if is_lower else []


@pytest.mark.parametrize(
    ("name", "column", "model", "n_components", "theirs"), [pytest.param(*fit, marks=reason(*fit[:4])) for fit in FITS]
)
def test_several_beginnings_end_as_high_as_mclust(name, column, model, n_components, theirs):
    rows = rows_of(name)
    labels = np.empty(len(rows), np.int32)
    labels[np.argsort(rows[:, column], kind="stable")] = np.arange(len(rows)) * n_components // len(rows)
    source, stopping = ArraySource(rows, given=labels), Stopping(1e-9, 3000)
    end = run_from_labels(source, choose(1), n_components, family_named(model), stopping, tolerance=1e-7)
    assert not end.trace.frozen
    assert end.trace.last * len(rows) >= theirs - 1e-3
