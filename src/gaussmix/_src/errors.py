"""Errors, failures of candidate mixtures, warnings, and the reasons why EM ends."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from itertools import count
from threading import local
from typing import Any

LIKELIHOOD = "mean log-likelihood"  # default name of the objective that EM increases
REASONS_IN_RESULTS = " The column 'failure' of results_ gives the reasons."  # last sentence of a warning
# Matches names in quotes, such as 'row 5', and phrases such as "rows 3, 5". The apostrophe in "can't" does not begin a
# name.
_NAME_OR_ROWS = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|([Rr]ows? \d+(?:, \d+)*))""")


class StopReason(Enum):
    """The reason why EM ended. Each value is a sentence for the user, in which {raised} stands for the objective."""

    CONVERGED = "The {raised} changed by less than tol."
    STEP_LIMIT = "max_iter was reached before the {raised} converged; raise max_iter or tol."
    TIME_LIMIT = "max_time was reached before the {raised} converged; raise max_time or tol."
    STOPPED = "A callback ended the fit."
    DEGENERATE = (
        "Every component collapsed; leave out columns determined by others, lower n_components, or raise reg_covar."
    )
    NON_FINITE = "The log-likelihood is not a finite number; rescale the columns of X."

    def sentence(self, raised: str = LIKELIHOOD) -> str:
        """Return the reason as a sentence that calls the objective of EM `raised`."""
        return self.value.format(raised=raised)


class FailureKind(Enum):
    """The reason why a candidate mixture could not be fitted, in a few words, and advice for the user."""

    EXCESS_FACTORS = "too many factors", "lower n_factors"
    NOT_ENOUGH_ROWS = "fewer rows than components", "lower n_components"
    SINGULAR = (
        "singular covariance",
        "drop columns that are constant or determined by other columns",
        "lower n_components",
        "raise reg_covar",
        "leave out outliers (GaussianMixture(trim=…) finds them)",
    )
    COLLAPSED = "collapsed onto too few distinct rows", *SINGULAR[1:]
    NON_FINITE = "likelihood not finite", *SINGULAR[1:]
    WITHOUT_A_FOLD = "failed without a fold", *SINGULAR[1:]
    NO_TIME = "not started when max_time was reached", "raise max_time"
    STOPPED = ("not started when a callback ended the model selection",)
    NO_CRITERION = "no finite value to choose by", "choose another criterion", "give more rows than parameters"

    def __init__(self, words: str, *advice: str) -> None:
        self.words = words
        self.advice = advice

    @property
    def was_started(self) -> bool:
        """Return whether the fit of the candidate was started."""
        return self not in (FailureKind.NO_TIME, FailureKind.STOPPED)

    @property
    def is_singular(self) -> bool:
        """Return whether singular or nearly singular covariances caused the failure."""
        return self.advice == FailureKind.SINGULAR.advice

    @classmethod
    def from_text(cls, text: str) -> FailureKind:
        """Return the kind of a failure from the failure's text in a table of results or in a file."""
        return next(kind for kind in cls if text.startswith(kind.words))


@dataclass(frozen=True)
class Failure:
    """A failure to fit a candidate mixture. `str(failure)` is text for a table, such as "kind: details".

    Parameters
    ----------
    kind : reason of the failure.
    components : indices of the components that caused the failure, counted from 0.
    details : further information, which follows the kind after a colon.
    cause : another failure that caused this failure, such as a failure in a fold of a cross-validation.
    """

    kind: FailureKind
    components: tuple[int, ...] = ()
    details: str = ""
    cause: Failure | None = None

    def __str__(self) -> str:
        where = name_components(self.components) if self.components else ""
        details = where, self.details, "" if self.cause is None else str(self.cause)
        return ": ".join([self.kind.words, *filter(None, details)])


class ParameterTypeError(TypeError, ValueError):
    """Error for a parameter of the wrong type; it is also a ValueError, like scikit-learn's `InvalidParameterError`."""


class SingularCovarianceError(ValueError):
    """Error for covariances that are not numerically positive definite, so that the Cholesky factorisation fails.

    A fit raises this error if `reg_covar` is 0 and a feature is constant, is a linear combination of other features, or
    has too few distinct values in a component. Raise `reg_covar` or keep its default, leave out the feature that the
    message names, or fit fewer components.

    Parameters
    ----------
    components : indices of the components with such covariances, counted from 0.
    message : reason and advice; the default message states that such covariances have no density.
    """

    def __init__(self, components: Iterable[int], message: str | None = None) -> None:
        self.components: tuple[int, ...] = tuple(int(k) for k in components)
        self.message: str = message or (
            "A covariance is not positive definite to working precision, so that there is no density. Increase its "
            "variances, or leave out features that are combinations of other features."
        )
        super().__init__(f"{self.message} This concerns {name_components(self.components)}.")

    def __reduce__(self) -> tuple[type[SingularCovarianceError], tuple[Any, ...]]:
        return type(self), (self.components, self.message)

    @classmethod
    def from_components(cls, components: Iterable[int]) -> SingularCovarianceError:
        """Create the error for a fit in which components have collapsed onto too few distinct rows."""
        return cls(  # the same message as in scikit-learn, because programs may check it
            components,
            "Fitting the mixture model failed because some components have ill-defined empirical covariance "
            "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
            "increase reg_covar, or scale the input data.",
        )


