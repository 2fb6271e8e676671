"""The base class that checks the parameters of a `Mixture` and gives access to its components and feature names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.checks import check_names, check_real
from gaussmix._src.engines import complete_engine
from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.errors import ParameterTypeError, counted
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.mixture.features import Features, as_block, feature_indices
from gaussmix._src.model import Model, invalid_reason
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array, Indices, copied, frozen
from gaussmix._src.numerics.threads import cached_property

if TYPE_CHECKING:
    from gaussmix._src.mixture.univariate.univariate_mixture import UnivariateMixture

Method = TypeVar("Method", bound=Callable[..., Any])

_PARAMETER_ARRAYS = ("weights", "means", "covariances")


@dataclass(frozen=True, eq=False)
class MixtureBase:
    """A mixture whose parameters have been checked, with methods to access components and feature names."""

    weights: Array
    means: Array
    covariances: Array
    if TYPE_CHECKING:
        family: Family
    else:
        family: Family = None  # None only so that `__post_init__` raises an explanatory error if no family is passed
    feature_names: tuple[str, ...] | None = None
    noise: NoiseComponent | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family):
            raise ParameterTypeError(
                f'family must be a covariance structure, such as FAMILIES["full"], not {self.family!r:.60}. '
                "To pass a name, use Mixture.from_parameters(weights, means, covariances, covariance_type=…)."
            )
        for name in _PARAMETER_ARRAYS:  # the arrays are copied, so that callers cannot change the mixture later
            object.__setattr__(self, name, frozen(copied(check_real(name, getattr(self, name)))))
        if self.noise is not None and not isinstance(self.noise, NoiseComponent):
            raise ParameterTypeError(f"noise must be None or the attribute noise of a mixture, not {self.noise!r:.60}.")
        wrong = invalid_reason(self.weights, self.means, self.covariances, self.family, self.noise, is_factored=False)
        if wrong is not None:
            raise ValueError(f"Not a valid mixture: {wrong}.")
        if self.feature_names is not None:
            object.__setattr__(self, "feature_names", check_names(self.feature_names, self.n_features))

    @classmethod
    def _from_model(cls, model: Model, feature_names: tuple[str, ...] | None = None) -> Self:
        """Make a mixture from a model without checking or copying the arrays of the model.

        Parameters
        ----------
        model : model whose parameters are known to be valid.
        feature_names : one name per feature; None if the features have no names.
        """
        mixture = object.__new__(cls)
        vars(mixture).update(
            weights=model.weights,
            means=model.means,
            covariances=model.covariances.array,
            family=model.family,
            feature_names=feature_names,
            noise=model.noise,
            _model=model,
        )
        return mixture

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = self.weights, self.means, self.covariances, self.family, self.feature_names, self.noise
        return type(self), arguments  # pickle calls the constructor, which makes the arrays read-only

    def __eq__(self, other: object) -> bool:
        """Return whether weights, means, covariances, covariance structure, noise and feature names are equal."""
        if not isinstance(other, MixtureBase):
            return NotImplemented
        if (self.family, self.feature_names) != (other.family, other.feature_names):
            return False
        one, two = self._arrays(), other._arrays()
        return one.keys() == two.keys() and all(map(np.array_equal, one.values(), two.values()))

    def _arrays(self) -> dict[str, Array]:
        """Return weights, means, covariances and noise parameters in a dictionary with the keys of a model file."""
        noise = {} if self.noise is None else self.noise.arrays()
        return {name: getattr(self, name) for name in _PARAMETER_ARRAYS} | noise

    def __hash__(self) -> int:
        return hash((self.family.name, self.feature_names, self.means.shape, *self.weights.tolist()))

    def __len__(self) -> int:
        """Return the number of components, not counting the noise component."""
        return self.n_components

    def __getitem__(self, component: int | slice) -> Self:
        """Return one component with weight 1, or several components with weights scaled to sum to 1, as a new mixture.

        The new mixture keeps the covariance structure and the feature names. The noise component has no index and is
        not part of the new mixture.

        Parameters
        ----------
        component : index of the component (a negative index counts from the end), or a slice of indices.

        Raises
        ------
        IndexError : the component does not exist.
        TypeError : `component` is neither an integer nor a slice.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.25, 0.25, 0.5], [[0.0], [4.0], [9.0]], [1.0, 1.0, 4.0], FAMILIES["spherical"])
        >>> m[-1]
        <Mixture: 1 component, spherical, 1 feature, weight 1>
        >>> m[1:].weights.round(4)
        array([0.3333, 0.6667])
        """
        K = self.n_components
        if isinstance(component, slice):
            indices = [*range(K)[component]]
            if not indices:
                raise IndexError(f"The slice contains no component: the mixture has {counted(K, 'component')}.")
        elif isinstance(component, bool | np.bool_) or not isinstance(component, int | np.integer):
            raise ParameterTypeError(f"A component must be an index or a slice of indices, not {component!r:.60}.")
        elif not -K <= component < K:
            raise IndexError(f"There is no component {component}: the mixture has components 0 to {K - 1}.")
        else:
            indices = [int(component) % K]
        selected = self._model.take(indices)
        total = selected.weights.sum()
        weights = selected.weights / total if total > 0 else np.full(len(indices), 1 / len(indices))
        return self._from_model(Model(weights, selected.means, selected.covariances, self.family), self.feature_names)

    def __iter__(self) -> Iterator[Self]:
        """Yield each component as a mixture with one component."""
        return map(self.__getitem__, range(self.n_components))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.object_]:
        """Return a 0-d object array, because NumPy would otherwise treat a mixture as an endlessly nested sequence."""
        alone = np.empty((), dtype=object)
        alone[()] = self
        return alone

    @cached_property
    def _model(self) -> Model:
        """Return the parameters and the covariance structure as a `Model`, the class that EM, engines and files use."""
        return Model.from_arrays(self.weights, self.means, self.covariances, self.family, self.noise)

    @property
    def without_noise(self) -> Self:
        """Return the mixture without the noise component; the weights of the components are scaled to sum to 1."""
        return self if self.noise is None else self._from_model(self._model.without_noise, self.feature_names)

    def with_feature_names(self, names: Iterable[str] | None) -> Self:
        """Return the same mixture with the given feature names.

        Parameters
        ----------
        names : one name per feature, in the order of the features; None removes the names.

        Raises
        ------
        ValueError : the number of names differs from the number of features.
        TypeError : `names` is not a list, or a name is not a string.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[1.0, 4.0]], FAMILIES["diag"]).with_feature_names(["height", "weight"])
        >>> m.feature_names
        ('height', 'weight')
        """
        named = object.__new__(type(self))
        vars(named).update(vars(self))  # also copies cached properties
        vars(named)["feature_names"] = None if names is None else check_names(names, self.n_features)
        return named

    @property
    def n_components(self) -> int:
        """Return the number of components K."""
        return len(self.weights)

    @property
    def n_features(self) -> int:
        """Return the number of features d."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Return the number of free parameters of weights (K − 1), means (K·d), covariances and any noise (2)."""
        return self._model.n_parameters

    @property
    def whitening(self) -> Whitening:
        """Return factors W_k of the inverse covariances, with Σ_k⁻¹ = W_kᵀ W_k."""
        return self._model.whitening

    @property
    def parameters(self) -> Parameters:
        """Return the parameters as the `Parameters` object that an engine needs for the E-step."""
        return self._model.parameters

    @cached_property
    def _line(self) -> UnivariateMixture | None:
        """Return the components as a `UnivariateMixture` if the mixture has one feature, otherwise None."""
        if self.n_features > 1:
            return None
        _ = self.whitening  # raises SingularCovarianceError if a variance is 0
        from gaussmix._src.mixture.univariate.univariate_mixture import UnivariateMixture  # slow, as it loads SciPy

        return UnivariateMixture.from_model(self._model.without_noise)

    def _engine(self, n_jobs: int | None = None) -> CompleteEngine:
        """Return the engine that evaluates rows without missing values."""
        return complete_engine(n_jobs)

    def _check_box(self, what: str) -> None:
        """Raise ValueError if the mixture has a noise component that is defined by a volume instead of a box."""
        if self.noise is not None and self.noise.bounds is None:
            raise ValueError(
                f"{what} needs the box of the noise component, but only its volume is known. Fit with a box as the "
                "volume of noise, or use mixture.without_noise."
            )

    def _block(self, rows: ArrayLike) -> Block:
        """Check rows and convert them to the `Block` that engines read; raises ValueError or TypeError."""
        return as_block(rows, self.n_features, self.feature_names)

    def _feature_indices(self, features: Features) -> Indices:
        """Convert indices or names of features to indices ≥ 0, (n,); raises ValueError or TypeError."""
        return feature_indices(features, self.n_features, self.feature_names)


