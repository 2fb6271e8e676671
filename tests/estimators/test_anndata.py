"""`gaussmix.anndata.cluster` reads rows from any part of an AnnData, and writes results to the usual fields."""

import dask.array as da
import numpy as np
import pytest
from scipy import sparse

from gaussmix import FAMILIES, FactorAnalyzer, GaussianMixture, GaussianMixtureIC, Mixture, Noise

anndata = pytest.importorskip("anndata")
cluster = pytest.importorskip("gaussmix.anndata").cluster


@pytest.fixture
def adata(rng):
    rows = rng.normal(np.repeat([0.0, 7.0, 14.0], [60, 40, 50])[:, None], size=(150, 3))
    data = anndata.AnnData(sparse.csr_array(rng.poisson(0.3, size=(150, 8)).astype(float)))
    data.obsm["X_pca"], data.layers["dense"] = rows, np.hstack([rows, rng.normal(size=(150, 5))])
    return data


def test_cluster_with_one_number_of_components_fits_one_mixture(adata):
    fitted = cluster(adata, 3, use_rep="X_pca", covariance_type="EEE", random_state=0)
    alone = GaussianMixture(3, covariance_type="EEE", random_state=0).fit(adata.obsm["X_pca"])
    assert type(fitted) is GaussianMixture
    assert adata.obs["gaussmix"].tolist() == alone.predict(adata.obsm["X_pca"]).astype(str).tolist()
    assert adata.obs["gaussmix"].cat.categories.tolist() == ["0", "1", "2"]
    np.testing.assert_array_equal(adata.obsm["gaussmix_proba"], alone.predict_proba(adata.obsm["X_pca"]))


def test_cluster_selects_among_several_numbers_of_components_by_the_criterion(adata):
    settings = {"covariance_type": "full", "criterion": "stability", "n_folds": 2, "random_state": 0}
    fitted = cluster(adata, range(2, 5), use_rep="X_pca", key_added="niche", **settings)
    alone = GaussianMixtureIC(range(2, 5), **settings).fit(adata.obsm["X_pca"])
    assert fitted.n_components_ == alone.n_components_ == len(adata.obs["niche"].cat.categories)
    stored = adata.uns["niche"]
    assert (stored["criterion"], stored["use_rep"]) == ("stability", "X_pca")
    np.testing.assert_array_equal(stored["results"]["stability"], alone.results_["stability"])


def test_cluster_selects_among_several_covariance_structures(adata):
    fitted = cluster(adata, 3, use_rep="X_pca", covariance_type=["EEE", "VVV"], random_state=0)
    assert adata.uns["gaussmix"]["results"]["structure"].tolist() == ["tied", "full"]
    assert adata.uns["gaussmix"]["covariance_type"] == fitted.covariance_type_


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "VEV"])
def test_cluster_gives_the_same_bits_for_rows_in_memory_in_hdf5_and_in_dask(adata, structure, tmp_path):
    """Check the results of rows in HDF5 and in Dask, and that a written file contains the mixture's parameters."""
    settings = {"covariance_type": structure, "random_state": 0}
    del adata.layers["dense"]
    adata.X = adata.obsm["X_pca"] @ np.ones((3, 8)) + np.arange(8) * np.random.default_rng(0).normal(size=(150, 8))
    fitted = cluster(adata, range(2, 4), **settings)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    stored = backed.uns["gaussmix"]
    np.testing.assert_allclose(mixture_of(stored).log_density(adata.X), fitted.score_samples(adata.X), rtol=1e-10)
    assert backed.obs["gaussmix"].tolist() == adata.obs["gaussmix"].tolist()
    lazy = anndata.AnnData(da.from_array(np.asarray(adata.X), chunks=(64, 8)))
    for other in (backed, lazy):
        cluster(other, range(2, 4), key_added="again", **settings)
        assert other.obs["again"].tolist() == adata.obs["gaussmix"].tolist()
        np.testing.assert_array_equal(other.uns["again"]["means"], stored["means"])
    assert isinstance(lazy.obsm["again_proba"], da.Array)
    np.testing.assert_array_equal(lazy.obsm["again_proba"].compute(), adata.obsm["gaussmix_proba"])
    with pytest.raises(ValueError, match=r"a view of a file, .* Pass adata.to_memory\(\)"):
        cluster(backed[:50], 2)
    backed.file.close()


