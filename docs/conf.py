"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gaussmix import FAMILIES
from gaussmix.families import ALIASES

project = "gaussmix"
author = "the gaussmix developers"
copyright = "the gaussmix developers, BSD-3-Clause"
release = version = installed_version("gaussmix")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # a copy of MathJax, so that formulas need no network
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
]
default_role = "code"
exclude_patterns = ["_build", "paper"]

html_theme = "pydata_sphinx_theme"
html_title = f"gaussmix {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_search_scorer = str(Path(__file__).parent / "_static/search_scorer.js")  # decisions come last
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
html_show_sourcelink = False
html_copy_source = False

# `nox -s docs` runs every plot_*.py. A script that fails fails the build.
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1,
    "write_computation_times": False,
    "within_subsection_order": "FileNameSortKey",
    "thumbnail_size": (400, 280),
}
plot_working_directory = str(Path(__file__).parents[1])  # where the programs of the guide run
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 110)]

autodoc_mock_imports = ["pyspark"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Words that people search for: the search then shows the page, or its section, first, whatever other pages say. The
# words of an entry count in any order and form, also beside other words (`_static/search_scorer.js`).
SEARCH_WORDS = {
    "answered/collapse#Expected n_samples >= n_components": "fewer rows components, number samples components",
    "answered/large#Unexpected keyword argument n_jobs": "cores, jobs, n_jobs, parallel, threads",
    "answered/not-yet#Heavy tails": "heavy tails, student t, t distribution",
    "answered/known#Feed the covariances of one fit into the next": "continue fit, warm start, warm_start",
    "answered/known#Soft labels": "fuzzy labels, soft labels, uncertain labels",
    "answered/missing-weights#Fit a mixture to an image of intensities": "histogram, image intensities",
    "answered/starts#Cluster labels are switched when the analysis is rerun": "label order, label switching, relabel",
    "guide/bayesian": "bayesian mixture, dirichlet process, dirichlet process clusters, variational",
    "guide/bayesian#A normaliser of many columns": "ctgan normalization, mode-specific normalization",
    "guide/bayesian#How sure": "credible interval, posterior draws, posterior samples",
    "guide/checkpoints": "checkpoint, crash, resume",
    "guide/choosing": (
        "aic, bic, elbow, k, many clusters, many components, model selection, number clusters, number components"
    ),
    "guide/choosing#What decides": "cross-validation, icl, stability",
    "guide/choosing#When it takes long": "max_time, time limit, timeout",
    "guide/choosing#More components than clusters": "merge clusters, merge components",
    "guide/clusters": "dask, ray, spark",
    "guide/command-line": "cli, command line, csv, shell, terminal",
    "guide/distribution": "cdf",
    "guide/distribution#Fewer components, and their order": (
        "fewer components, mixture reduction, reduce components, reduce number components"
    ),
    "guide/distribution#From numbers, draws, and other libraries": (
        "convert scikit-learn, convert sklearn, from_parameters, from_sklearn"
    ),
    "guide/distribution#How far apart two mixtures are": (
        "distance mixtures, divergence, kl divergence, kullback-leibler"
    ),
    "guide/distribution#Modes and thresholds": "find modes, modes, peaks",
    "guide/distribution#Predict features from known ones": "conditional, predict columns",
    "guide/distribution#Probabilities and quantiles": "quantile, tail probability, value at risk",
    "guide/export": "convert code, deploy, export, microcontroller, onnx, sql",
    "guide/factor-analysers": "high dimensional, high-dimensional data, many features",
    "guide/files": (
        "big data, csv gb, huge csv, large csv, large files, memory, memory error, memory usage, memoryerror"
    ),
    "guide/files#Object stores and web servers": "s3",
    "guide/from-mclust": "mclust, mclust model names, r",
    "guide/from-scikit-learn#GPUs": "cuda, gpu",
    "guide/from-scikit-learn#Watch a fit while it runs": "callbacks, progress bar, verbose",
    "guide/from-scikit-learn#What is the same": "float32",
    "guide/getting-started#Install": "install, macos, pip install, windows",
    "guide/getting-started#Use": (
        "certain assignment, cluster assignment, cluster probabilities, draw, generate samples, "
        "get labels, membership, new rows, "
        "predict labels, training labels, probabilities, sample, sample rows, score_samples, synthetic data"
    ),
    "guide/getting-started#Which covariances?": (
        "covariance types, covariance_type, equal variances, spherical, tied, vvv"
    ),
    "guide/getting-started#A better maximum": (
        "init_params, initialization, kmeans initialization, local maximum, n_init"
    ),
    "guide/getting-started#Fewer steps": "fit faster, make faster, slow convergence, slow fit, speed fit",
    "guide/getting-started#When a fit is not what you hoped": "convergence, convergencewarning",
    "guide/getting-started#Seeds, units and weights": (
        "feature scaling, random seed, reproducibility, reproducible, same result, sample weights, "
        "sample_weight, seed, scale features, scaling, standardize, weights"
    ),
    "guide/getting-started#Components that collapse": "collapse, not positive definite, singular, singular covariance",
    "guide/inference": "bootstrap, confidence interval, parameter uncertainty, standard errors",
    "guide/inference#How many components?": "bootstrap likelihood ratio, likelihood ratio test, test number components",
    "guide/labels": "known labels, semi-supervised",
    "guide/many": "fit_many, groups, many fits, many small, mixture group, small mixtures",
    "guide/missing": "imputation, missing data, missing values, nan",
    "guide/missing#Measurement errors": (
        "correlated errors, covariance errors, deconvolution, error bars, measurement errors, x_error"
    ),
    "guide/model-files": "joblib, json, load model, pickle, save, save model",
    "guide/noise": "background, background contamination, background noise, noise, noise component",
    "guide/numbers": "log-likelihood, nats, tol",
    "guide/numbers#In short": "bic lower, lower better",
    "guide/numbers#Log density and units": "log density",
    "guide/numbers#The ridge": "reg_covar",
    "guide/other-tools#AnnData": "anndata, h5ad file, scanpy, single cell",
    "guide/other-tools#Hidden Markov models: hmmlearn": "hidden markov model, hmm, time series",
    "guide/outliers": "anomaly, outlier, outlier detection, outlier threshold",
    "guide/outliers#Fit in spite of outliers": (
        "robust clustering, robust fit, trim, trimmed clustering, trimmed mixture"
    ),
    "guide/pictures": "plot, plot ellipses, visualization",
    "guide/pictures#Components": "density histogram, histogram fit",
    "guide/pictures#Density": "plot density",
    "guide/pictures#Number of components": "bic curve, plot bic",
    "guide/prediction": "classification, regression",
    "guide/priors": "prior",
    "guide/priors#Parameters that keep their values": "fix means, fix parameters, fix weights, fixed_means, hold means",
    "guide/priors#Weights": "equal weights, min_weight, minimum cluster size",
    "guide/reading": "summary, tidy",
    "guide/reading#Several fits side by side": "compare fits, compare models",
    "guide/reading#Why this component?": "explain, feature importance, features separate",
    "guide/streams": "incremental, new batch, online, online update, partial_fit, streaming, update model",
    "guide/tables": "column names, data frame, dataframe, pandas, pandas dataframe, polars",
    "guide/tables#Columns that hold no numbers": "categorical, one-hot, text column",
    "index#How fast": "benchmark, speed",
    "index#License and citation": "citation, cite, licence, license",
    "reference/estimator": "predict_proba, random_state",
}

toc_object_entries_show_parents = "hide"  # beside a class is no room for `GaussianMixture.` in each line
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more: shapes and units
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


class RegisteredFamilies(SphinxDirective):
    """`.. families::` lists the registered families: their names, then their class."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for name, family in FAMILIES.items():
            names = [name, *(alias for alias, own in ALIASES.items() if own == name)]
            lines += [".. rubric:: " + ", ".join(f"``{each}``" for each in names), ""]
            lines += [f".. autoclass:: {type(family).__module__}.{type(family).__name__}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def add_search_words(app: Sphinx, page: str, source: list[str]) -> None:
    """Make words main entries of the index, below their page's title or a heading: these rank above all text."""
    for place, words in SEARCH_WORDS.items():
        name, _, heading = place.partition("#")
        if name == page:
            line = f"## {heading}\n" if heading else source[0].partition("\n")[0] + "\n"
            entries = ", ".join(f"! {word}" for word in words.split(", "))
            source[0] = source[0].replace(line, f"{line}\n```{{index}} {entries}\n```\n", 1)


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_search_words)
    app.add_directive("families", RegisteredFamilies)
