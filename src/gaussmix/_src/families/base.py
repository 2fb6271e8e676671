"""The base class of covariance structures, which compute covariances in the M-step, and the registry of structures."""

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
from gaussmix._src.interfaces.algebra import Across, Algebra, FactorAlgebra
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.value import Value

STRUCTURE_TOLERANCE = 1e-4  # largest relative difference, so that values rounded to five digits are accepted


class Equivariance(Enum):
    """Set of matrices A: for the same initial labels, mapping the rows x to Ax + b maps the fit in the same way."""

    AFFINE = "any invertible matrix"
    SCALING = "a factor per feature"
    SIMILARITY = "a rotation and one factor"
    ONE_FACTOR = "one factor"


class Family(Value, ABC):
    """A covariance structure, which computes covariances in the M-step; see docs/develop/add-a-structure.md."""

    name: ClassVar[str]  # set by `register`
    in_all: ClassVar[bool]  # whether covariance_type="all" includes this structure; set by `register`
    kind: ClassVar[type[Covariances]]  # class of the covariances object that `update` returns
    accuracy: ClassVar[float] = 0.0  # relative error of the result of an iterative `update`; 0 if `update` is exact
    n_first_updates: ClassVar[int] = 1  # number of calls of `update` in the first M-step
    is_step: ClassVar[bool] = False  # whether `update` takes only one step towards the maximum of the M-step

    @property
    def is_shared(self) -> bool:
        """Return whether all components share one covariance."""
        return False

    @property
    def has_alternatives(self) -> bool:
        """Return whether EM may also start from the covariances that `other_initial_covariances` returns."""
        return type(self).other_initial_covariances is not Family.other_initial_covariances

    @property
    @abstractmethod
    def equivariance(self) -> Equivariance:
        """Return the linear maps for which the fit to mapped rows equals the mapped fit."""

    @property
    def algebra(self) -> Algebra | None:
        """Return whether components share volume, shape and orientation; None if other properties define the structure.

        If the structure has an `algebra`, the C++ core computes `update` and can run complete EM steps.
        """
        return None

    @property
    def free_algebra(self) -> Algebra | FactorAlgebra | None:
        """Return the `algebra` without bounds on eigenvalues, for derivatives; None if there is no algebra."""
        return self.algebra

    def at_bound(self, variances: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Return which of the variances along the axes, (n, n_values) in data units², are at the lower or upper bound.

        The result is a pair of boolean arrays, for the lower and the upper bound, or None if no variance is at a bound.
        """
        return None

    def least_variance(self, covariances: Covariances) -> float:
        """Return the smallest variance that the bound permits along any axis, in data units²; 0 without a bound."""
        return 0.0

    @property
    def is_bounded(self) -> bool:
        """Return whether the ratios of variances are bounded, so that no covariance can collapse."""
        return False

    def set_params(self, **params: Any) -> Self:
        """Set options of the structure and return the structure. If a value is not valid, no option is changed.

        Parameters
        ----------
        params : names and new values of options of the covariance structure.

        Raises
        ------
        ValueError, TypeError : an option does not exist, a value is not valid, or the method is called on an object in
            `FAMILIES`, which cannot change because all estimators share it.
        """
        if FAMILIES.get(getattr(type(self), "name", "")) is self:
            raise ValueError(f"{self!r} in FAMILIES is shared by all fits: create {type(self).__name__}(…) instead.")
        return super().set_params(**params)

    def unsupported_reason(self, n_features: int) -> Failure | None:
        """Return why the structure cannot be fitted to data with `n_features` features; None if it can be fitted."""
        return None

    def moment_spec(self, current: Covariances | None) -> MomentSpec:
        """Return the specification of the second moments that `update` reads.

        Parameters
        ----------
        current : covariances from which `update` will start; None before the first call of `update`.
        """
        return MomentSpec(self.kind.second, is_pooled=self.is_shared)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        """Return the covariances of this structure that maximise the expected log-likelihood of the M-step.

        If the maximum would take too long, an iterative `update` may only raise the expected log-likelihood of
        `current`; `CommonAxes` does so for many features. The C++ core computes covariances of structures with an
        `algebra`; all other structures override `update`.

        Parameters
        ----------
        scatter : second moments about the new means, as specified by `moment_spec`, and the positive degrees of freedom
            of each component. For pooled moments, only the sum of the degrees must be positive.
        current : covariances of the previous step, from which an iterative `update` starts; None at the first step.

        Raises
        ------
        NotImplementedError : the structure neither has an `algebra` nor overrides `update`.
        """
        if self.algebra is None:
            raise NotImplementedError(f"{type(self).__name__} has no update and no algebra. Define one of them.")
        return self._by_core(self.algebra, scatter, current)

    def _by_core(self, algebra: Algebra, scatter: Scatter, current: Covariances | None) -> Covariances:
        last = None if current is None else np.ascontiguousarray(current.array).reshape(-1)
        scatter_arguments = scatter.degrees, scatter.second.reshape(-1), scatter.n_features
        result = native_target().update(algebra, *scatter_arguments, last).reshape(scatter.second.shape)
        return self.covariances(result, *scatter.shape)

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        """Return alternative covariances for the first M-step, besides the result of `update(scatter, None)`.

        EM takes a few steps from each set of covariances, and continues with the set that gives the highest likelihood.
        """
        return []

    def prior_dof(self, n_features: int) -> float:
        """Return the default degrees of freedom ν of a covariance prior; see Fraley & Raftery (2007)."""
        return n_features + 2.0

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """Return by how much a prior increases the degrees of freedom in `update`; see Fraley & Raftery (2007).

        Parameters
        ----------
        dof : degrees of freedom ν of the prior on the covariances.
        n_features : the number d of features.
        of_mean : 1 if the means also have a prior whose density depends on the covariance; otherwise 0.

        Returns
        -------
        each : increase of the degrees of freedom of each component.
        once : increase of the degrees of freedom of all components together, for a prior on a shared parameter.
        """
        covariance_degrees = dof + (n_features + 1.0 if self.kind.second is Second.FULL else 2.0)
        if self.kind.second is Second.TRACE:  # `update` multiplies the degrees by n_features.
            covariance_degrees /= n_features
        return (of_mean, covariance_degrees) if self.is_shared else (of_mean + covariance_degrees, 0.0)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters of the covariances, without weights and means."""
        algebra = self.free_algebra
        if not isinstance(algebra, Algebra):
            raise NotImplementedError(f"{type(self).__name__} has no n_parameters and no algebra. Define one of them.")
        return algebra.n_parameters(n_components, n_features)

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Return the shape of the attribute `covariances_` of a fitted estimator."""
        return self.kind.shape(n_components, n_features, self.is_shared)

    def covariances(self, array: Array, n_components: int, n_features: int) -> Covariances:
        """Convert an array in the shape of `covariances_`, in data units², to a covariances object."""
        return self.kind.from_array(array, n_components, n_features, self.is_shared)

    def stacked(self, arrays: Array, n_components: int, n_features: int) -> Covariances:
        """Join the covariances of several mixtures, (n_mixtures, …), as if all components were in one mixture."""
        one = self.shape(n_components, n_features)
        each = arrays.reshape(-1, *(one if self.is_shared else one[1:]))
        return self.kind.from_array(each, len(each), n_features, False)

    def relaxed(self, covariances: Covariances, *, is_conditional: bool = False) -> Family:
        """Return a structure for covariances after a linear map, because the map may violate constraints of `self`.

        Parameters
        ----------
        covariances : covariances after the linear map, for example of a marginal or conditional mixture.
        is_conditional : whether the covariances are conditional on the values of other features.
        """
        return unconstrained(covariances)


def is_separate(family: Family, n_features: int) -> bool:
    """Return whether components share no covariance parameters, so that mixtures may be concatenated."""
    if isinstance(family.free_algebra, FactorAlgebra):  # `n_parameters` is capped, and does not show what is shared.
        return Across.EQUAL not in family.free_algebra[:2]
    return family.n_parameters(2, n_features) == 2 * family.n_parameters(1, n_features)


FAMILIES: dict[str, Family] = {}
ALIASES: dict[str, str] = {}  # alias, such as mclust's name "VVV" → the name in FAMILIES, such as "full"


def describe_deviation(family: Family, covariances: Covariances, called: str) -> str | None:
    """Return a sentence if the covariances `called` do not have the structure `family`, otherwise None.

    An M-step is made with the covariances as second moments. Covariances that have the structure are unchanged by this
    step.
    """
    spec, (K, d) = family.moment_spec(None), (covariances.n_components, covariances.n_features)
    if spec.is_pooled or family.kind.second in (Second.TRACE, Second.PROJECTED):
        return None  # Covariances of this shape always have the structure.
    nearest = family.update(Scatter(np.ones(K), covariances.each, d, spec), covariances)
    deviations = np.sqrt(covariances.variances())
    size = deviations[:, :, None] * deviations[:, None, :] if covariances.is_matrix else deviations**2
    differences = (np.abs(nearest.each - covariances.each) / size).reshape(K, -1)
    if (differences <= STRUCTURE_TOLERANCE).all():
        return None
    k = int(differences.max(axis=1).argmax())
    return (
        f"{called} does not have the structure {family.name}: the nearest matrices with this structure differ by "
        f"{100 * differences[k].max():.2g} % in component {k}."
    )


FamilyClass = TypeVar("FamilyClass", bound=type[Family])
_GROUP = "gaussmix.families"  # entry points in other packages; importing an entry point registers a structure


def register(name: str, *aliases: str, in_all: bool = False) -> Callable[[FamilyClass], FamilyClass]:
    """Register a covariance structure under `name`, which model files and messages use, and under `aliases`.

    Parameters
    ----------
    name, aliases : names of the structure that users may pass as covariance_type.
    in_all : whether covariance_type="all" includes the structure. In other packages, `in_all` must be False, so that
        the installation of a package does not change the results of "all".

    Raises
    ------
    ValueError : another structure has one of the names. A notebook may define a class again and register it again.
    """

    def decorate(cls: FamilyClass) -> FamilyClass:
        for wanted in (name, *aliases):
            family = FAMILIES.get(ALIASES.get(wanted, wanted))
            if family is not None and _defined_as(type(family)) != _defined_as(cls):
                owner = type(family).__name__
                raise ValueError(f"The name {wanted!r} is taken by {owner}: give {cls.__name__} another name.")
        cls.name, cls.in_all = name, in_all
        FAMILIES[name] = cls()
        ALIASES.update(dict.fromkeys(aliases, name))
        return cls

    return decorate


def _defined_as(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


# Names of the structures without constraints, by class of covariances and by whether components share one covariance.
_UNCONSTRAINED: dict[tuple[type[Covariances], bool], str] = {
    (Isotropic, True): "EII",
    (Isotropic, False): "spherical",
    (Diagonal, True): "EEI",
    (Diagonal, False): "diag",
    (Dense, True): "tied",
    (Dense, False): "full",
}


def unconstrained(covariances: Covariances) -> Family:
    """Return the structure without constraints that has the same class and the same `is_shared` as `covariances`."""
    return without_constraints(type(covariances), covariances.is_shared)


def without_constraints(kind: type[Covariances], is_shared: bool) -> Family:
    """Return the unconstrained structure for class `kind`, or for full matrices if `kind` has no such structure."""
    return FAMILIES[_UNCONSTRAINED.get((kind, is_shared), _UNCONSTRAINED[Dense, is_shared])]


def has_conjugate_prior(family: Family) -> bool:
    """Return whether a structure has a conjugate prior, which requires unconstrained (possibly shared) precisions."""
    name = _UNCONSTRAINED.get((family.kind, family.is_shared))
    return name is not None and family == FAMILIES[name]


def family_names() -> list[str]:
    """Return the names of all structures, including other packages' structures; names from mclust come last."""
    return sorted({*FAMILIES, *ALIASES, *plugins.points(_GROUP)}, key=lambda name: (name.isupper(), name))


def is_family(name: str) -> bool:
    """Return whether a structure has this name or alias. If another package offers the name, import this package.

    Raises ImportError if the package cannot be imported or does not register a structure of this name.
    """
    if name in FAMILIES or name in ALIASES:
        return True
    if plugins.load(_GROUP, name) is None:
        return False
    if name not in FAMILIES and name not in ALIASES:
        raise ImportError(f"{plugins.points(_GROUP)[name].value!r} does not register a structure named {name!r}.")
    return True


def family_named(name: str, **options: Any) -> Family:
    """Return the covariance structure with this name or alias, created with the options `options`.

    Raises ValueError or TypeError if the name is unknown (the message suggests the nearest name) or an option is not
    valid. Raises ImportError if the package that offers the name cannot be imported.
    """
    if name not in FAMILIES and name not in ALIASES and not is_family(name):
        raise unknown_name("covariance_type", name, family_names())
    family = FAMILIES[ALIASES.get(name, name)]
    for option in options:
        if option not in family.get_params():
            raise ValueError(f"{option} is not an option of the structure {name!r}.")
    return type(family)(**options) if options else family


_THREE_LETTERS = re.compile("[EV](?!II)[EVI][EVI]")  # one letter each for volume, shape, orientation; not EII, VII


def check_features(name: Any, n_features: int) -> str | None:
    """Return a note that a three-letter structure name means the same as "E" or "V" if X has one feature.

    Returns None for several features, or if `name` is not a three-letter name. Raises ValueError for "E" or "V" and
    several features.
    """
    if name in ("E", "V") and n_features > 1:
        raise ValueError(
            f"covariance_type={name!r} is for one feature, but X has {n_features}: also choose the shape and "
            f"orientation, for example {name + 'II'!r} or {3 * name!r}."
        )
    if n_features > 1 or not isinstance(name, str) or not _THREE_LETTERS.fullmatch(name):
        return None
    variances = "one variance for all components" if name[0] == "E" else "a variance per component"
    return f"covariance_type={name!r} is {name[0]!r} for one feature, which has no shape or orientation: {variances}."