class DegenerateError(SingularCovarianceError):
    """Error for a collapsed or empty component in a fit with `degenerate="error"`.

    Parameters
    ----------
    component : index of the component, counted from 0.
    feature : name or index of the feature in which the component collapsed; None if the component became empty.
    step : number of the EM step, counted from 1.
    cause : what happened, as the end of a sentence.
    """

    def __init__(self, component: int, feature: int | str | None, step: int, cause: str) -> None:
        self.component: int = component
        self.feature: int | str | None = feature
        self.step: int = step
        self.cause: str = cause
        where = "" if feature is None else f", first in feature {feature!r}"
        super().__init__(
            [component],
            f"In step {step} of EM, component {component} {cause}{where}. Raise reg_covar, lower n_components, or try "
            "another start (init_params, n_init).",
        )

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[DegenerateError], tuple[Any, ...]]:
        return type(self), (self.component, self.feature, self.step, self.cause)


class NothingFitted(ValueError):
    """Error for a model selection in which no candidate mixture could be fitted or compared."""


class NonFiniteLikelihood(ValueError):
    """Error for an initial log-likelihood that is not a finite number, so that EM cannot increase it."""

    def __init__(self) -> None:
        super().__init__(StopReason.NON_FINITE.value)


class InvalidModelFileError(ValueError):
    """Error for a file that is damaged, truncated or not a model file of gaussmix."""


def name_components(components: Sequence[int], names: Sequence[str] | None = None) -> str:
    """Return a phrase such as "component 2" or "components 0, 3", or the components' names, if they have names.

    The end of a long list is replaced by a count.
    """
    kind = f"component{'s' if len(components) > 1 else ''} " if names is None else ""
    shown = ", ".join(str(k) if names is None else names[k] for k in components[:10])
    return f"{kind}{shown}{f' and {len(components) - 10:,} more' if len(components) > 10 else ''}"


def not_one_of(value: object, known: Iterable[str]) -> str:
    """Return a sentence that lists the known names, and suggests the known name that is most similar to `value`."""
    names = list(known)
    in_lower_case = {name.lower(): name for name in names}
    nearest = get_close_matches(str(value).lower(), in_lower_case, n=1, cutoff=0.47)
    hint = f" Did you mean {in_lower_case[nearest[0]]!r}?" if nearest else ""
    return f"{value!r} is not one of {', '.join(map(repr, names))}.{hint}"


_recorder = local()


def warn(sentence: str | None, category: type[Warning] = RuntimeWarning) -> None:
    """Issue a warning at the line of user code that called gaussmix; do nothing if the sentence is None."""
    if sentence is None:
        return
    messages = getattr(_recorder, "messages", None)
    if messages is not None:
        messages.append((sentence, category))
        return
    for level in count(1):  # From Python 3.12 on, `skip_file_prefixes` can replace this loop.
        frame = sys._getframe(level)
        if frame.f_back is None or not frame.f_globals.get("__name__", "").startswith(("gaussmix.", "contextlib")):
            break
    warnings.warn(sentence, category, stacklevel=level + 1)


@contextmanager
def record_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Collect the warnings of this thread as pairs of a sentence and a category, instead of issuing them."""
    before, messages = vars(_recorder).copy(), list[tuple[str, type[Warning]]]()
    _recorder.messages = messages
    try:
        yield messages
    finally:
        vars(_recorder).clear()
        vars(_recorder).update(before)


def in_table(sentence: str, indices: Callable[[], Any]) -> str:
    """Replace the row numbers in a message about a selection of rows by the row numbers in the whole table.

    `indices()` returns, for each selected row, its index in the table. Names in quotes do not change.
    """

    def renumber(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        rows = indices()
        return re.sub(r"\d+", lambda row: str(rows[int(row[0])]) if int(row[0]) < len(rows) else row[0], match[1])

    return _NAME_OR_ROWS.sub(renumber, sentence)


@contextmanager
def about(subject: str, indices: Callable[[], Any]) -> Iterator[None]:
    """Add the subject, such as a class, at the beginning of errors and warnings from the `with` block.

    `indices()` contains the indices of the subject's rows in X, so that messages name rows of X. References to
    `results_` are removed from warnings, because the results of one class are not stored.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except ValueError as error:
        kind = ParameterTypeError if isinstance(error, ParameterTypeError) else ValueError
        raise kind(f"{subject}: {in_table(str(error), indices)}") from error
    for warning in caught:
        warn(f"{subject}: {in_table(str(warning.message), indices)}".removesuffix(REASONS_IN_RESULTS), warning.category)


def unknown_name(parameter: str, value: object, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name; its message lists the known names and suggests the most similar name."""
    return ValueError(f"{parameter}={not_one_of(value, known)}")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 value" or "2 values"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[object], limit: int = 10) -> str:
    """Return names in quotes, separated by commas; a long list is shortened."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def quoted(text: str) -> str:
    """Return text in quotes; long text is shortened."""
    return repr(text if len(text) <= 20 else f"{text[:19]}…")


def invented_names(n_columns: int) -> tuple[str, ...]:
    """Return names for columns without names: x0, x1, …, as in scikit-learn."""
    return tuple(f"x{column}" for column in range(n_columns))


def column_named(column: int, names: Sequence[str] | None) -> str:
    """Return a phrase for messages that identifies a column by its name, or by its index if it has no name."""
    return f"column {column} (counted from 0)" if names is None else f"column {str(names[column])!r}"


def cell_named(row: int, column: int, names: Sequence[str] | None) -> str:
    """Return a phrase for messages that identifies a value by its row and column."""
    return f"row {row}{'' if names is None else ' (counted from 0)'}, {column_named(column, names)}"


SingularCovarianceError.__module__ = DegenerateError.__module__ = InvalidModelFileError.__module__ = (
    "gaussmix"  # the module from which users import these classes
)
