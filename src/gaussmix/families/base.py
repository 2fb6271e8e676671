"""Families: what shape covariances have. They turn scatter into covariances and never see a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, ClassVar, TypeVar

import numpy as np

from gaussmix.covariances.plain import conditional, marginal
from gaussmix.errors import Failure, unknown_name
from gaussmix.numerics.arrays import Array, Places
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need
from gaussmix.waist.whitening.base import Whitening


class Equivariance(Enum):
    """The maps x ↦ Ax + b under which a fit from a given start moves along with the data."""

    AFFINE = "any invertible matrix"
    SCALING = "a factor per feature"
    SIMILARITY = "a rotation and one factor"


class Family(ABC):
    """A covariance structure. To add one, see docs/develop/add-a-structure.md."""

    name: ClassVar[str]  # set by `register`
    precision: ClassVar[float] = 0.0  # of covariances that `update` searches for, relative; 0 where it is a formula
    algebra: ClassVar[Algebra | None] = (
        None  # all of `update`, where this says it; not inherited: each class has its own
    )
    n_first_updates: ClassVar[int] = 1  # that find covariances from nothing, each from the last
    is_step: ClassVar[bool] = False  # `update` is a step towards the maximum, not the maximum
    is_matrix: ClassVar[bool]  # the compact form ends in (n_features, n_features): symmetric, positive definite

    def __init_subclass__(cls) -> None:
        if "algebra" not in cls.__dict__:
            cls.algebra = None

    @property
    def is_shared(self) -> bool:
        """Whether all components have one covariance, without a component axis."""
        return False

    @property
    @abstractmethod
    def equivariance(self) -> Equivariance:
        """The maps of the data that a fit follows."""

    @property
    def options(self) -> dict[str, Any]:
        """What a structure is made of beside its name, as plain values; see `family_named`."""
        return {}

    def with_options(self, **options: Any) -> Family:
        """The structure with other options; raises ValueError or TypeError where one can't be what it is."""
        return self

    def refusal(self, n_features: int) -> Failure | None:
        """Why data of so many features can't have this structure; None if they can."""
        return None

    @property
    def requirement(self) -> str:
        """What covariances and precisions of this structure must be, in scikit-learn's words."""
        return "symmetric, positive-definite" if self.is_matrix else "positive"

    def __reduce__(self) -> tuple[Callable[[type[Family]], Family], tuple[type[Family]]]:
        return registered, (type(self),)  # a copy or an unpickled one is the one of the registry

    @abstractmethod
    def need(self) -> Need:
        """Say what second moments `update` reads."""

    def next_need(self, covariances: Array) -> Need:
        """Say what second moments `update` reads where it goes on from covariances."""
        return self.need()

    @abstractmethod
    def update(self, scatter: Scatter, current: Array | None) -> Array:
        """Maximise the expected log-likelihood over covariances of this structure.

        Parameters
        ----------
        scatter : mass and second sums about the new means, as `need` asked for them. Mass is positive; where moments
            are pooled, only its sum is.
        current : the last covariances, where an iterative structure starts from; None at the first step.

        Returns
        -------
        covariances : the structure's compact form, `shape(n_components, n_features)`, data units².
        """

    def other_beginnings(self, scatter: Scatter) -> list[Array]:
        """Covariances from which EM may begin besides `update(scatter, None)`: it does where a few steps go higher."""
        return []

    @abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the compact form of the covariances."""

    @abstractmethod
    def whitening(self, covariances: Array, n_features: int) -> Whitening:
        """Factor the covariances; raises `SingularCovariance` naming the components that have no factor."""

    @abstractmethod
    def compact(self, per_component: Array) -> Array:
        """Bring factors or precisions (1 or n_components on the first axis) to the compact form."""

    def inverse(self, matrices: Array, n_features: int) -> Array:
        """Invert covariances or precisions, to the form that is `shown`; raises `SingularCovariance`."""
        return self.shown_as.compact(self.whitening(matrices, n_features).precisions())

    @property
    def shown_as(self) -> Family:
        """The family in whose compact form estimators show covariances and precisions."""
        return self

    def shown(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Covariances in that form."""
        return covariances

    @abstractmethod
    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Diagonals of the covariances, (n_components, n_features), data units²."""

    @abstractmethod
    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Full covariance matrices, (n_components, n_features, n_features)."""

    def plain(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Covariances in the form of `gaussmix.covariances.plain`, n = 1 where one is shared, else n_components."""
        each: Array = covariances[None] if self.is_shared else covariances
        return each

    def marginal(self, covariances: Array, places: Places, n_components: int, n_features: int) -> tuple[Family, Array]:
        """Covariances of the features at `places`, in this order: their structure, and they in its compact form."""
        plain = self.plain(covariances, n_components, n_features)
        return structured(marginal(plain, places), self.is_shared)

    def conditional(
        self, covariances: Array, known: Places, unknown: Places, n_components: int, n_features: int
    ) -> tuple[Family, Array, Array]:
        """Covariances of unknown features given known ones, and how their means follow.

        Returns
        -------
        family, covariances : of the unknown features in their order, in compact form.
        regression : B_k of μ_u + B_k (x_k − μ_k), (n, n_unknown, n_known); n = 1 where all are the same.

        Raises
        ------
        SingularCovariance : a covariance has no Cholesky factor to working precision.
        """
        plain = self.plain(covariances, n_components, n_features)
        rest, regression = conditional(plain, known, unknown)
        return *structured(rest, self.is_shared), regression

    @abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count the free parameters of the covariances; weights and means are counted elsewhere."""

    def keep(self, covariances: Array, previous: Array, components: Sequence[int]) -> Array:
        """Put the previous covariances of some components back: a shared one belongs to all."""
        if self.is_shared:
            return previous
        kept = np.array(covariances)
        kept[list(components)] = previous[list(components)]
        return kept


FAMILIES: dict[str, Family] = {}
ALIASES: dict[str, str] = {}  # mclust's names of families that scikit-learn names otherwise → ours

FamilyClass = TypeVar("FamilyClass", bound=type[Family])


def register(name: str, *aliases: str) -> Callable[[FamilyClass], FamilyClass]:
    """Make a family known under a name, which files and messages use, and under others."""

    def decorate(cls: FamilyClass) -> FamilyClass:
        cls.name = name
        FAMILIES[name] = cls()
        ALIASES.update(dict.fromkeys(aliases, name))
        return cls

    return decorate


# By the number of axes of the plain form, and whether one covariance is shared: structures without constraints.
_PLAIN = {
    (1, True): "EII",
    (1, False): "spherical",
    (2, True): "EEI",
    (2, False): "diag",
    (3, True): "tied",
    (3, False): "full",
}


def structured(plain: Array, is_shared: bool) -> tuple[Family, Array]:
    """The structure of covariances in plain form, and they in its compact form."""
    family = FAMILIES[_PLAIN[plain.ndim, is_shared]]
    return family, family.compact(plain)


def registered(cls: type[Family]) -> Family:
    """The family of a class: the one in the registry, where it is there."""
    known = FAMILIES.get(getattr(cls, "name", ""))
    return known if type(known) is cls else cls()


def known_names() -> list[str]:
    """What families are called: scikit-learn's names, then mclust's."""
    return sorted([*FAMILIES, *ALIASES], key=lambda name: (name.isupper(), name))


def family_named(name: str, **options: Any) -> Family:
    """Look a family up by its name or another, with options where it has some.

    Raises
    ------
    ValueError, TypeError : nobody knows the name (the message has the nearest), or an option can't be what it is.
    """
    own = ALIASES.get(name, name)
    if own not in FAMILIES:
        raise unknown_name("covariance_type", name, known_names())
    family = FAMILIES[own]
    for option, value in options.items():
        if option not in family.options:
            takers = " or ".join(repr(each.name) for each in FAMILIES.values() if option in each.options)
            known = f"it is for covariance_type={takers}" if takers else "no structure has such an option"
            raise ValueError(f"{option}={value!r} has no meaning with covariance_type={name!r}: {known}.")
    made = family.with_options(**options)
    return family if made == family else made
