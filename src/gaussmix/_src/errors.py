"""Errors and failures that carry the offending values and a hint, and the reasons why EM ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from itertools import count
from threading import local
from typing import Any

LIKELIHOOD = "mean log-likelihood"  # what EM raises unless it has another name


class Outcome(Enum):
    """Why EM ended. The value is a sentence for the user, as `sentence` completes it."""

    CONVERGED = "The {raised} changed by less than tol."
    STEP_LIMIT = "max_iter steps were made before the {raised} settled; raise max_iter or tol."
    TIME_LIMIT = "max_time seconds were over before the {raised} settled; raise max_time or tol."
    STOPPED = "A callback ended the fit."
    DEGENERATE = "Every component collapsed onto too few distinct rows; raise reg_covar or lower n_components."
    NON_FINITE = "The log-likelihood is not a finite number; rescale the columns of X."

    def sentence(self, raised: str = LIKELIHOOD) -> str:
        """The sentence, by the name of what EM raises."""
        return self.value.format(raised=raised)


class FailureKind(Enum):
    """Why a family and a number of components have no fit: a few words, and what may help."""

    EXCESS_FACTORS = "too many factors", "lower n_factors"
    NOT_ENOUGH_ROWS = "fewer rows than components", "lower n_components"
    SINGULAR = (
        "singular covariance",
        "lower n_components",
        "raise reg_covar",
        "drop columns that are constant or follow from others",
    )
    COLLAPSED = "collapsed onto too few distinct rows", *SINGULAR[1:]
    NON_FINITE = "likelihood not finite", *SINGULAR[1:]
    WITHOUT_A_FOLD = "failed without a fold", *SINGULAR[1:]
    NO_TIME = "not begun when max_time was over", "raise max_time"
    STOPPED = ("not begun when a callback ended the search",)
    NO_CRITERION = "no finite value to choose by", "choose another criterion", "give more rows than parameters"

    def __init__(self, words: str, *advice: str) -> None:
        self.words = words
        self.advice = advice

    @property
    def was_started(self) -> bool:
        """Whether there was a fit at all."""
        return self not in (FailureKind.NO_TIME, FailureKind.STOPPED)

    @classmethod
    def from_text(cls, text: str) -> FailureKind:
        """The kind of a failure that a table of results or a file has as text."""
        return next(kind for kind in cls if text.startswith(kind.words))


@dataclass(frozen=True)
class Failure:
    """Why a family and a number of components have no fit. `str` words it for a table: "kind: details".

    Parameters
    ----------
    kind : what happened.
    components : indices of the components concerned, counted from 0.
    details : what else there is to know, as the end of a sentence.
    cause : the failure of a part that made the whole fail, such as that of a fold.
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
    """A parameter or an argument has the wrong type; a ValueError too, as scikit-learn's `InvalidParameterError` is."""


class SingularCovarianceError(ValueError):
    """Covariances that have no Cholesky factor to working precision.

    A fit ends with it where `reg_covar` is 0, and a feature is constant, follows from others, or has too few distinct
    rows in a component. Raise `reg_covar` or keep its default, leave out the feature that the message names, or fit
    fewer components.

    Parameters
    ----------
    components : indices of the components, counted from 0.
    message : what happened and what to do. By default: such covariances have no density.
    """

    def __init__(self, components: Iterable[int], message: str | None = None) -> None:
        self.components: tuple[int, ...] = tuple(int(k) for k in components)
        self.message: str = message or (
            "A covariance is not positive definite to working precision, so that there is no density. Add to its "
            "variances, or leave out features that follow from others."
        )
        super().__init__(f"{self.message} Concerned: {name_components(self.components)}.")

    def __reduce__(self) -> tuple[type[SingularCovarianceError], tuple[Any, ...]]:
        return type(self), (self.components, self.message)

    @classmethod
    def from_components(cls, components: Iterable[int]) -> SingularCovarianceError:
        """The error of a fit whose components sit on too few distinct rows."""
        return cls(  # scikit-learn's sentence, word for word: programs match it
            components,
            "Fitting the mixture model failed because some components have ill-defined empirical covariance "
            "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
            "increase reg_covar, or scale the input data.",
        )


