"""Right on every input that has an answer, or refused in a sentence where the case allows it; never wrong."""

import contextlib
import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning
from trust_cases import CASES

from gaussmix import GaussianMixture

REFUSAL = "escale the column|precisions_init.* give finite numbers"


def one_in_three():
    """All cases; a plain run takes every third."""
    marks = [], [pytest.mark.heavy], [pytest.mark.heavy]
    return [pytest.param(case, id=name, marks=marks[i % 3]) for i, (name, case) in enumerate(CASES.items())]


@pytest.mark.heavy(but=145)
@pytest.mark.parametrize("case", one_in_three())
def test_an_answer_is_right(case):
    allowed = pytest.raises(ValueError, match=REFUSAL) if case.may_refuse else contextlib.nullcontext()
    with warnings.catch_warnings(), allowed:
        # What a fit says of itself is no fault; a warning of NumPy's would be one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "component", RuntimeWarning)
        warnings.filterwarnings("ignore", "Columns? .* constant", RuntimeWarning)
        case.check(GaussianMixture)
