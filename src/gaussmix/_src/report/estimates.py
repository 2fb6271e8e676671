"""Estimates with standard errors and intervals: the parameters of a mixture, or values of a function of a mixture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri

from gaussmix._src.checks import check_within
from gaussmix._src.em.curvature.parameter_layout import ParameterKind, ParameterLayout
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.mixture.html import table_html
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import names_of
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, frozen
from gaussmix._src.numerics.frames import made_frame
from gaussmix._src.report.summary import aligned, shortened

Function = Callable[[Mixture], ArrayLike]
DEFAULT_ALPHA = 0.05
MAX_ALPHA = 0.5  # maximum alpha, because a user who passes a larger alpha most likely means 1 − alpha
_ALPHA = "the probability outside of the interval, above 0 and at most 0.5, such as 0.05 for 95 %"
MAX_SHOWN_MIXTURES = 50  # default number of drawn mixtures that a plot shows
MAX_VARIANCE = 1e140  # largest variance, in data units², for which standard errors do not overflow
MAX_FIT_DISTANCE = 3.0  # maximum distance of a fit from the estimates that `tidy` combines with it, in standard errors


@dataclass(frozen=True, eq=False, repr=False)
class ParameterEstimates:
    """Estimates of parameters or of functions of a mixture, with their covariance.

    Parameters
    ----------
    names : names of the estimated values.
    params : (q,), the estimated values, in the units of the parameters or of the function.
    covariance : (q, q), covariance matrix of the estimates; NaN for estimates without a standard error, 0 for values
        that are known exactly.
    links : for each value, the transformation that makes the confidence interval symmetric, which is "logit" for a
        weight, "log" for a variance, and "" (no transformation) for other values.
    method : one-line description of how the estimates were computed.
    notes : caveats about the estimates, one sentence each.
    draws : (n, q), estimates from each bootstrap or jackknife refit; None if the covariance comes from a formula.
    draw_weights : (n,), for jackknife refits, which have no quantiles, the factor by which each refit's squared
        deviation enters the covariance; None for bootstrap refits.
    frame_library : library of the data frame that `tidy` returns; None for the first supported library that is
        installed.
    """

    names: tuple[str, ...]
    params: Array
    covariance: Array
    links: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()
    draws: Array | None = None
    draw_weights: Array | None = None
    frame_library: str | None = None
    _title: ClassVar[str] = "Estimates"

    def __post_init__(self) -> None:
        for array in (self.params, self.covariance, self.draws):
            if array is not None:
                frozen(array)

    @property
    def bse(self) -> Array:
        """Return the standard errors, (q,)."""
        return np.sqrt(np.diagonal(self.covariance))

    def cov_params(self) -> Array:
        """Return the covariance of the estimates, (q, q)."""
        return self.covariance

    def conf_int(self, alpha: float = DEFAULT_ALPHA, method: str | None = None) -> Array:
        """Return intervals that contain each true value with probability 1 − alpha, (q, 2).

        Parameters
        ----------
        alpha : probability outside the interval, above 0 and at most 0.5.
        method : "wald" gives estimate ± z · standard error, computed on the scale of `links`. "percentile", the default
            for a bootstrap, gives quantiles of the refits. "centred", which also needs a bootstrap, gives quantiles of
            the refits after a shift on the scale of `links` that makes the mean of the refits equal to the estimate.

        Raises
        ------
        ValueError, TypeError : alpha is not a number above 0 and at most 0.5, or the method is not available.
        """
        check_within("alpha", alpha, _ALPHA, lambda value: 0 < value <= MAX_ALPHA)
        known = ("wald",) if self.draws is None or self.draw_weights is not None else ("percentile", "centred", "wald")
        chosen = known[0] if method is None else method
        if chosen not in known:
            raise ValueError(f"method={method!r:.40} is not one of {', '.join(map(repr, known))}.")
        if chosen == "percentile":
            assert self.draws is not None, "a bootstrap always has draws"
            return np.asarray(np.quantile(self.draws, (alpha / 2, 1 - alpha / 2), axis=0).T)
        ends = np.empty((len(self.params), 2))
        for index, (value, link) in enumerate(zip(self.params, self.links, strict=True)):
            there, back, slope = _LINKS[link]
            if not self.bse[index] > 0:
                ends[index] = value if self.bse[index] == 0 else np.nan
                continue
            if chosen == "wald":
                reach = -float(ndtri(alpha / 2)) * self.bse[index] * slope(value)
                moves = np.array([-reach, reach])
            else:
                assert self.draws is not None, "a bootstrap always has draws"
                with np.errstate(divide="ignore"):
                    drawn = there(self.draws[:, index])
                moves = np.quantile(drawn, (alpha / 2, 1 - alpha / 2)) - drawn.mean()
            with np.errstate(over="ignore"):  # a limit of an interval may overflow to infinity
                ends[index] = back(there(value) + moves)
        return ends

    def tidy(self, alpha: float = DEFAULT_ALPHA) -> Any:
        """Return a data frame with the columns "term", "estimate", "std_error", "conf_low" and "conf_high".

        Parameters
        ----------
        alpha : probability outside each interval, as in `conf_int`.
        """
        return made_frame(self._columns(alpha), self.frame_library)

    def _columns(self, alpha: float = DEFAULT_ALPHA) -> dict[str, Any]:
        low, high = self.conf_int(alpha).T
        number_columns = {"estimate": np.array(self.params), "std_error": self.bse, "conf_low": low, "conf_high": high}
        return {"term": list(self.names), **number_columns}

    def summary(self, alpha: float = DEFAULT_ALPHA) -> str:
        """Return a text table of the estimates with their standard errors and intervals.

        Parameters
        ----------
        alpha : probability outside each interval, as in `conf_int`.
        """
        header, rows = self._cells(alpha)
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        lines = [line.rstrip() for line in aligned([header, *shortened(rows)])]
        return "\n".join([f"{self._title} by {self.method}", "", *lines, *notes])

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = table_html(*self._cells(DEFAULT_ALPHA))
        return f"<div><p>{self._title} by {self.method}</p>{table}<ul>{notes}</ul></div>"

    def _cells(self, alpha: float) -> tuple[list[str], list[list[str]]]:
        header = ["", "estimate", "std error", f"{100 * alpha / 2:.3g} %", f"{100 - 100 * alpha / 2:.3g} %"]
        named = with_intervals(self, alpha)
        return header, [[name if name.isprintable() else repr(name), *texts] for name, texts, _ in named]


def with_intervals(
    estimates: ParameterEstimates, alpha: float = DEFAULT_ALPHA
) -> list[tuple[str, list[str], list[float]]]:
    """Return names, values, standard errors and intervals of the estimates, both as texts and as floats."""
    values = zip(estimates.params, estimates.bse, *estimates.conf_int(alpha).T, strict=True)
    return [(name, _as_texts(*each), [*map(float, each)]) for name, each in zip(estimates.names, values, strict=True)]


def _as_texts(value: float, error: float, low: float, high: float) -> list[str]:
    """Format an estimate, its standard error and its interval, rounded to three digits of the standard error."""
    if not error > 0:
        return [f"{value:.6g}", "known" if error == 0 else "", "", ""]
    decimals = 2 - math.floor(math.log10(error))
    if decimals <= 7 and abs(value) < 1e12:  # fixed-point notation is short enough
        return [f"{each:.{max(0, decimals)}f}" for each in (value, error, low, high)]
    digits = max(6, min(15, math.ceil(math.log10(abs(value) or error)) + decimals))
    return [f"{value:.{digits}g}", f"{error:.3g}", f"{low:.{digits}g}", f"{high:.{digits}g}"]


# This dictionary maps the name of each link to the link function, the inverse function, and the derivative.
_LINKS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[float], float]]] = {
    "": (np.positive, np.positive, lambda value: 1.0),
    "log": (np.log, np.exp, lambda value: 1 / value),
    "logit": (logit, expit, lambda value: 1 / (value * (1 - value))),
}


def parameter_entries(mixture: Mixture) -> dict[str, Any]:
    """Return names, values and links of all parameters of a mixture as a dict of arguments of `ParameterEstimates`."""
    layout, own = ParameterLayout.at_model(mixture._model), names_of(mixture)
    kind_links = {ParameterKind.WEIGHT: "logit", ParameterKind.VARIANCE: "log"}
    links = tuple(kind_links.get(term.kind, "") for term in layout.terms)
    names = tuple(term.name(own) for term in layout.terms)
    return {"names": names, "params": layout.to_vector(mixture._model), "links": links}


@dataclass(frozen=True, eq=False, repr=False)
class MixtureEstimates(ParameterEstimates):
    """Estimates of all parameters of a mixture.

    Parameters
    ----------
    names, params, covariance, links, method, notes, draws, draw_weights, frame_library : see `ParameterEstimates`.
    mixture : the mixture with the parameters `params`.
    """

    mixture: Mixture = field(kw_only=True)

    def _largest_distance(self, model: Model, chosen: NDArray[np.bool_] | bool = True) -> float:
        """Return the largest distance of a model's `chosen` parameters (q,) from the estimates, in standard errors."""
        errors, distances = self.bse, np.abs(self.params - ParameterLayout.at_model(model).to_vector(model))
        chosen = chosen & (errors > 0)
        return float((distances[chosen] / errors[chosen]).max(initial=0.0))

    def _function_estimates(
        self, name: str, value: Array, covariance: Array, draws: Array | None = None
    ) -> ParameterEstimates:
        own: dict[str, Any] = {"method": self.method, "notes": self.notes, "frame_library": self.frame_library}
        return ParameterEstimates(
            **value_entries(name, value), **own, covariance=covariance, draws=draws, draw_weights=self.draw_weights
        )


