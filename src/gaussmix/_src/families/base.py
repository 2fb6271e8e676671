"""Families: what shape covariances have. They turn scatter into covariances and never see a row."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src import plugins
from gaussmix._src.covariances import Covariances, Dense, Diagonal, Isotropic
from gaussmix._src.errors import Failure, unknown_name
from gaussmix._src.interfaces.algebra import Algebra, FactorAlgebra
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.value import Value


class Equivariance(Enum):
    """The maps x ↦ Ax + b under which a fit from a given start moves along with the data."""

    AFFINE = "any invertible matrix"
    SCALING = "a factor per feature"
    SIMILARITY = "a rotation and one factor"
    ONE_FACTOR = "one factor"


class Family(Value, ABC):
    """A covariance structure: moments in, covariances out. To add one, see docs/develop/add-a-structure.md."""

    name: ClassVar[str]  # set by `register`
    in_all: ClassVar[bool]  # set by `register`: covariance_type="all" tries it
    kind: ClassVar[type[Covariances]]  # the form of the covariances
    accuracy: ClassVar[float] = 0.0  # relative, of covariances that `update` searches for; 0 where it is a formula
    n_first_updates: ClassVar[int] = 1  # how many updates the first M-step makes, each from the covariances of the last
    is_step: ClassVar[bool] = False  # `update` is a step towards the maximum, not the maximum

    @property
    def is_shared(self) -> bool:
        """Whether all components have one covariance."""
        return False

    @property
    def has_alternatives(self) -> bool:
        """Whether EM may start from other covariances than those of `update`."""
        return type(self).other_initial_covariances is not Family.other_initial_covariances

    @property
    @abstractmethod
    def equivariance(self) -> Equivariance:
        """The maps of the data that a fit follows."""

    @property
    def algebra(self) -> Algebra | None:
        """What components share, if volume, shape and orientation say all of it; otherwise None.

        The core then owns `update`, and makes whole steps of EM by itself.
        """
        return None

    @property
    def free_algebra(self) -> Algebra | FactorAlgebra | None:
        """The terms in which covariances that meet no bound differ, for derivatives; None if there is none."""
        return self.algebra

    def at_bound(self, variances: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Which variances along axes (n, n_values), data units², are the least and the largest that a bound allows.

        None where no bound is met.
        """
        return None

    def least_variance(self, covariances: Covariances) -> float:
        """The least variance along an axis that a bound allows with such covariances, data units²; 0 for no bound."""
        return 0.0

    @property
    def is_bounded(self) -> bool:
        """Whether variances have a bound on their ratios, so that no covariance collapses."""
        return False

    def set_params(self, **params: Any) -> Self:
        """Change options, all or none.

        Parameters
        ----------
        params : options of the structure.

        Raises
        ------
        ValueError, TypeError : there is no such option, it can't have this value, or this is the structure in
            `FAMILIES`, which all estimators use.
        """
        if FAMILIES.get(getattr(type(self), "name", "")) is self:
            raise ValueError(f"{self!r} of FAMILIES can't change: make another, {type(self).__name__}(…).")
        return super().set_params(**params)

    def unsupported_reason(self, n_features: int) -> Failure | None:
        """Why data of so many features can't have this structure; None if they can."""
        return None

    def moment_spec(self, current: Covariances | None) -> MomentSpec:
        """Say which second moments `update` reads.

        Parameters
        ----------
        current : the covariances that `update` will start from; None at the first step.
        """
        return MomentSpec(self.kind.second, is_pooled=self.is_shared)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        """Maximise the expected log-likelihood over covariances of this structure.

        The core does this for a family with an `algebra`. Others override it.

        Parameters
        ----------
        scatter : second sums about the new means, as `spec` asked for them, and their degrees of freedom, which are
            positive; where moments are pooled, only their sum is.
        current : the last covariances, from which an iterative structure starts; None at the first step.

        Raises
        ------
        NotImplementedError : the family has neither an `algebra` nor an `update` of its own.
        """
        if self.algebra is None:
            raise NotImplementedError(f"{type(self).__name__} needs update or algebra. Define one of them.")
        return self._by_core(self.algebra, scatter, current)

    def _by_core(self, algebra: Algebra, scatter: Scatter, current: Covariances | None) -> Covariances:
        last = None if current is None else np.ascontiguousarray(current.array).reshape(-1)
        of_scatter = scatter.degrees, scatter.second.reshape(-1), scatter.n_features
        result = native_target().update(algebra, *of_scatter, last).reshape(scatter.second.shape)
        return self.covariances(result, *scatter.shape)

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        """Alternatives to `update(scatter, None)`.

        EM takes a few steps from each and continues from the one with the highest likelihood.
        """
        return []

    def prior_dof(self, n_features: int) -> float:
        """ν of a prior on covariances of this structure where the user names none; Fraley & Raftery (2007)."""
        return n_features + 2.0

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """What a prior adds to the degrees of freedom, by which `update` divides; Fraley & Raftery (2007).

        Parameters
        ----------
        dof : ν of the prior on covariances.
        n_features : d.
        of_mean : 1 where means have a prior too, whose density falls with the covariance; else 0.

        Returns
        -------
        each : for each component.
        once : for all together, where they share what the prior is about.
        """
        of_covariance = dof + (n_features + 1.0 if self.kind.second is Second.FULL else 2.0)
        if self.kind.second is Second.TRACE:  # `update` divides by so many for each row
            of_covariance /= n_features
        return (of_mean, of_covariance) if self.is_shared else (of_mean + of_covariance, 0.0)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count the free parameters of the covariances; weights and means are counted elsewhere."""
        algebra = self.free_algebra
        if not isinstance(algebra, Algebra):
            raise NotImplementedError(f"{type(self).__name__} needs n_parameters or algebra. Define one of them.")
        return algebra.n_parameters(n_components, n_features)

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """The shape of `covariances_`."""
        return self.kind.shape(n_components, n_features, self.is_shared)

    def covariances(self, array: Array, n_components: int, n_features: int) -> Covariances:
        """The value that an array of `shape` stands for, data units²."""
        return self.kind.from_array(array, n_components, n_features, self.is_shared)

    def stacked(self, arrays: Array, n_components: int, n_features: int) -> Covariances:
        """Covariances of several mixtures, (n_mixtures, …), as those of one mixture with all their components."""
        one = self.shape(n_components, n_features)
        each = arrays.reshape(-1, *(one if self.is_shared else one[1:]))
        return self.kind.from_array(each, len(each), n_features, False)

    def relaxed(self, covariances: Covariances, *, is_conditional: bool = False) -> Family:
        """The structure of the image of such covariances under a map; it may keep no constraint.

        Parameters
        ----------
        covariances : the image: a marginal, a conditional or another linear map.
        is_conditional : whether other features are known.
        """
        return unconstrained(covariances)


def is_separate(family: Family, n_features: int) -> bool:
    """Whether no two components share a parameter of their covariances, so that mixtures may be put together."""
    return family.n_parameters(2, n_features) == 2 * family.n_parameters(1, n_features)


FAMILIES: dict[str, Family] = {}
ALIASES: dict[str, str] = {}  # mclust's names of families that scikit-learn names otherwise → ours

FamilyClass = TypeVar("FamilyClass", bound=type[Family])
_GROUP = "gaussmix.families"  # entry points of other packages; each imports a module that registers families


def register(name: str, *aliases: str, in_all: bool = False) -> Callable[[FamilyClass], FamilyClass]:
    """Make a family known under a name, which files and messages use, and under others.

    Parameters
    ----------
    name, aliases : what users may call it.
    in_all : whether covariance_type="all" tries it. Leave it out: what is registered must change nothing for others.

    Raises
    ------
    ValueError : a name belongs to another family. The same class may be defined again, as in a notebook.
    """

    def decorate(cls: FamilyClass) -> FamilyClass:
        for wanted in (name, *aliases):
            family = FAMILIES.get(ALIASES.get(wanted, wanted))
            if family is not None and _defined_as(type(family)) != _defined_as(cls):
                owner = type(family).__name__
                raise ValueError(f"The name {wanted!r} is taken by {owner}: give {cls.__name__} another.")
        cls.name, cls.in_all = name, in_all
        FAMILIES[name] = cls()
        ALIASES.update(dict.fromkeys(aliases, name))
        return cls

    return decorate


def _defined_as(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


# Structures without constraints, by the form of the covariances and whether one is shared.
_UNCONSTRAINED: dict[tuple[type[Covariances], bool], str] = {
    (Isotropic, True): "EII",
    (Isotropic, False): "spherical",
    (Diagonal, True): "EEI",
    (Diagonal, False): "diag",
    (Dense, True): "tied",
    (Dense, False): "full",
}


def unconstrained(covariances: Covariances) -> Family:
    """The structure that has all covariances of this form; they are spherical, diagonal or dense."""
    return without_constraints(type(covariances), covariances.is_shared)


def without_constraints(kind: type[Covariances], is_shared: bool) -> Family:
    """The structure that has all covariances of a form; all dense ones for a form that is none of the three."""
    return FAMILIES[_UNCONSTRAINED.get((kind, is_shared), _UNCONSTRAINED[Dense, is_shared])]


def has_conjugate_prior(family: Family) -> bool:
    """Whether a family has a conjugate prior: its precisions are free of constraints, or one that all share is."""
    name = _UNCONSTRAINED.get((family.kind, family.is_shared))
    return name is not None and family == FAMILIES[name]


def family_names() -> list[str]:
    """All names of families, with those of other packages: those in lower case, then mclust's."""
    return sorted({*FAMILIES, *ALIASES, *plugins.points(_GROUP)}, key=lambda name: (name.isupper(), name))


