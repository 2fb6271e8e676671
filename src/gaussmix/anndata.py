"""Clustering of the cells in an AnnData object, with results where scanpy, squidpy and CellCharter expect them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.validation.parameters import names_several

__all__ = ["cluster"]


def cluster(
    adata: Any,
    n_components: int | Iterable[int] = tuple(range(1, 10)),
    *,
    use_rep: str | None = None,
    key_added: str = "gaussmix",
    **parameters: Any,
) -> GaussianMixture | GaussianMixtureIC:
    """Cluster the cells (or spots) of an AnnData object, and write labels, probabilities and parameters into it.

    The rows may be in memory, on disk (``anndata.read_h5ad(path, backed="r")``) or in a Dask array. Rows on disk and
    Dask arrays may be larger than memory.

    Parameters
    ----------
    adata : the `anndata.AnnData` object, which is changed in place; a file on disk is not changed.
    n_components : number of clusters. If you pass several numbers, `criterion` chooses one of them.
    use_rep : rows to cluster: a key of `adata.obsm`, such as "X_pca", or of `adata.layers`. None or "X" means
        `adata.X`.
    key_added : key under which the results are stored in `adata`.
    parameters : parameters of `GaussianMixtureIC` if there are several numbers of clusters or several structures,
        otherwise of `GaussianMixture`. Examples are ``criterion="stability"``, ``covariance_type="EEE"`` and
        ``random_state=0``.

    Returns
    -------
    fitted : the fitted estimator. `cluster` has also written these results into `adata`:

        * ``obs[key_added]``: the cluster of each cell, as a categorical with the values "0", "1", …, and "-1" for noise
          and for cells that `trim` left out.
        * ``obsm[key_added + "_proba"]``: the probability of each cluster, (n_obs, n_components). If the rows are a Dask
          array, the probabilities are also a lazy Dask array.
        * ``uns[key_added]``: a dict with the arguments of `Mixture.from_parameters` ("weights", "means", "covariances"
          and "covariance_type") and "use_rep"; after a model selection, also "criterion" and the data frame "results".
          For factor analysers, full covariance matrices are stored, with the corresponding structure. If the fit has
          noise, the weights sum to less than 1, so divide the weights by their sum. The stored mixture has neither
          noise nor `trim`, so it assigns every cell to a cluster.

    Raises
    ------
    KeyError : if `use_rep` is not a key of `adata.obsm` or `adata.layers`.
    ValueError, TypeError : if the rows are sparse or otherwise invalid, a parameter is invalid, or `adata` is a view of
        a file.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from gaussmix.anndata import cluster
    >>> rng = np.random.default_rng(0)
    >>> adata = anndata.AnnData(rng.normal(np.repeat([0.0, 9.0], [60, 40])[:, None], size=(100, 3)))
    >>> fitted = cluster(adata, range(1, 5), covariance_type="full", random_state=0)
    >>> adata.obs["gaussmix"].value_counts().tolist(), adata.obsm["gaussmix_proba"].shape
    ([60, 40], (100, 2))
    """
    from pandas import Categorical, DataFrame  # pandas is installed, because AnnData needs it

    if adata.isbacked and adata.is_view:
        raise ValueError("adata is a view of a file, and such views can't store results. Pass adata.to_memory().")
    rows = _rows_of(adata, use_rep)
    is_choice = not isinstance(n_components, int | np.integer) or names_several(parameters.get("covariance_type", ""))
    if "criterion" in parameters and not is_choice:
        raise ParameterTypeError(
            "criterion needs several numbers of clusters or structures. "
            f"Pass n_components=[{n_components}], or leave out criterion."
        )
    kind: Any = GaussianMixtureIC if is_choice else GaussianMixture
    fitted = kind(n_components, **parameters)
    labels = np.asarray(fitted.fit_predict(rows))
    mixture = fitted.mixture_
    names = [*(["-1"] if mixture.noise is not None or labels.min() < 0 else []), *map(str, range(mixture.n_components))]
    adata.obs[key_added] = Categorical(labels.astype(str), categories=names)
    adata.obsm[f"{key_added}_proba"] = fitted.predict_proba(rows)
    covariances = mixture._model.covariances.to_simple_form()
    family = mixture.family if isinstance(covariances, mixture.family.kind) else mixture.family.relaxed(covariances)
    record = {"weights": mixture.weights, "means": mixture.means, "covariances": covariances.array}
    record |= {"covariance_type": family.name, "use_rep": use_rep or "X"}
    if is_choice:
        texts = {name: [each or "" for each in fitted.results_[name]] for name in ("failure", "warning")}
        record |= {"criterion": fitted.criterion, "results": DataFrame(fitted.results_ | texts)}
    adata.uns[key_added] = record
    return fitted


def _rows_of(adata: Any, use_rep: str | None) -> Any:
    """Return the rows (n_obs, n_features) that `use_rep` names."""
    if use_rep is None or use_rep == "X":
        rows, name = adata.X, "adata.X"
    elif use_rep in adata.obsm:
        rows, name = adata.obsm[use_rep], f"adata.obsm[{use_rep!r}]"
    elif use_rep in adata.layers:
        rows, name = adata.layers[use_rep], f"adata.layers[{use_rep!r}]"
    else:
        known = ", ".join(map(repr, (*adata.obsm, *adata.layers))) or "none"
        raise KeyError(f"use_rep={use_rep!r} is not a key of obsm or layers. Known keys: {known}.")
    if rows is None:
        raise ValueError(f"{name} is empty. Set use_rep to a key of adata.obsm.")
    if hasattr(type(rows), "format"):  # Only sparse arrays, in memory or on disk, have `format`.
        raise ParameterTypeError(
            f"{name} is sparse, but a mixture needs a dense array with few columns. Reduce the dimension, "
            "for example by scanpy.pp.pca(adata), and set use_rep='X_pca'."
        )
    return rows
