"""List all fit options, find the options that a fit uses, and reject combinations that are not supported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gaussmix._src.fit.options.base import FitOption, FitOptions

INITIAL_PARAMETERS = "weights_init", "means_init", "precisions_init", "covariances_init"
# The fit options in the order in which they apply. Each key specifies a module in `fit` (imported at its first use) and
# a class in that module. A value lists the parameters whose changes from the default request the option.
OPTION_PARAMETERS = {
    "options.rows:MeasurementErrors": ("X_error",),
    "options.rows:WeightType": ("weight_type",),
    "options.outliers:UniformNoise": ("noise",),
    "options.labels:KnownLabels": ("labels", "label_components"),
    "options.outliers:Trimming": ("trim",),
    "options.priors:Priors": ("prior", "restrictions"),
    "options.posterior:TruncatedPosterior": ("posterior", "many components"),
    "options.runs:DegenerateRemedy": ("degenerate",),
    "options.starts:InitialValues": INITIAL_PARAMETERS,
    "options.runs:AcceleratedRuns": ("acceleration",),
    "options.runs:CertifiedMaximum": ("check_maximum", "tol"),
    "options.starts:WarmStart": ("warm_start",),
    "options.stream:StreamFit": ("forgetting", "partial_fit"),
    "checkpoint:Checkpoint": ("checkpoint",),
    "monitor:Monitor": ("callbacks", "max_time", "verbose", "verbose_interval", "_skl_callbacks"),
}  # fmt: skip

# With at least this number of components ("many components"), posterior="auto" may truncate EM.
MIN_TRUNCATED_COMPONENTS = 1000

_INDEX_CONFLICT = "degenerate='drop' changes component indices, to which {} refer. Set 'freeze', 'repair' or 'error'."
_WEIGHT_SUM_CONFLICT = "{} can't be combined with noise: these weights must sum to 1. Remove one."
_STREAM_ERROR = "partial_fit does not support {}. Use fit."
_FIT_MANY_ERROR = "fit_many does not support {}. Remove it, or fit the groups one by one."
_UNSUPPORTED_IN_STREAMS = (
    "posterior", "trim", "noise", "covariance_type='factor_analyzer'", "weight_type='precision'", "degenerate='drop'",
    "degenerate='repair'", "degenerate='error'", "prior", "restrictions", "label_components",
)  # fmt: skip
_UNSUPPORTED_IN_FIT_MANY = (
    "posterior", "callbacks", "max_time", "checkpoint", *INITIAL_PARAMETERS, "warm_start", "noise", "verbose",
    "degenerate='drop'", "check_maximum=True", "labels", "label_components", "X_error",
)  # fmt: skip

# Pairs of names that no fit can use together, each with its error message. The first matching pair is reported.
UNSUPPORTED_PAIRS = {
    ("labels", "split_merge"): "labels refer to component indices, which split-and-merge moves change. Set "
    'split_merge=False and init_params="kmeans".',
    ("labels", "degenerate='drop'"): _INDEX_CONFLICT.format("labels"),
    ("component indices", "degenerate='drop'"): _INDEX_CONFLICT.format("restrictions"),
    ("fixed_weights", "noise"): _WEIGHT_SUM_CONFLICT.format("fixed_weights"),
    ("min_weight", "noise"): _WEIGHT_SUM_CONFLICT.format("min_weight"),
    ("precisions_init", "covariances_init"): "Pass precisions_init or covariances_init, not both.",
    ("equal_weights", "prior on the weights"): "equal_weights=True contradicts a prior on the weights. Remove one of "
    "them.",
    ("tol='auto'", "BayesianGaussianMixture"): 'BayesianGaussianMixture needs a number as tol, not "auto".',
    ("degenerate='drop'", "GaussianMixtureIC"): "degenerate='drop' works only in GaussianMixture: in a model "
    "selection, a mixture with fewer components is another candidate. Set 'freeze' or 'repair'.",
    ("degenerate='error'", "GaussianMixtureIC"): "degenerate='error' works only in GaussianMixture: a model selection "
    "continues, and results_ lists the candidates that failed. Set 'freeze' or 'repair'.",
    **{
        (name, f"criterion={criterion!r}"): f"criterion={criterion!r} does not support {name}. Choose another "
        f"criterion, or {'set trim=0' if name == 'trim' else f'leave out {name}'}."
        for criterion in ("cv", "stability")
        for name in ("trim", "max_time", "callbacks")
    },
    **{
        ("posterior", name): f'posterior does not support {name}. Set posterior="exact".'
        for name in ("X_error", "trim", "tol='auto'")
    },
    **{(name, "partial_fit"): _STREAM_ERROR.format(name) for name in _UNSUPPORTED_IN_STREAMS},
    **{(name, "fit_many"): _FIT_MANY_ERROR.format(name) for name in _UNSUPPORTED_IN_FIT_MANY},
}


def find_options(estimator: Any, arguments: Mapping[str, Any], *others: str, ignored: Sequence[str] = ()) -> FitOptions:
    """Return the options that a fit uses, in the order in which they apply; () if all parameters have their defaults.

    Parameters
    ----------
    estimator : estimator that is fitted, with its parameters.
    arguments : arguments of `fit` by name.
    others : names in `UNSUPPORTED_PAIRS` that apply to the fit in addition to the names that options use.
    ignored : parameters that this kind of fit ignores.

    Raises
    ------
    ValueError, TypeError : a parameter has an invalid value, or two options can't be combined.
    """
    names = changed_parameters(estimator) - {*ignored} | {key for key, value in arguments.items() if value is not None}
    if not (isinstance(estimator.tol, str) and estimator.tol == "auto"):  # other values need no fit option
        names.discard("tol")
    is_count = isinstance(n_components := estimator.n_components, int | np.integer)
    if is_count and n_components >= MIN_TRUNCATED_COMPONENTS and getattr(estimator, "posterior", None) == "auto":
        names.add("many components")
    paths = [path for path, parameters in OPTION_PARAMETERS.items() if not names.isdisjoint(parameters)]
    if not paths:
        return ()
    options = []
    for path in paths:
        module, _, name = path.partition(":")
        option: FitOption = getattr(import_module(f"gaussmix._src.fit.{module}"), name)(estimator, arguments)
        options += [option] if option.used_names else []
    check_combination({*others, *_other_used_names(estimator), *(name for each in options for name in each.used_names)})
    return options


def changed_parameters(estimator: Any) -> set[str]:
    """Return the names of the parameters that differ from their defaults; only these parameters need checks."""
    values = vars(estimator)
    return {
        name
        for name, default in _default_values(estimator.__class__)
        if (value := values.get(name, default)) is not default
        and not (type(value) is type(default) and value == default)
    }


def check_combination(used_names: Set[str]) -> None:
    """Raise ValueError if two of the names that a fit uses can't be combined."""
    for pair, sentence in UNSUPPORTED_PAIRS.items():
        if used_names >= set(pair):
            raise ValueError(sentence)


def _other_used_names(estimator: Any) -> Iterator[str]:
    """Yield the names in `UNSUPPORTED_PAIRS` that apply to an estimator but do not come from fit options."""
    yield _library_class(type(estimator)).__name__
    yield f"criterion={getattr(estimator, 'criterion', None)!r}"
    if getattr(estimator, "split_merge", False):
        yield "split_merge"


@cache
def _default_values(cls: type) -> tuple[tuple[str, Any], ...]:
    """Return pairs of a name and a default: parameters of an estimator class, and scikit-learn's callback attribute."""
    parameters = signature(_library_class(cls)).parameters.items()
    return *((name, each.default) for name, each in parameters), ("_skl_callbacks", None)


def _library_class(cls: type) -> type:
    """Return the gaussmix class of an estimator, because the defaults of a user's subclass may request options."""
    return next(each for each in cls.__mro__ if each.__module__.partition(".")[0] == "gaussmix")