def is_family(name: str) -> bool:
    """Whether a family has this name or alias; a package that offers an unknown one is imported.

    Raises ImportError where the package can't be imported, or registers no such family.
    """
    if name in FAMILIES or name in ALIASES:
        return True
    if plugins.load(_GROUP, name) is None:
        return False
    if name not in FAMILIES and name not in ALIASES:
        raise ImportError(f"{plugins.points(_GROUP)[name].value!r} registers no structure of the name {name!r}.")
    return True


def family_named(name: str, **options: Any) -> Family:
    """Look up a family by its name or an alias, with options if it has some.

    Raises ValueError or TypeError for an unknown name (the message suggests the nearest) or an impossible option, and
    ImportError where the package that offers the name can't be imported.
    """
    if name not in FAMILIES and name not in ALIASES and not is_family(name):
        raise unknown_name("covariance_type", name, family_names())
    family = FAMILIES[ALIASES.get(name, name)]
    for option in options:
        if option not in family.get_params():
            raise ValueError(f"{option} is not an option of the structure {name!r}.")
    return type(family)(**options) if options else family


_THREE_LETTERS = re.compile("[EV](?!II)[EVI][EVI]")  # volume, shape, orientation; "EII" and "VII" have no shape


def check_features(name: Any, n_features: int) -> str | None:
    """Say what a name means if that differs from its letters for this number of features; None otherwise.

    Values have no letters. Raises ValueError for the name of a structure of a single feature where there are more.
    """
    if name in ("E", "V") and n_features > 1:
        raise ValueError(
            f"covariance_type={name!r} is for one feature, and X has {n_features}: say what shapes and orientations "
            f"are, as in {name + 'II'!r} or {3 * name!r}."
        )
    if n_features > 1 or not isinstance(name, str) or not _THREE_LETTERS.fullmatch(name):
        return None
    variances = "one variance for all components" if name[0] == "E" else "a variance per component"
    return f"covariance_type={name!r} is {name[0]!r} for one feature, which has no shape or orientation: {variances}."


Equivariance.__module__ = Family.__module__ = "gaussmix.extend"  # where users import them from
