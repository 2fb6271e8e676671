"""A Gaussian mixture as an immutable value. Its methods check arguments and call functions grouped by subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import formats, mixture
from gaussmix._src.checks import Rng
from gaussmix._src.engines.base import NEGLIGIBLE_NATS, Engine
from gaussmix._src.families.base import Family
from gaussmix._src.formats.record import Details, PathOrFile
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import TILE_ROWS
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.mixture.base import of_components
from gaussmix._src.mixture.compare.comparisons import Comparisons
from gaussmix._src.mixture.scipy_names import SciPyNames
from gaussmix._src.numerics.arrays import Array, check_size

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.mixture import GaussianMixture

    from gaussmix._src.mixture.sampling import Labels

_MAX_SPARSE_VALUES = 2**24  # responsibilities of rows that become sparse at a time, 128 MB


class Mixture(SciPyNames, Comparisons):
    """p(x) = Σ_k π_k N(x | μ_k, Σ_k), Bishop (2006) eq. 9.7.

    Parameters
    ----------
    weights : (n_components,), π_k; sum to 1.
    means : (n_components, n_features), μ_k, data units.
    covariances : Σ_k in the compact form of the family (`family.shape`), data units².
    family : the covariance structure, a member of `gaussmix.FAMILIES`.
    feature_names : one for each feature, by which it can be called; None where they have none.
    noise : of another mixture, a uniform background whose weight and `weights` sum to 1; None if there is none.

    Raises
    ------
    ValueError
        Shapes or names don't go together, a number is not finite, a weight is negative or they don't sum to 1.
    TypeError
        `family` is not a `Family`, numbers are not real, or names are not a list of text.
    SingularCovarianceError
        At the first use of a density, where a covariance is not positive definite.

    Notes
    -----
    The arrays are read-only: a changed mixture is a new one. Two mixtures are equal where their numbers, structures and
    feature names are; equal mixtures have equal hashes. `len(m)` is the number of components, `m[2]` is one of them
    as a mixture, and a loop over `m` goes through all.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import Mixture, FAMILIES
    >>> m = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [4.0]]), np.array([1.0, 1.0]), FAMILIES["spherical"])
    >>> m.predict([[0.3], [3.0]])
    array([0, 1])
    >>> m.log_density([[2.0]]).round(4)
    array([-2.9189])
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {mixture.html.line_of(self)}>"

    def _repr_html_(self) -> str:
        return mixture.html.html_of(self)

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike | None = None,
        *,
        precisions: ArrayLike | None = None,
        covariance_type: str | Family = "full",
        feature_names: Iterable[str] | None = None,
    ) -> Self:
        """Make a mixture of known parameters, and check them at once.

        Parameters
        ----------
        weights : (n_components,), sum to 1.
        means : (n_components, n_features), data units.
        covariances : data units², in the shape of the structure, as scikit-learn's `covariances_`: for "full"
            (n_components, n_features, n_features).
        precisions : the inverses of the covariances, in the same shape, instead of the covariances.
        covariance_type : the name of the structure: "full", "tied", "diag", "spherical" or one of mclust's. Where it
            has options, the structure itself: `FactorAnalyzer(n_factors=2)`.
        feature_names : one for each feature; None if there is none.

        Raises
        ------
        ValueError : the numbers make no mixture, both or neither of covariances and precisions are given, or there
            is no such structure; the message says which.
        TypeError : the numbers are not real, or feature_names is not a list of text.

        Examples
        --------
        >>> from gaussmix import Mixture
        >>> Mixture.from_parameters([1.0], [[0.0, 0.0]], precisions=[[4.0, 1.0]], covariance_type="diag").covariances
        array([[0.25, 1.  ]])
        """
        model = mixture.conversion.from_parameters(weights, means, covariances, precisions, covariance_type)
        return cls._from_model(model).with_feature_names(feature_names)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Take the distribution that an estimator of scikit-learn has fitted.

        Parameters
        ----------
        estimator : a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn, or an object with the same
            attributes. Names of features come along. From a Bayesian one the point estimates are taken, as by its own
            `sample`.

        Raises
        ------
        TypeError : estimator is not a fitted mixture.
        ValueError : its numbers make no mixture.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import Mixture
        >>> from sklearn.mixture import GaussianMixture
        >>> theirs = GaussianMixture(covariance_type="diag").fit([[0.0, 1.0], [2.0, 5.0]])
        >>> Mixture.from_sklearn(theirs).means
        array([[1., 3.]])
        """
        return cls._from_model(*mixture.conversion.from_sklearn(estimator))

    @classmethod
    def from_torch(cls, estimator: Any) -> Self:
        """Take the distribution that an estimator of torchgmm or pycave has fitted.

        Parameters
        ----------
        estimator : a fitted `GaussianMixture` of torchgmm (which CellCharter uses) or pycave, or its `model_`: an
            object with `covariance_type`, `component_probs`, `means` and `precisions_cholesky`. Tensors of a GPU are
            copied.

        Raises
        ------
        TypeError : estimator is not a fitted mixture.
        ValueError : its numbers make no mixture.

        Notes
        -----
        Both keep the upper factors U of precisions U Uᵀ in float32. The covariances are those of the factors in
        float64, and the weights are scaled to sum to 1.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> import numpy as np
        >>> from gaussmix import Mixture
        >>> numbers = {"component_probs": np.ones(1), "means": np.zeros((1, 2)), "precisions_cholesky": np.full(1, 0.5)}
        >>> Mixture.from_torch(SimpleNamespace(covariance_type="spherical", **numbers)).covariances
        array([4.])
        """
        return cls._from_model(mixture.conversion.from_torch(estimator))

    @classmethod
    def from_cuvs(
        cls, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, *, covariance_type: str = "full"
    ) -> Self:
        """Take the distribution that `cuvs::cluster::gmm::fit` of NVIDIA's cuVS has found.

        Parameters
        ----------
        weights : (n_components,).
        means : (n_components, n_features), data units.
        covariances : data units², the flat buffer, or in the shape of the structure. Arrays of a GPU are copied.
        covariance_type : as in the call: "full", "tied", "diag" or "spherical".

        Raises
        ------
        TypeError : the numbers are not real.
        ValueError : the numbers make no mixture.

        Notes
        -----
        In float32 the two halves of a matrix differ by rounding, and weights do not sum to 1: the means of the halves
        are taken, and the weights are scaled.

        Examples
        --------
        >>> from gaussmix import Mixture
        >>> Mixture.from_cuvs([1.0], [[0.0, 3.0]], [2.0, 0.5, 0.5, 1.0]).covariances
        array([[[2. , 0.5],
                [0.5, 1. ]]])
        """
        return cls._from_model(mixture.conversion.from_cuvs(weights, means, covariances, covariance_type))

    @classmethod
    def load(cls, path: PathOrFile) -> Self:
        """Read a mixture from a model file, bit for bit as it was saved; nothing in the file is run.

        Parameters
        ----------
        path : a file that this or an earlier version wrote: `save` of a mixture or of an estimator, or the command
            line. Or a binary file open for reading.

        Raises
        ------
        InvalidModelFileError : the file is damaged, truncated, of a later layout or something else; the message says
            which.
        TypeError : path is neither a path nor a binary file.
        OSError : there is no such file, or it can't be read.
        """
        model, record = formats.model_file.read(path)
        return cls._from_model(model, record.details.feature_names)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make the mixture of a dictionary that `to_dict` made.

        Parameters
        ----------
        values : "format", "version", "family", "weights", "means" and "covariances"; "feature_names" where
            there are some; other keys are ignored.

        Raises
        ------
        ValueError : the values make no mixture; the message says why.
        TypeError : values is not a dictionary.
        """
        return cls._from_model(*formats.model_file.from_dict(values))

    def log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """log p(x) of each row.

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_jobs : threads; None for every processor.

        Returns
        -------
        log_density : (n_rows,), nats (per unit of data volume).

        Raises
        ------
        ValueError : rows are not finite numbers of shape (n_rows, n_features).
        TypeError : rows are not real numbers.
        """
        return self._engine(n_jobs).log_density(self._block(rows), self.parameters)

    def component_log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """log N(x | μ_k, Σ_k) of each row and component, without weights; (n_rows, n_components), nats.

        Raises
        ------
        ValueError : as `log_density`, or the array would be above 4 GB.
        """
        block, equal = self._block(rows), Parameters.from_mixture(np.ones(len(self)), self.means, self.whitening)
        check_size(block.n_rows, len(self), "take log_density(rows), or some of the rows at a time")
        return self._engine(n_jobs).component_log_density(block, equal)

    @overload
    def responsibilities(
        self, rows: ArrayLike, *, sparse: Literal[False] = False, n_jobs: int | None = None
    ) -> Array: ...
    @overload
    def responsibilities(self, rows: ArrayLike, *, sparse: Literal[True], n_jobs: int | None = None) -> csr_array: ...
    def responsibilities(
        self, rows: ArrayLike, *, sparse: bool = False, n_jobs: int | None = None
    ) -> Array | csr_array:
        """p(k | x), Bishop (2006) eq. 9.13; (n_rows, n_components), rows sum to 1, less what noise has of them.

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        sparse : whether to return a `scipy.sparse.csr_array`, made of some rows at a time, as thousands of components
            need. It holds the same numbers without those that are at most 2⁻⁶⁰ of the largest of their row, the ones
            that count as 0 in a step of EM.
        n_jobs : threads; None for every processor.

        Raises
        ------
        ValueError : as `log_density`, or an array would be above 4 GB.
        TypeError : as `log_density`.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.25] * 4, [[0.0], [4.0], [40.0], [44.0]], [1.0] * 4, FAMILIES["spherical"])
        >>> shares = m.responsibilities([[1.0], [42.0]], sparse=True)
        >>> shares.shape, shares.nnz, shares.indices.tolist()
        ((2, 4), 4, [0, 1, 2, 3])
        >>> shares.sum(axis=1)
        array([1., 1.])
        """
        engine, block = self._engine(n_jobs), self._block(rows)
        if sparse:
            return self._sparse_responsibilities(block, engine)
        check_size(block.n_rows, self.n_components, "take sparse=True, predict(rows), or some of the rows at a time")
        return engine.responsibilities(block, self.parameters)

    def _sparse_responsibilities(self, block: Block, engine: Engine[Any]) -> csr_array:
        """Those that are more than 2⁻⁶⁰ of their row's largest."""
        from scipy.sparse import csr_array

        parts = list[tuple[Array, NDArray[np.intp], NDArray[np.int32]]]()
        for part in block.split(max(1, _MAX_SPARSE_VALUES // (TILE_ROWS * len(self))) * TILE_ROWS):
            dense = engine.responsibilities(part, self.parameters)
            least = np.exp(-NEGLIGIBLE_NATS) * dense.max(axis=1, initial=0.0, keepdims=True)
            indices, components = np.nonzero(dense > least)
            n_retained = np.bincount(indices, minlength=part.n_rows)
            parts.append((dense[indices, components], n_retained, components.astype(np.int32)))
        values, n_retained, components = map(np.concatenate, zip(*parts, strict=True))
        ends = np.concatenate(([0], np.cumsum(n_retained)))
        shape = block.n_rows, len(self)
        return csr_array((values, components, ends.astype(np.int32 if ends[-1] < 2**31 else np.int64)), shape)

    def predict(self, rows: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.int64]:
        """The most probable component of each row, (n_rows,); the first of equals, and −1 for noise."""
        return self._engine(n_jobs).labels(self._block(rows), self.parameters)

    @overload
    def sample(
        self,
        n_rows: int,
        rng: Rng = None,
        *,
        component: int | None = None,
        return_labels: Literal[True] = True,
        n_jobs: int | None = None,
    ) -> tuple[Array, Labels]: ...
    @overload
    def sample(
        self,
        n_rows: int,
        rng: Rng = None,
        *,
        component: int | None = None,
        return_labels: Literal[False],
        n_jobs: int | None = None,
    ) -> Array: ...
    def sample(
        self,
        n_rows: int,
        rng: Rng = None,
        *,
        component: int | None = None,
        return_labels: bool = True,
        n_jobs: int | None = None,
    ) -> tuple[Array, Labels] | Array:
        """Draw rows, in random order.

        Parameters
        ----------
        n_rows : how many.
        rng : source of randomness, such as `numpy.random.default_rng(0)`, or its seed; None for other rows at every
            call. A generator in the same state gives the same rows. A smaller draw is the beginning of a larger one.
        component : the one component to draw from, counted from 0; by default all, by their weights.
        return_labels : whether labels come with the rows.
        n_jobs : threads; None for every processor. They change no bit.

        Returns
        -------
        rows : (n_rows, n_features), data units.
        labels : (n_rows,), the component each row was drawn from, −1 for noise; with return_labels.

        Raises
        ------
        ValueError : n_rows or a seed is negative, there is no such component, or noise has a volume but no box.
        TypeError : n_rows or component is not an integer, or rng no source of randomness.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [40.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> rows, labels = m.sample(100, rng=0)
        >>> bool(((rows[:, 0] > 20) == (labels == 1)).all())
        True
        >>> m.sample(2, component=1, return_labels=False).shape
        (2, 1)
        """
        if component is None:
            self._check_box("sample")
        rows, labels = mixture.sampling.sample(self._model, n_rows, rng, component, self._engine(n_jobs))
        return (rows, labels) if return_labels else rows

    @of_components
    def to_sklearn(self) -> GaussianMixture:
        """Make a fitted `sklearn.mixture.GaussianMixture` of this distribution.

        Returns
        -------
        estimator : predicts, scores and samples at once, and `fit` with `warm_start=True` goes on from here. It has
            the names of the features. The structures of scikit-learn stay; others become "spherical", "diag", "tied" or
            "full". For a component of weight 0 scikit-learn warns of a logarithm of 0; its answers are right.

        Raises
        ------
        SingularCovarianceError : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.to_sklearn().predict([[0.3], [3.0]])
        array([0, 1])
        """
        return mixture.conversion.to_sklearn(self._model, self.feature_names)

    def save(self, path: PathOrFile) -> None:
        """Write the mixture to a model file, which appears whole or not at all.

        Parameters
        ----------
        path : usually "….gmm"; an existing file is replaced. Or a binary file open for writing.

        Raises
        ------
        TypeError : path is neither a path nor a binary file.
        ValueError : the numbers are not a mixture: weights don't sum to 1, a covariance is not positive definite.
        OSError : the file can't be written.
        """
        formats.model_file.write(path, self._model, Details(self.feature_names))

    def to_dict(self) -> dict[str, Any]:
        """Make a dictionary of plain values, for JSON; `from_dict` gives the mixture back bit for bit.

        Raises
        ------
        ValueError : the numbers are not a mixture, as in `save`.
        """
        return formats.model_file.to_dict(self._model, self.feature_names)


Mixture.__module__ = "gaussmix"  # where users import it from
