"""The base class of covariance structures, which compute covariances from scatter matrices, and their registry."""

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
    """Maps x ↦ Ax + b of the data under which a fit with the same initialisation changes accordingly."""

    AFFINE = "any invertible matrix"
    SCALING = "a factor per feature"
    SIMILARITY = "a rotation and one factor"
    ONE_FACTOR = "one factor"


class Family(Value, ABC):
    """A covariance structure: it computes covariances from moments. See docs/develop/add-a-structure.md to add one."""

    name: ClassVar[str]  # set by `register`
    in_all: ClassVar[bool]  # whether covariance_type="all" tries it; set by `register`
    kind: ClassVar[type[Covariances]]  # form of the covariances
    accuracy: ClassVar[float] = 0.0  # relative accuracy of covariances from `update` if it iterates; 0 for a formula
    n_first_updates: ClassVar[int] = 1  # updates in the first M-step, each starting from the last covariances
    is_step: ClassVar[bool] = False  # whether `update` only makes a step towards the maximum

    @property
    def is_shared(self) -> bool:
        """Return whether all components share one covariance."""
        return False

    @property
    def has_alternatives(self) -> bool:
        """Return whether EM may start from covariances other than the result of `update`."""
        return type(self).other_initial_covariances is not Family.other_initial_covariances

    @property
    @abstractmethod
    def equivariance(self) -> Equivariance:
        """Return the maps of the data under which a fit changes accordingly."""

    @property
    def algebra(self) -> Algebra | None:
        """Return which of volume, shape and orientation components share, if this defines the structure; else None.

        If it is not None, the C++ core does `update`, and makes complete EM steps.
        """
        return None

    @property
    def free_algebra(self) -> Algebra | FactorAlgebra | None:
        """Return the parametrisation of covariances without bounds that derivatives use; None if there is none."""
        return self.algebra

    def at_bound(self, variances: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Return which variances along axes (n, n_values), data units², are at the lower and at the upper bound.

        Returns None if no variance is at a bound.
        """
        return None

    def least_variance(self, covariances: Covariances) -> float:
        """Return the smallest variance along an axis that the bound permits, data units²; 0 if there is no bound."""
        return 0.0

    @property
    def is_bounded(self) -> bool:
        """Return whether the ratios of variances are bounded, so that no covariance collapses."""
        return False

    def set_params(self, **params: Any) -> Self:
        """Change options; if one is not valid, nothing is changed.

        Parameters
        ----------
        params : options of the covariance structure.

        Raises
        ------
        ValueError, TypeError : the option does not exist or the value is not valid, or this is the object in
            `FAMILIES`, which all estimators share.
        """
        if FAMILIES.get(getattr(type(self), "name", "")) is self:
            raise ValueError(f"{self!r} of FAMILIES can't change: make another, {type(self).__name__}(…).")
        return super().set_params(**params)

    def unsupported_reason(self, n_features: int) -> Failure | None:
        """Return why data with n_features features can't have this structure; None if they can."""
        return None

    def moment_spec(self, current: Covariances | None) -> MomentSpec:
        """Return which second moments `update` reads.

        Parameters
        ----------
        current : covariances that `update` will start from; None at the first step.
        """
        return MomentSpec(self.kind.second, is_pooled=self.is_shared)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        """Maximise the expected log-likelihood over covariances of this structure.

        The C++ core does this for structures with an `algebra`. Other structures override this method.

        Parameters
        ----------
        scatter : second moments about the new means, as `moment_spec` requested them, and their positive degrees of
            freedom. If moments are pooled, only their sum is positive.
        current : last covariances, from which an iterative structure starts; None at the first step.

        Raises
        ------
        NotImplementedError : the structure has neither an `algebra` nor its own `update`.
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
        """Return alternatives to `update(scatter, None)` for the first M-step.

        EM makes a few steps from each alternative, and continues from the one with the highest likelihood.
        """
        return []

    def prior_dof(self, n_features: int) -> float:
        """Return the default ν of a prior on covariances of this structure; Fraley & Raftery (2007)."""
        return n_features + 2.0

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """Return what a prior adds to the degrees of freedom by which `update` divides; Fraley & Raftery (2007).

        Parameters
        ----------
        dof : ν of the prior on covariances.
        n_features : number of features d.
        of_mean : 1 if there is a prior on the means, too, whose density depends on the covariance; otherwise 0.

        Returns
        -------
        each : amount for each component.
        once : amount for all components together, if the prior is on something that they share.
        """
        of_covariance = dof + (n_features + 1.0 if self.kind.second is Second.FULL else 2.0)
        if self.kind.second is Second.TRACE:  # for each row `update` divides by n_features
            of_covariance /= n_features
        return (of_mean, of_covariance) if self.is_shared else (of_mean + of_covariance, 0.0)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters of the covariances, without weights and means."""
        algebra = self.free_algebra
        if not isinstance(algebra, Algebra):
            raise NotImplementedError(f"{type(self).__name__} needs n_parameters or algebra. Define one of them.")
        return algebra.n_parameters(n_components, n_features)

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Return the shape of `covariances_`."""
        return self.kind.shape(n_components, n_features, self.is_shared)

    def covariances(self, array: Array, n_components: int, n_features: int) -> Covariances:
        """Return the covariances that an array of `shape` represents, data units²."""
        return self.kind.from_array(array, n_components, n_features, self.is_shared)

    def stacked(self, arrays: Array, n_components: int, n_features: int) -> Covariances:
        """Return the covariances of several mixtures, (n_mixtures, …), as the covariances of one large mixture."""
        one = self.shape(n_components, n_features)
        each = arrays.reshape(-1, *(one if self.is_shared else one[1:]))
        return self.kind.from_array(each, len(each), n_features, False)

    def relaxed(self, covariances: Covariances, *, is_conditional: bool = False) -> Family:
        """Return the structure of covariances that result from a linear map; it may keep no constraint.

        Parameters
        ----------
        covariances : the resulting covariances, of a marginal, a conditional or another linear map.
        is_conditional : whether they are conditional on the values of other features.
        """
        return unconstrained(covariances)


def is_separate(family: Family, n_features: int) -> bool:
    """Return whether no two components share a covariance parameter, so that mixtures may be concatenated."""
    return family.n_parameters(2, n_features) == 2 * family.n_parameters(1, n_features)


FAMILIES: dict[str, Family] = {}
ALIASES: dict[str, str] = {}  # mclust's name → our name of structures that scikit-learn names differently

FamilyClass = TypeVar("FamilyClass", bound=type[Family])
_GROUP = "gaussmix.families"  # entry points of other packages; each imports a module that registers structures


def register(name: str, *aliases: str, in_all: bool = False) -> Callable[[FamilyClass], FamilyClass]:
    """Register a covariance structure under a name, which files and messages use, and under aliases.

    Parameters
    ----------
    name, aliases : names that users may pass.
    in_all : whether covariance_type="all" tries it. Other packages must leave it False, to change no other results.

    Raises
    ------
    ValueError : a name belongs to another structure. The same class may be defined again, as in a notebook.
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
    """Return the structure that permits all covariances of this form, which is spherical, diagonal or dense."""
    return without_constraints(type(covariances), covariances.is_shared)


def without_constraints(kind: type[Covariances], is_shared: bool) -> Family:
    """Return the structure that permits all covariances of a form; for other forms, all dense covariances."""
    return FAMILIES[_UNCONSTRAINED.get((kind, is_shared), _UNCONSTRAINED[Dense, is_shared])]


def has_conjugate_prior(family: Family) -> bool:
    """Return whether a structure has a conjugate prior, because its own or shared precisions are unconstrained."""
    name = _UNCONSTRAINED.get((family.kind, family.is_shared))
    return name is not None and family == FAMILIES[name]


def family_names() -> list[str]:
    """Return all names of structures, including other packages': lower-case names first, then mclust's."""
    return sorted({*FAMILIES, *ALIASES, *plugins.points(_GROUP)}, key=lambda name: (name.isupper(), name))


def is_family(name: str) -> bool:
    """Return whether a structure has this name or alias; if another package offers the name, it is imported.

    Raises ImportError if the package can't be imported, or does not register the structure.
    """
    if name in FAMILIES or name in ALIASES:
        return True
    if plugins.load(_GROUP, name) is None:
        return False
    if name not in FAMILIES and name not in ALIASES:
        raise ImportError(f"{plugins.points(_GROUP)[name].value!r} registers no structure of the name {name!r}.")
    return True


def family_named(name: str, **options: Any) -> Family:
    """Return the covariance structure with this name or alias, with options if it has some.

    Raises ValueError or TypeError for an unknown name (the message suggests the nearest) or an invalid option, and
    ImportError if the package that offers the name can't be imported.
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
    """Return a note if a name means something else than its letters for this number of features, otherwise None.

    Raises ValueError if the structure is for one feature and there are several. There are no notes for objects.
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