class DegenerateError(SingularCovarianceError):
    """A component collapsed or lost its mass, and the fit was told to end there.

    Parameters
    ----------
    component : its number, counted from 0.
    feature : the name or the number of the feature in which it collapsed; None where it lost its mass.
    step : of EM, counted from 1.
    cause : what happened to it, as the end of a sentence.
    """

    def __init__(self, component: int, feature: int | str | None, step: int, cause: str) -> None:
        self.component: int = component
        self.feature: int | str | None = feature
        self.step: int = step
        self.cause: str = cause
        where = "" if feature is None else f", first in feature {feature!r}"
        super().__init__(
            [component],
            f"In step {step} of EM component {component} {cause}{where}. Raise reg_covar, lower n_components, or try "
            "another start (init_params, n_init).",
        )

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[DegenerateError], tuple[Any, ...]]:
        return type(self), (self.component, self.feature, self.step, self.cause)


class NothingFitted(ValueError):
    """No candidate of a model selection could be fitted, or judged."""


class NonFiniteLikelihood(ValueError):
    """The log-likelihood of the start is not a finite number, so EM cannot raise it."""

    def __init__(self) -> None:
        super().__init__(Outcome.NON_FINITE.value)


class InvalidModelFileError(ValueError):
    """The file is damaged, truncated or not a gaussmix model."""


def name_components(components: Sequence[int]) -> str:
    """Write "component 2" or "components 0, 3", and count the others of a long list."""
    shown = ", ".join(str(k) for k in components[:10])
    others = f" and {len(components) - 10:,} more" if len(components) > 10 else ""
    return f"component{'s' if len(components) > 1 else ''} {shown}{others}"


def not_one_of(value: object, known: Iterable[str]) -> str:
    """Say that a name is not one of the known ones, and which of them is the nearest: a sentence."""
    names = list(known)
    in_lower_case = {name.lower(): name for name in names}
    nearest = get_close_matches(str(value).lower(), in_lower_case, n=1, cutoff=0.47)
    hint = f" Did you mean {in_lower_case[nearest[0]]!r}?" if nearest else ""
    return f"{value!r} is not one of {', '.join(map(repr, names))}.{hint}"


_recorder = local()


def warn(sentence: str | None, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line that called into gaussmix, however deep in gaussmix the reason was found; not if it is None."""
    if sentence is None:
        return
    messages = getattr(_recorder, "messages", None)
    if messages is not None:
        messages.append((sentence, category))
        return
    for level in count(1):  # from Python 3.12 on, `skip_file_prefixes` does this
        frame = sys._getframe(level)
        if frame.f_back is None or not frame.f_globals.get("__name__", "").startswith(("gaussmix.", "contextlib")):
            break
    warnings.warn(sentence, category, stacklevel=level + 1)


@contextmanager
def record_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Keep the warnings of this thread, the sentence and the category of each, instead of giving them."""
    before, messages = vars(_recorder).copy(), list[tuple[str, type[Warning]]]()
    _recorder.messages = messages
    try:
        yield messages
    finally:
        vars(_recorder).clear()
        vars(_recorder).update(before)


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Begin errors and warnings with what they are about."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except ValueError as error:
        kind = ParameterTypeError if isinstance(error, ParameterTypeError) else ValueError
        raise kind(f"{subject}: {error}") from error
    for warning in caught:
        warn(f"{subject}: {warning.message}", warning.category)


def unknown_name(parameter: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for an unknown name. It lists the known names and suggests the nearest."""
    return ValueError(f"{parameter}={not_one_of(value, known)}")


def counted(count: int, noun: str) -> str:
    """ "1 value", "2 values"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[object], limit: int = 10) -> str:
    """Names in quotes with commas; a long list is shortened."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def quoted(text: str) -> str:
    """A value in quotes; a long one is shortened."""
    return repr(text if len(text) <= 20 else f"{text[:19]}…")


def invented_names(n_columns: int) -> tuple[str, ...]:
    """Names for columns without names: x0, x1 …, as in scikit-learn."""
    return tuple(f"x{column}" for column in range(n_columns))


def column_named(column: int, names: Sequence[str] | None) -> str:
    """A column by its name where it has one."""
    return f"column {column} (counted from 0)" if names is None else f"column {str(names[column])!r}"


Outcome.__module__ = SingularCovarianceError.__module__ = DegenerateError.__module__ = (
    InvalidModelFileError.__module__
) = "gaussmix"  # where users import them from
