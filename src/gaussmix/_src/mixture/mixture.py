"""The public class `Mixture`. The methods check their arguments and call functions in other modules of the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import formats, mixture
from gaussmix._src.checks import Rng
from gaussmix._src.errors import warn
from gaussmix._src.families.base import Family, describe_deviation
from gaussmix._src.formats.record import Details, PathOrFile
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.mixture.base import of_components
from gaussmix._src.mixture.compare.comparisons import Comparisons
from gaussmix._src.mixture.features import check_order
from gaussmix._src.mixture.scipy_names import SciPyNames
from gaussmix._src.numerics.arrays import Array, check_size

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.mixture import GaussianMixture

    from gaussmix._src.mixture.sampling import Labels


class Mixture(SciPyNames, Comparisons):
    """A Gaussian mixture distribution with the density p(x) = Σ_k π_k N(x | μ_k, Σ_k); Bishop (2006), eq. 9.7.

    Parameters
    ----------
    weights : weights π_k of the components, (n_components,), which sum to 1.
    means : means μ_k of the components, (n_components, n_features), in data units.
    covariances : covariances Σ_k, in data units². The shape of this array depends on the covariance
        structure; `family.shape` returns it.
    family : covariance structure, a member of `gaussmix.FAMILIES`.
    feature_names : one name per feature, which methods accept in place of an index; None if the features have no names.
    noise : uniform noise component, taken from the attribute `noise` of another mixture; None if there is no noise. The
        weight of the noise and `weights` together sum to 1.

    Raises
    ------
    ValueError
        The shapes or names do not match, a value is not finite, a matrix is not symmetric, a weight or a variance is
        negative, or the weights don't sum to 1.
    TypeError
        `family` is not a `Family`, values are not real numbers, or `feature_names` is not a list of strings.
    SingularCovarianceError
        A covariance is not positive definite. This error is raised only when a density is first needed.

    Notes
    -----
    A mixture is immutable: the arrays are read-only, and methods that change parameters or names return a new mixture.
    Two mixtures are equal if their parameters, covariance structures and feature names are equal, and equal mixtures
    have equal hashes. For a mixture m, `len(m)` is the number of components, `m[2]` is the third component as a
    mixture, and a loop over `m` yields every component.

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
        return f"<{type(self).__name__}: {mixture.words.line_of(self)}>"

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
        """Make a mixture from known parameters, which are checked immediately.

        Parameters
        ----------
        weights : weights of the components, (n_components,), which sum to 1.
        means : means of the components, (n_components, n_features), in data units.
        covariances : covariances of the components, in data units², in the shape of scikit-learn's `covariances_`. For
            "full" the shape is (n_components, n_features, n_features).
        precisions : inverses of the covariances, in the shape of `covariances`. Pass either `covariances` or
            `precisions`.
        covariance_type : name of the covariance structure, which is "full", "tied", "diag", "spherical" or one of
            mclust's names. To set options of a structure, pass an object instead, such as
            `FactorAnalyzer(n_factors=2)`.
        feature_names : one name per feature; None if the features have no names.

        Raises
        ------
        ValueError : the parameters are not a valid mixture, both or neither of `covariances` and `precisions` are
            given, or the covariance structure does not exist. The message gives the reason.
        TypeError : parameters are not real numbers, or `feature_names` is not a list of strings.

        Warns
        -----
        RuntimeWarning : the covariances do not have the covariance structure, so that `n_parameters` may be wrong.

        Examples
        --------
        >>> from gaussmix import Mixture
        >>> Mixture.from_parameters([1.0], [[0.0, 0.0]], precisions=[[4.0, 1.0]], covariance_type="diag").covariances
        array([[0.25, 1.  ]])
        """
        model = mixture.conversion.from_parameters(weights, means, covariances, precisions, covariance_type)
        deviation = describe_deviation(model.family, model.covariances, "covariances")
        warn(deviation and f"{deviation} n_parameters counts the parameters of this structure. Check covariance_type.")
        result = cls._from_model(model).with_feature_names(feature_names)
        for called, values in ("means", means), ("covariances", covariances), ("precisions", precisions):
            check_order(values, result.feature_names, called)
        return result

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Make a mixture from a fitted scikit-learn estimator.

        Parameters
        ----------
        estimator : a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn, or an object with the same
            attributes. Feature names are kept. For a BayesianGaussianMixture, the mixture has the point estimates of
            the parameters, which scikit-learn's `sample` also uses.

        Raises
        ------
        TypeError : `estimator` is not a fitted mixture.
        ValueError : the parameters of the estimator are not a valid mixture.

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
        """Make a mixture from a fitted estimator of torchgmm or pycave.

        Parameters
        ----------
        estimator : a fitted `GaussianMixture` of torchgmm (which CellCharter uses) or pycave, or its attribute
            `model_`. The object must have the attributes `covariance_type`, `component_probs`, `means` and
            `precisions_cholesky`. Tensors on a GPU are copied to main memory.

        Raises
        ------
        TypeError : `estimator` is not a fitted mixture.
        ValueError : the parameters of the estimator are not a valid mixture.

        Notes
        -----
        Both packages store upper triangular factors U of the precisions U Uᵀ in float32. The covariances are computed
        from these factors in float64, and the weights are scaled to sum to 1.

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
        """Make a mixture from the result of `cuvs::cluster::gmm::fit` in NVIDIA's cuVS.

        Parameters
        ----------
        weights : weights of the components, (n_components,).
        means : means of the components, (n_components, n_features), in data units.
        covariances : covariances of the components, in data units², as the one-dimensional buffer of cuVS or in the
            shape that `from_parameters` expects. Arrays on a GPU are copied to main memory.
        covariance_type : value that was passed to cuVS, which is "full", "tied", "diag" or "spherical".

        Raises
        ------
        TypeError : parameters are not real numbers.
        ValueError : the parameters are not a valid mixture.

        Notes
        -----
        In float32, rounding errors make a matrix slightly asymmetric, and the weights do not sum to 1 exactly.
        Therefore each matrix is averaged with its transpose, and the weights are scaled to sum to 1.

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
        """Read a mixture from a model file, exactly as it was saved. No code from the file is executed.

        Parameters
        ----------
        path : path of a model file, or a model file opened in binary mode. The file must have been written by `save` of
            a mixture or estimator, or by the command line, in this or an earlier version of gaussmix.

        Raises
        ------
        InvalidModelFileError : the file is damaged, truncated, written in a later format, or not a model file. The
            message gives the reason.
        TypeError : `path` is neither a path nor a file opened in binary mode.
        OSError : the file does not exist or cannot be read.
        """
        model, record = formats.model_file.read(path)
        return cls._from_model(model, record.details.feature_names)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a mixture from a dictionary that `to_dict` has returned.

        Parameters
        ----------
        values : dictionary with the keys "format", "version", "family", "weights", "means" and "covariances", and with
            "feature_names" if the features have names. Other keys are ignored.

        Raises
        ------
        ValueError : the values are not a valid mixture; the message gives the reason.
        TypeError : `values` is not a dictionary.
        """
        return cls._from_model(*formats.model_file.from_dict(values))

    def log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """Return the log density log p(x) of each row.

        Parameters
        ----------
        rows : rows to evaluate, (n_rows, n_features), in data units.
        n_jobs : number of threads; None uses all processors.

        Returns
        -------
        log_density : log densities, (n_rows,), in nats. The densities are per unit of data volume.

        Raises
        ------
        ValueError : `rows` does not have shape (n_rows, n_features), or contains NaN or infinity.
        TypeError : `rows` does not contain real numbers.
        """
        return self._engine(n_jobs).log_density(self._block(rows), self.parameters)

    def component_log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """Return log N(x | μ_k, Σ_k), without weights, for each row and component, (n_rows, n_components), in nats.

        Raises
        ------
        ValueError : `rows` is not valid, or the result would be larger than 4 GB.
        """
        block, equal = self._block(rows), Parameters.from_mixture(np.ones(len(self)), self.means, self.whitening)
        check_size(block.n_rows, len(self), "use log_density(rows), or pass fewer rows at a time")
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
        """Return the responsibilities p(k | x) of the components for each row; Bishop (2006), eq. 9.13.

        The result has shape (n_rows, n_components). Each row of the result sums to 1, or to 1 minus the responsibility
        of the noise component if there is one.

        Parameters
        ----------
        rows : rows to evaluate, (n_rows, n_features), in data units.
        sparse : whether to return a `scipy.sparse.csr_array`, which takes less memory with thousands of components.
            Responsibilities that are at most 2⁻⁶⁰ times the largest responsibility of the row are left out, as in EM.
        n_jobs : number of threads; None uses all processors.

        Raises
        ------
        ValueError : `rows` is not valid, or the dense result would be larger than 4 GB.
        TypeError : `rows` does not contain real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.25] * 4, [[0.0], [4.0], [40.0], [44.0]], [1.0] * 4, FAMILIES["spherical"])
        >>> sparse = m.responsibilities([[1.0], [42.0]], sparse=True)
        >>> sparse.shape, sparse.nnz, sparse.indices.tolist()
        ((2, 4), 4, [0, 1, 2, 3])
        >>> sparse.sum(axis=1)
        array([1., 1.])
        """
        engine, block = self._engine(n_jobs), self._block(rows)
        if sparse:
            return mixture.sparse.sparse_responsibilities(block, self.parameters, engine)
        check_size(block.n_rows, self.n_components, "use sparse=True or predict(rows), or pass fewer rows at a time")
        return engine.responsibilities(block, self.parameters)

    def predict(self, rows: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.int64]:
        """Return the index of the most probable component of each row, (n_rows,); −1 is noise.

        If several components are equally probable, the smallest index is returned.
        """
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
        """Draw rows from the mixture, in random order.

        Parameters
        ----------
        n_rows : number of rows to draw.
        rng : generator, such as `numpy.random.default_rng(0)`, or a seed. With None every call draws different rows.
            With equal seeds, the rows of a smaller sample are the first rows of a larger sample.
        component : index of the component from which all rows are drawn. By default rows are drawn from all components,
            in proportion to the weights.
        return_labels : whether to also return the index of the component from which each row was drawn.
        n_jobs : number of threads; None uses all processors. The rows do not depend on the number of threads.

        Returns
        -------
        rows : the sample, (n_rows, n_features), in data units.
        labels : index of the component from which each row was drawn, (n_rows,); −1 is noise. Labels are only returned
            if `return_labels` is True.

        Raises
        ------
        ValueError : `n_rows` or the seed is negative, the component does not exist, or the noise component was defined
            by a volume without a box.
        TypeError : `n_rows` or `component` is not an integer, or `rng` is neither a generator nor a seed.

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
        """Return a fitted `sklearn.mixture.GaussianMixture` with the distribution of this mixture.

        Returns
        -------
        estimator : fitted estimator, which can predict, score and sample. If `warm_start=True` is set, `fit` starts
            from this distribution. Feature names are kept. A covariance structure that scikit-learn does not support
            becomes "spherical", "diag", "tied" or "full". If a component has weight 0, scikit-learn warns about the
            logarithm of 0, but the results are correct.

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

    @of_components
    def to_torch(self) -> Any:  # Any, because public types must not need PyTorch
        """Return a PyTorch module for the log density, which is differentiable with respect to the rows.

        Returns
        -------
        module : `torch.nn.Module` in float64, whose buffers are the parameters. `module(x)` is log p(x), in nats, for
            rows `x` (…, n_features) on the device of the module. The module also has the methods
            `component_log_density`, `responsibilities` and `sample`; `module.to("cuda")` and `module.float()` work as
            for every PyTorch module.

        Raises
        ------
        ImportError : PyTorch is not installed.
        ValueError : the mixture has noise, or, in a method of the module, `x` has the wrong number of features.

        Examples
        --------
        >>> import torch  # doctest: +SKIP
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> x = torch.tensor([[2.5]], dtype=torch.float64, requires_grad=True)  # doctest: +SKIP
        >>> m.to_torch()(x).sum().backward()  # doctest: +SKIP
        >>> torch.allclose(x.grad, torch.tensor(m.gradient([[2.5]])))  # doctest: +SKIP
        True
        """
        try:
            from gaussmix._src.mixture.torch_module import MixtureModule
        except ImportError:
            raise ImportError("to_torch needs PyTorch: pip install torch.") from None
        return MixtureModule(self._model)

    def save(self, path: PathOrFile) -> None:
        """Write the mixture to a model file. If writing fails, no partial file remains.

        Parameters
        ----------
        path : path of the file, usually "….gmm", or a file opened for writing in binary mode. An existing file is
            replaced.

        Raises
        ------
        TypeError : `path` is neither a path nor a file opened in binary mode.
        ValueError : the parameters are not a valid mixture, because the weights do not sum to 1 or a covariance is not
            positive definite.
        OSError : the file cannot be written.
        """
        formats.model_file.write(path, self._model, Details(self.feature_names))

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary of built-in Python values, for example for JSON; `from_dict` restores the same mixture.

        Raises
        ------
        ValueError : the parameters are not a valid mixture, because the weights do not sum to 1 or a covariance is not
            positive definite.
        """
        return formats.model_file.to_dict(self._model, self.feature_names)


Mixture.__module__ = "gaussmix"  # the public module that exports Mixture