def mixture_of(stored, weights=None):
    parameters = {name: stored[name] for name in ("weights", "means", "covariances", "covariance_type")}
    return Mixture.from_parameters(**parameters | ({} if weights is None else {"weights": weights}))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("structure", sorted(FAMILIES))
def test_parameters_in_uns_reproduce_the_mixture_of_float32_rows(adata, structure):
    """Check that covariances, which the estimator returns in float32, have the same bits."""
    if structure in ("E", "V"):
        adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :1]
    adata.obsm["X_pca"] = adata.obsm["X_pca"].astype(np.float32)
    fitted = cluster(adata, 2, use_rep="X_pca", covariance_type=structure, random_state=0, max_iter=5)
    stored = mixture_of(adata.uns["gaussmix"])
    if isinstance(fitted.mixture_.family, FactorAnalyzer):
        np.testing.assert_allclose(
            stored.log_density(adata.obsm["X_pca"]), fitted.mixture_.log_density(adata.obsm["X_pca"]), rtol=1e-10
        )
    else:
        assert stored == fitted.mixture_


def test_a_selection_among_factor_analyzers_can_be_written_to_a_file(adata, tmp_path):
    del adata.layers["dense"]
    structures = ["diag", FactorAnalyzer(1), FactorAnalyzer(1, shared_loadings=True, shared_noise=True)]
    fitted = cluster(adata, [2, 200], use_rep="X_pca", covariance_type=structures, random_state=0)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    results = anndata.read_h5ad(tmp_path / "cells.h5ad").uns["gaussmix"]["results"]
    assert results["n_factors"].isna().sum() == 2
    assert results["failure"].tolist() == [each or "" for each in fitted.results_["failure"]]
    shared = anndata.AnnData(obsm={"rows": adata.obsm["X_pca"]})
    fitted = cluster(shared, 2, use_rep="rows", covariance_type=structures[2], random_state=0)
    stored = mixture_of(shared.uns["gaussmix"])
    rows = adata.obsm["X_pca"]
    np.testing.assert_allclose(stored.log_density(rows), fitted.score_samples(rows), rtol=1e-10)


def test_noise_and_trimmed_rows_are_in_the_category_minus_1(adata):
    fitted = cluster(adata, 3, use_rep="X_pca", noise=Noise(), random_state=0)
    assert adata.obs["gaussmix"].cat.categories.tolist() == ["-1", "0", "1", "2"]
    weights = adata.uns["gaussmix"]["weights"]
    stored = mixture_of(adata.uns["gaussmix"], weights / weights.sum())
    np.testing.assert_array_equal(stored.means, fitted.mixture_.means)
    cluster(adata, 3, use_rep="X_pca", trim=0.1, random_state=0)
    assert (adata.obs["gaussmix"] == "-1").sum() == 15


@pytest.mark.filterwarnings("ignore::anndata.ImplicitModificationWarning")
def test_cluster_accepts_a_view_in_memory(adata):
    view = adata[::2]
    assert view.is_view
    cluster(view, 3, use_rep="X_pca", random_state=0)
    assert len(view.obs["gaussmix"]) == 75
    assert "gaussmix" not in adata.obs


def test_cluster_fits_the_rows_that_use_rep_names_or_raises(adata):
    cluster(adata, 2, use_rep="dense", random_state=0)
    assert adata.uns["gaussmix"]["means"].shape == (2, 8)
    with pytest.raises(TypeError, match=r"needs several .* Pass n_components=\[3\], or leave out criterion"):
        cluster(adata, 3, use_rep="X_pca", criterion="stability")
    with pytest.raises(TypeError, match=r"adata.X is sparse, .* scanpy.pp.pca\(adata\), and set use_rep='X_pca'"):
        cluster(adata, 2)
    with pytest.raises(KeyError, match=r"use_rep='X_umap' is not a key of obsm or layers\. Known keys: 'X_pca'"):
        cluster(adata, 2, use_rep="X_umap")
    with pytest.raises(ValueError, match=r"adata.X is empty\. Set use_rep to a key"):
        cluster(anndata.AnnData(obsm={"X_pca": np.eye(9)}), 2)
