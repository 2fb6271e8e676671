"""Which features there are, which of them a fit uses, and which can't be combined."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from functools import cache
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaussmix._src.fit.features.base import Features, FitFeature

# In the order in which they apply: the class of a feature in a module of `fit`, which is imported when a fit first uses
# it, and the parameters and arguments of `fit` that ask for it by a value other than their default or None.
FEATURES = {
    "features.rows:MeasurementErrors": ("X_error",),
    "features.rows:WeightType": ("weight_type",),
    "features.outliers:NoiseBackground": ("noise",),
    "features.labels:Labels": ("labels", "label_components"),
    "features.outliers:Trimming": ("trim",),
    "features.priors:Priors": ("prior", "restrictions"),
    "features.runs:Degenerate": ("degenerate",),
    "features.starts:InitialValues": (
        "weights_init", "means_init", "precisions_init", "covariances_init",
    ),
    "features.runs:AcceleratedRuns": ("acceleration",),
    "features.runs:Certificate": ("certify", "tol"),
    "features.starts:WarmStart": ("warm_start",),
    "features.stream:FirstRows": ("forgetting", "partial_fit"),
    "checkpoint:Checkpoint": ("checkpoint",),
    "monitor:Monitor": ("callbacks", "max_time", "verbose", "verbose_interval", "_skl_callbacks"),
}  # fmt: skip

_BY_INDEX = (
    "degenerate='drop' can't be combined with {} that name components by number. Set 'freeze', 'repair' or 'error'."
)
_SUM_TO_1 = "{} can't be combined with noise: these weights must sum to 1. Remove one."
_IN_STREAM = "partial_fit does not support {}. Use fit."
_IN_GROUPS = "fit_many does not support {}. Remove it, or fit the groups one by one."
_NOT_IN_STREAM = (
    "trim", "noise", "covariance_type='factor_analyzer'", "weight_type='precision'", "degenerate='drop'",
    "degenerate='repair'", "degenerate='error'", "prior", "restrictions",
)  # fmt: skip
_NOT_IN_GROUPS = (
    "callbacks", "max_time", "checkpoint", "weights_init", "means_init", "precisions_init", "covariances_init",
    "warm_start", "noise", "verbose", "degenerate='drop'", "certify=True",
)  # fmt: skip

# Two things that no fit can use together, and what the error says. The first pair of a fit is the one that is named.
UNSUPPORTED = {
    ("labels", "split_merge"): 'labels name components by number. Set split_merge=False and init_params="kmeans".',
    ("labels", "degenerate='drop'"): _BY_INDEX.format("labels"),
    ("numbers of components", "degenerate='drop'"): _BY_INDEX.format("restrictions"),
    ("fixed_weights", "noise"): _SUM_TO_1.format("fixed_weights"),
    ("min_weight", "noise"): _SUM_TO_1.format("min_weight"),
    ("precisions_init", "covariances_init"): "Give precisions_init or covariances_init, not both.",
    ("equal_weights", "prior of the weights"): "equal_weights=True contradicts a prior of the weights. Remove one of "
    "them.",
    ("tol='auto'", "BayesianGaussianMixture"): 'tol="auto" is not for BayesianGaussianMixture. Set tol to a number.',
    ("degenerate='drop'", "GaussianMixtureIC"): "degenerate='drop' is for GaussianMixture: in a search, a mixture with "
    "fewer components is another candidate. Give 'freeze' or 'repair'.",
    ("degenerate='error'", "GaussianMixtureIC"): "degenerate='error' is for GaussianMixture: a search goes on, and "
    "results_ says which candidates failed. Give 'freeze' or 'repair'.",
    **{
        (name, f"criterion={criterion!r}"): f"criterion={criterion!r} does not support {name}. Choose another "
        f"criterion, or {'set trim=0' if name == 'trim' else 'leave it out'}."
        for criterion in ("cv", "stability")
        for name in ("trim", "max_time", "callbacks")
    },
    **{(name, "partial_fit"): _IN_STREAM.format(name) for name in _NOT_IN_STREAM},
    **{(name, "fit_many"): _IN_GROUPS.format(name) for name in _NOT_IN_GROUPS},
}


def fit_features(estimator: Any, arguments: Mapping[str, Any], *others: str, without: Collection[str] = ()) -> Features:
    """The features that a fit uses, in the order in which they apply; none for a plain fit.

    Parameters
    ----------
    estimator : with its parameters.
    arguments : those of `fit`, by name.
    others : what else the fit uses that `UNSUPPORTED` names.
    without : parameters that this kind of fit ignores.

    Raises
    ------
    ValueError, TypeError : a parameter can't be used, or two features can't be combined.
    """
    names = changed(estimator) - set(without) | {name for name, value in arguments.items() if value is not None}
    if not isinstance(estimator.tol, str):  # every fit uses a number
        names.discard("tol")
    homes = [home for home, asking in FEATURES.items() if not names.isdisjoint(asking)]
    if not homes:
        return ()
    features = []
    for home in homes:
        module, _, name = home.partition(":")
        feature: FitFeature = getattr(import_module(f"gaussmix._src.fit.{module}"), name)(estimator, arguments)
        features += [feature] if feature.uses else []
    check_combination({*others, *_used_options(estimator), *(name for feature in features for name in feature.uses)})
    return features


def changed(estimator: Any) -> set[str]:
    """The parameters of an estimator that do not have their defaults, which need no check."""
    values = vars(estimator)
    return {
        name
        for name, default in _defaults(estimator.__class__)
        if (value := values.get(name, default)) is not default
        and not (type(value) is type(default) and value == default)
    }


def check_combination(uses: Set[str]) -> None:
    """Raise ValueError if two things that a fit uses can't be combined."""
    for pair, sentence in UNSUPPORTED.items():
        if uses >= set(pair):
            raise ValueError(sentence)


def _used_options(estimator: Any) -> Iterator[str]:
    """What an estimator uses besides features, in the names of `UNSUPPORTED`."""
    yield _own_class(type(estimator)).__name__
    yield f"criterion={getattr(estimator, 'criterion', None)!r}"
    if getattr(estimator, "split_merge", False):
        yield "split_merge"


@cache
def _defaults(cls: type) -> tuple[tuple[str, Any], ...]:
    """The parameters of an estimator and their defaults, and scikit-learn's callbacks."""
    parameters = signature(_own_class(cls)).parameters.items()
    return *((name, each.default) for name, each in parameters), ("_skl_callbacks", None)


def _own_class(cls: type) -> type:
    """The class of gaussmix that an estimator is, whose defaults ask for nothing; those of a subclass may."""
    return next(each for each in cls.__mro__ if each.__module__.partition(".")[0] == "gaussmix")
