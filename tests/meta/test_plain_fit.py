"""Tests that a default fit runs only the code that it needs: its functions and files are counted."""

from __future__ import annotations

import sys
from inspect import getsourcelines
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

import gaussmix
from gaussmix import GaussianMixture

PACKAGE = Path(gaussmix.__file__).parent
ROWS = np.random.default_rng(0).normal(np.repeat([[0.0], [4.0], [8.0]], 100, axis=0), size=(300, 2))
MOST_FUNCTIONS, MOST_FILES, MOST_LINES = 119, 40, 60  # functions and files of a fit, and lines of a single function
MOST_IN_FIRST = 10  # maximum number of functions that only the first fit of a process runs


def functions_of_fit() -> set[CodeType]:
    """Return the functions of gaussmix that a default fit calls in this process."""
    found: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_name
        if event == "call" and (name == "<lambda>" or not name.startswith("<")):
            found.add(frame.f_code)

    estimator = GaussianMixture(3)
    sys.setprofile(note)
    try:
        estimator.fit(ROWS)
    finally:
        sys.setprofile(None)
    return {code for code in found if PACKAGE in Path(code.co_filename).parents}


def test_a_default_fit_runs_a_limited_number_of_functions() -> None:
    first, second = functions_of_fit(), functions_of_fit()
    files = {code.co_filename for code in second}
    long = {code.co_qualname: len(getsourcelines(code)[0]) for code in second}
    print(*sorted(f"{Path(c.co_filename).relative_to(PACKAGE)}: {c.co_qualname}" for c in second), sep="\n")
    print(*sorted(code.co_qualname for code in first ^ second), sep="\n")
    assert (len(second) <= MOST_FUNCTIONS, len(files) <= MOST_FILES) == (True, True)
    assert {name: n for name, n in long.items() if n > MOST_LINES} == {}
    assert len(first ^ second) <= MOST_IN_FIRST


def test_consecutive_fits_return_equal_but_separate_results() -> None:
    one = GaussianMixture(3, random_state=0).fit(ROWS)
    other = GaussianMixture(3, random_state=0).fit(ROWS)
    assert one.mixture_.means.tobytes() == other.mixture_.means.tobytes()
    assert not np.shares_memory(one.mixture_.means, other.mixture_.means)
    assert one.mixture_._model.covariances is not other.mixture_._model.covariances
