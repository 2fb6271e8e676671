"""What a fit says beside its result: the sentences, and warnings that name the line of the user's program."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gaussmix.covariances import Covariances
from gaussmix.em.trace import Frozen, State, Trace
from gaussmix.errors import Outcome, counted, listed, name_components
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.selection.candidate import Result
from gaussmix.selection.choice import reasons_and_advice
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block

ROUNDED = 1e-6  # nats: the smallest rounding of a log density that is worth a warning

_ADVICE = {
    Frozen.LOST: "no row belongs to it any more, and it stays where it was. Lower n_components, or try another start "
    "(init_params, n_init).",
    Frozen.COLLAPSED: "its mean and covariance were frozen before that. Raise reg_covar, lower n_components, or try "
    "another start (init_params, n_init).",
}

# scikit-learn's sentence: programs match it.
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


class SearchWarning(RuntimeWarning):
    """What the user should know of a search as a whole, and not of the mixture that it chose."""


def warn(sentence: str | None, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line that called into gaussmix, however deep in gaussmix the reason was found; None is no reason."""
    if sentence is None:
        return
    for level in count(1):  # from Python 3.12 on, `skip_file_prefixes` does this
        frame = sys._getframe(level)
        if frame.f_back is None or not frame.f_globals.get("__name__", "").startswith(("gaussmix.", "contextlib")):
            break
    warnings.warn(sentence, category, stacklevel=level + 1)


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Begin errors and warnings with what they are about."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
    for warning in caught:
        warn(f"{subject}: {warning.message}", warning.category)


def warn_of(run: State) -> None:
    """Warn of what the user should know of the end of a run."""
    warn(frozen_sentence(run.trace))
    warn(rounding_sentence(run.model))
    if run.outcome is not Outcome.CONVERGED and run.trace.n_steps > 0:
        warn(_NOT_CONVERGED, ConvergenceWarning)


def frozen_sentence(trace: Trace) -> str | None:
    """Say which components stopped moving, why, and what to do; None where all move."""
    sentences = []
    for reason, advice in _ADVICE.items():
        components = sorted(k for k, why in trace.frozen.items() if why is reason)
        if components:
            sentences.append(f"{name_components(components)} {reason.value}: {advice}")
    return " ".join(sentences) or None


def few_rows_sentence(source: Source, n_components: int) -> str | None:
    """Say that fewer distinct rows have positive weight than there are components; None if there are enough."""
    distinct: set[bytes] = set()
    for some in source.map_rows(partial(some_distinct, most=n_components)):
        distinct |= some
        if len(distinct) >= n_components:
            return None
    return (
        f"X has {counted(len(distinct), 'distinct row')}, fewer than n_components={n_components}, so that several "
        "components describe the same row, with reg_covar as all of their variance. Lower n_components."
    )


def some_distinct(block: Block, most: int) -> set[bytes]:
    """Distinct rows of positive weight in a block, up to `most` of them; all where there are fewer."""
    rows = block.rows if block.row_weight is None else block.rows[block.row_weight > 0]
    distinct: set[bytes] = set()
    for row in rows[: 20 * most] + 0.0:  # so few are mostly enough; −0 and 0 are the same number
        distinct.add(row.tobytes())
        if len(distinct) == most:
            return distinct
    return {row.tobytes() for row in np.unique(rows, axis=0)[:most] + 0.0}


def constant_columns(source: Source) -> list[int]:
    """Columns with the same value in every row of positive weight."""
    found: Rows | None = None
    for values in source.map_rows(_constants):
        if values is not None:
            found = values if found is None else np.where(values == found, found, np.nan)
    assert found is not None, "some row has a positive weight"
    return np.flatnonzero(~np.isnan(found)).tolist()


def _constants(block: Block) -> Rows | None:
    """The value of each column that is constant in a block, NaN for others; None without rows of positive weight."""
    places = np.arange(block.n_rows) if block.row_weight is None else np.flatnonzero(block.row_weight)
    if not places.size:
        return None
    first = block.rows[places[0]]
    suspects = np.flatnonzero((block.rows[places[:100]] == first).all(axis=0))  # few columns are left to read whole
    constant = [column for column in suspects.tolist() if (block.rows[places, column] == first[column]).all()]
    values: Rows = np.full_like(first, np.nan)
    values[constant] = first[constant]
    return values


def constant_sentence(mixture: Model, ridge: Array, source: Source, names: Sequence[str] | None) -> str | None:
    """Say which columns are constant and have no variance but the automatic ridge, (n_features,); else None."""
    variances = mixture.covariances.variances()
    is_ridge = variances.max(axis=0) <= 2 * ridge
    if not is_ridge.any():  # the rows need not be read
        return None
    constant = [column for column in constant_columns(source) if is_ridge[column]]
    if not constant:
        return None
    return (
        f"{_name_columns(constant, names)} constant, so that all of the variance there is reg_covar='auto', down to "
        f"{variances[:, constant].min():.1g}, and the density of a row with another value is next to 0. Leave out "
        "constant columns, or give reg_covar as a number."
    )


def dropped_sentence(results: Sequence[Result], source: Source, names: Sequence[str] | None) -> str | None:
    """Say why candidates failed, where most of them did or a column is constant; None otherwise.

    It is usual that some fail, such as those with the most components; the table of results says which and why.
    """
    failed = [result for result in results if result.failure is not None]
    constant = constant_columns(source) if failed else []
    if not constant and 2 * len(failed) <= len(results):
        return None
    reasons, advice = reasons_and_advice(failed)
    why = f" {_name_columns(constant, names)} constant." if constant else ""
    number = f"{len(failed)} of {counted(len(results), 'candidate')}"
    return f"{number} could not be fitted: {reasons}{why} {advice} The table of results has the reason of each."


def _name_columns(columns: Sequence[int], names: Sequence[str] | None) -> str:
    """Say "Column 2 (counted from 0) of X is" or "Columns 'a', 'b' of X are"."""
    several = len(columns) > 1
    if names is not None:
        which = listed([str(names[column]) for column in columns])
    else:
        rest = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
        which = f"{', '.join(map(str, columns[:10]))}{rest} (counted from 0)"
    return f"Column{'s' * several} {which} of X {'are' if several else 'is'}"


def rounding(covariances: Covariances) -> Array:
    """About how much rounding changes log densities of each component, (n_components,), nats."""
    variances = covariances.variances()
    inflation = (variances * covariances.whitening.precision_diagonals()).max(axis=1)
    error: Array = variances.shape[1] * float(np.finfo(np.float64).eps) * inflation
    return error


def rounding_sentence(mixture: Model) -> str | None:
    """Say which covariances are so nearly singular that log densities have lost digits; None where none is.

    The rounding of Σ is multiplied by Σ_jj (Σ⁻¹)_jj, the ratio of the variance of feature j to the variance that is
    left of it when the other features are known.
    """
    error = rounding(mixture.covariances)
    concerned = np.flatnonzero(error > ROUNDED)
    if not concerned.size:
        return None
    return (
        f"{name_components(concerned.tolist())}: nearly singular covariance, so that rounding changes log densities "
        f"by about {error.max():.1g} nats. Raise reg_covar, leave out columns that others determine or rows far from "
        "all others, or raise n_components."
    )