def check_alone(what: str, mixtures: Iterable[object]) -> None:
    """Raise ValueError if one of the mixtures has a noise component."""
    if any(isinstance(mixture, MixtureBase) and mixture.noise is not None for mixture in mixtures):
        raise ValueError(f"{what} does not support noise, but this mixture has noise. Use mixture.without_noise.")


def of_components(method: Method) -> Method:
    """Decorate a method to raise ValueError if any of its arguments, including `self`, is a mixture with noise."""

    @wraps(method)
    def checked(*arguments: Any, **options: Any) -> Any:
        check_alone(method.__name__, (*arguments, *options.values()))
        return method(*arguments, **options)

    return cast(Method, checked)


def append_noise(mixture: MixtureBase, parts: Array, total: float = 1.0) -> Array:
    """Append the noise's part of `total` to the components' parts (…, n_components), if the mixture has noise."""
    if mixture.noise is None:
        return parts
    return np.concatenate([parts, total - parts.sum(axis=-1, keepdims=True)], axis=-1)


def common_names(mixtures: Sequence[object]) -> tuple[str, ...] | None:
    """Check that mixtures have the same features, and return the feature names; None if no mixture has feature names.

    Raises TypeError if an item is not a mixture. Raises ValueError if `mixtures` is empty, or if the mixtures have
    different features.
    """
    if not len(mixtures):
        raise ValueError("No mixtures are given. Pass at least one mixture.")
    known = [mixture for mixture in mixtures if isinstance(mixture, MixtureBase)]
    if len(known) < len(mixtures):
        other = next(mixture for mixture in mixtures if not isinstance(mixture, MixtureBase))
        hint = ": pass its attribute mixture_" if hasattr(other, "mixture_") else ""
        raise ParameterTypeError(f"A mixture is needed, not {' '.join(repr(other).split()):.60}{hint}.")
    sizes = sorted({mixture.n_features for mixture in known})
    if len(sizes) > 1:
        raise ValueError(f"These mixtures have {' and '.join(map(str, sizes))} features. They need the same features.")
    names = [*dict.fromkeys(mixture.feature_names for mixture in known if mixture.feature_names is not None)]
    if len(names) > 1:
        index, (first, second) = next((i, two) for i, two in enumerate(zip(*names[:2], strict=True)) if len({*two}) > 1)
        raise ValueError(
            f"These mixtures have different features: feature {index} is {first!r} and {second!r}. Use marginal to "
            "bring the features into the same order, or with_feature_names to rename the features."
        )
    return names.pop() if names else None
