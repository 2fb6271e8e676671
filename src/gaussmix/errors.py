"""Errors that carry the offending values and a hint, and the reasons why EM ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import Enum


class Outcome(Enum):
    """Why EM ended. The value is a sentence for the user."""

    CONVERGED = "The mean log-likelihood changed by less than tol."
    STEP_LIMIT = "max_iter steps were made before the mean log-likelihood settled; raise max_iter or tol."
    DEGENERATE = "Every component collapsed onto too few distinct rows; raise reg_covar or lower n_components."
    NON_FINITE = "The log-likelihood is not a finite number; rescale the columns of X."


class SingularCovariance(ValueError):
    """Covariances that have no Cholesky factor to working precision.

    Parameters
    ----------
    components : indices of the components, counted from 0.
    sentence : what happened and what to do. By default: such covariances have no density.
    """

    def __init__(self, components: Iterable[int], sentence: str | None = None) -> None:
        self.components = tuple(int(k) for k in components)
        sentence = sentence or (
            "A covariance is not positive definite to working precision, so that there is no density. Add to its "
            "variances, or leave out features that follow from others."
        )
        super().__init__(f"{sentence} Concerned: {name_components(self.components)}.")

    def __reduce__(self) -> tuple[type[SingularCovariance], tuple[tuple[int, ...], str]]:
        return type(self), (self.components, str(self).rpartition(" Concerned: ")[0])

    @classmethod
    def of_fit(cls, components: Iterable[int]) -> SingularCovariance:
        """The error of a fit whose components sit on too few distinct rows."""
        return cls(  # scikit-learn's sentence, word for word: programs match it
            components,
            "Fitting the mixture model failed because some components have ill-defined empirical covariance "
            "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
            "increase reg_covar, or scale the input data.",
        )


class NonFiniteLikelihood(ValueError):
    """The log-likelihood of the start is not a finite number, so EM cannot raise it."""

    def __init__(self) -> None:
        super().__init__(Outcome.NON_FINITE.value)


class NotAModelFile(ValueError):
    """The file is damaged, truncated or not a gaussmix model."""


def name_components(components: Sequence[int]) -> str:
    """Write "component 2" or "components 0, 3", and shorten a long list."""
    shown = ", ".join(str(k) for k in components[:10]) + (", …" if len(components) > 10 else "")
    return f"component{'s' if len(components) > 1 else ''} {shown}"


def unknown_name(parameter: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for an unknown name. It lists the known names and suggests the nearest."""
    names = list(known)
    in_lower_case = {name.lower(): name for name in names}
    nearest = get_close_matches(str(value).lower(), in_lower_case, n=1, cutoff=0.4)
    hint = f" Did you mean {in_lower_case[nearest[0]]!r}?" if nearest else ""
    return ValueError(f"{parameter}={value!r} is not one of {', '.join(map(repr, names))}.{hint}")


def counted(number: int, noun: str) -> str:
    """ "1 value", "2 values"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in quotes with commas; a long list is shortened."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def quoted(text: str) -> str:
    """A value in quotes; a long one is shortened."""
    return repr(text if len(text) <= 20 else f"{text[:19]}…")
