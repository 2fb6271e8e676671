"""Which of the results is the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import FailureKind
from gaussmix.families.base import FAMILIES
from gaussmix.fit.candidate import Result
from gaussmix.numerics.arrays import Array

ROUNDING = 1e-10  # relative: one Gaussian under two structures has the same criterion up to rounding


def lowest(results: Sequence[Result], values: Array) -> int:
    """The result of the lowest value, (n_results,); of equals the one with the fewest parameters.

    Raises
    ------
    ValueError : no value is finite; the message counts the reasons.
    """
    usable = np.isfinite(values)
    if not usable.any():
        raise none_could_be_fitted(results)
    best = float(values[usable].min())
    return simplest(results, usable & (values <= best + ROUNDING * abs(best)))


def highest_within_error(results: Sequence[Result], values: Array, errors: Array) -> int:
    """The simplest result within one standard error of the highest value; Breiman et al. (1984), CART, section 3.4.3.

    Raises as `lowest`.
    """
    usable = np.isfinite(values)
    if not usable.any():
        raise none_could_be_fitted(results)
    best = int(np.where(usable, values, -np.inf).argmax())
    return simplest(results, usable & (values >= values[best] - errors[best]))


def simplest(results: Sequence[Result], among: NDArray[np.bool_]) -> int:
    """The result with the fewest parameters, then components, then the first structure known."""
    known = list(FAMILIES)

    def size(place: int) -> tuple[int, int, int]:
        result, name = results[place], results[place].candidate.family.name
        return result.n_parameters, result.candidate.n_components, known.index(name) if name in known else len(known)

    return min(np.flatnonzero(among).tolist(), key=size)


def none_could_be_fitted(results: Sequence[Result], columns: str = "") -> ValueError:
    """The error for candidates that all failed; `columns` as for `reasons_and_advice`."""
    none = "The only candidate could not" if len(results) == 1 else f"None of {len(results)} candidates could"
    return ValueError(f"{none} be fitted: {' '.join(reasons_and_advice(results, columns))}")


def reasons_and_advice(failed: Sequence[Result], columns: str = "") -> tuple[str, str]:
    """How many candidates failed for each reason, and what may help, each once: two sentences.

    Parameters
    ----------
    failed : the candidates, at least one.
    columns : which columns make covariances singular, and what to do, instead of the usual advice; "" for none.
    """
    failures = (result.failure for result in failed)
    kinds = Counter(FailureKind.NO_CRITERION if failure is None else failure.kind for failure in failures).most_common()
    reasons = ", ".join(f"{number} × {kind.words}" for kind, number in kinds)
    usual = [kind.advice for kind, _ in kinds if not columns or kind.advice != FailureKind.SINGULAR.advice]
    *others, last = dict.fromkeys(each for advice in usual for each in advice) or [""]
    advice = ", ".join([*others, f"or {last}" if others else last])
    sentence = f"{advice[0].upper()}{advice[1:]}." if advice else ""
    return f"{reasons}.", " ".join(filter(None, [columns, sentence]))
