"""The results of a sequence of hypothesis tests for the number of components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix._src.checks import check_within
from gaussmix._src.numerics.arrays import Array, Indices, frozen
from gaussmix._src.numerics.frames import made_frame
from gaussmix._src.report.summary import aligned

DEFAULT_LEVEL = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class ComponentNumberTest:
    """Results of a sequence of tests that compare a mixture with a mixture that has more components.

    Parameters
    ----------
    n_components : (m,), number of components of the smaller mixture in each test.
    statistic : (m,), statistic of each test: either twice the log-likelihood ratio in nats, or the likelihood ratio
        averaged over the two halves of the rows.
    p_value : (m,), p-value of each test.
    method : one-line description of the tests.
    null_statistics : (m, n), for each of the m tests, the statistics of n data sets drawn from the smaller mixture;
        None if no data sets were drawn.
    frame_library : library of the data frame that `tidy` returns; None for the first supported library that is
        installed.
    """

    n_components: Indices
    statistic: Array
    p_value: Array
    method: str
    null_statistics: Array | None = None
    frame_library: str | None = None

    def __post_init__(self) -> None:
        for array in (self.statistic, self.p_value, self.null_statistics):
            if array is not None:
                frozen(array)

    def min_components(self, alpha: float = DEFAULT_LEVEL) -> int:
        """Return the smallest number of components that the tests do not reject in favour of more components.

        The probability that the true number of components is smaller than the result is at most `alpha`. A test counts
        only if all tests with fewer components reject their null hypotheses. The result is therefore too large only if
        the first true null hypothesis is rejected.

        Parameters
        ----------
        alpha : significance level of each test, between 0 and 1.
        """
        check_within("alpha", alpha, "a number between 0 and 1", lambda value: 0 < value < 1)
        accepted = np.flatnonzero(self.p_value > alpha)
        return int(self.n_components[accepted[0]] if accepted.size else self.n_components[-1] + 1)

    def tidy(self) -> Any:
        """Return a data frame with a row for each test and the columns "n_components", "statistic" and "p_value"."""
        columns = {"n_components": self.n_components, "statistic": self.statistic, "p_value": self.p_value}
        return made_frame({name: np.array(values) for name, values in columns.items()}, self.frame_library)

    def __str__(self) -> str:
        header = ["components", "statistic", "p"]
        tests = zip(self.n_components.tolist(), self.statistic.tolist(), self.p_value.tolist(), strict=True)
        rows = [[str(k), f"{statistic:.4g}", f"{p:.3g}"] for k, statistic, p in tests]
        lines = [line.rstrip() for line in aligned([header, *rows])]
        least = self.min_components()
        return "\n".join([self.method, "", *lines, "", f"At least {least} at a level of {DEFAULT_LEVEL:g}."])

    __repr__ = __str__


ComponentNumberTest.__module__ = "gaussmix"  # users import the class from `gaussmix`