def interval_columns(estimates: MixtureEstimates, mixture: Mixture) -> dict[str, Array]:
    """Return standard errors and intervals of weights and means as columns for `tidy` of a fit.

    Each column has a value for each component, followed by a value for noise if there is noise. Raises ValueError if
    the mixture does not have the parameters of the estimates, or is more than three standard errors away.
    """
    layout = ParameterLayout.at_model(mixture._model)
    if layout.terms != ParameterLayout.at_model(estimates.mixture._model).terms:
        raise ValueError("estimates must come from inference, bootstrap or posterior_ of this estimator.")
    is_of_rows = np.array([term.kind in (ParameterKind.WEIGHT, ParameterKind.MEAN) for term in layout.terms])
    furthest = estimates._largest_distance(mixture._model, is_of_rows)
    if furthest > MAX_FIT_DISTANCE:
        raise ValueError(
            f"The estimates differ from this mixture by up to {furthest:.2g} standard errors: they belong to another "
            "fit, or this fit ended far from its maximum. Use estimates.tidy() for a table, or fit with a lower tol."
        )
    low, high = estimates.conf_int().T
    features, K, columns = names_of(mixture), mixture.n_components, dict[str, Array]()
    weights = [index for index, term in enumerate(layout.terms) if term.kind is ParameterKind.WEIGHT]
    none = np.full(len(weights) - K, np.nan)
    for name, numbers in {"std_error": estimates.bse, "conf_low": low, "conf_high": high}.items():
        columns[f"weight_{name}"] = numbers[weights]
        means = numbers[len(weights) : len(weights) + K * len(features)].reshape(K, -1)
        columns |= {f"mean_{feature}_{name}": np.append(means[:, j], none) for j, feature in enumerate(features)}
    return columns


def value_entries(name: str, value: Array) -> dict[str, Any]:
    """Return names, values and links of a function's values as a dict of arguments of `ParameterEstimates`."""
    names = (name,) if not value.ndim else tuple(f"{name}[{i}]" for i in range(value.size))
    return {"names": names, "params": value.ravel(), "links": ("",) * value.size}


def as_mixtures(models: Iterable[Model], like: Mixture) -> list[Mixture]:
    """Return mixtures of the models, with the feature names of `like`."""
    return [Mixture._from_model(model, like.feature_names) for model in models]


def function_values(function: Function, mixture: Mixture) -> Array:
    """Evaluate a user's function; raise TypeError if it isn't callable, ValueError if a value is not finite."""
    if not callable(function):
        raise ParameterTypeError(f"Pass a function that takes a mixture and returns numbers, not {function!r:.60}.")
    values = np.asarray(function(mixture))
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(f"The function must return finite numbers for mixtures near the estimate, not {values!s:.60}.")
    return values.astype(np.float64)


def check_unit(mixture: Mixture) -> None:
    """Raise ValueError if the standard error of a variance would overflow or underflow in double precision."""
    variances = mixture._model.covariances.variances()
    wrong = (variances > MAX_VARIANCE) | ((variances > 0) & (variances < 1 / MAX_VARIANCE))
    if wrong.any():
        k, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"Standard errors need variances from {1 / MAX_VARIANCE:.0e} to {MAX_VARIANCE:.0e}, but the variance of "
            f"{names_of(mixture)[j]} in component {k} is {variances[k, j]:.3g}. Rescale this column."
        )


ParameterEstimates.__module__ = MixtureEstimates.__module__ = "gaussmix"  # users import these classes from `gaussmix`
