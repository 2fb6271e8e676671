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

# Words that people search for: Sphinx's search then shows the page first, whatever other pages say.
SEARCH_WORDS = {
    "guide/checkpoints": ["resume"],
    "guide/choosing": ["aic", "bic", "number of clusters", "number of components"],
    "guide/clusters": ["dask", "ray", "spark"],
    "guide/command-line": ["csv"],
    "guide/distribution": ["kl divergence", "quantile", "sample"],
    "guide/from-scikit-learn": ["callbacks", "gpu", "progress bar"],
    "guide/getting-started": ["covariance_type", "install", "sample_weight"],
    "guide/inference": ["bootstrap", "confidence interval", "standard error"],
    "guide/labels": ["semi-supervised"],
    "guide/missing": ["imputation", "missing values", "nan"],
    "guide/model-files": ["load model", "pickle", "save"],
    "guide/numbers": ["convergence", "tol"],
    "guide/outliers": ["anomaly", "outlier threshold"],
    "guide/pictures": ["plot"],
    "guide/prediction": ["classification", "regression"],
    "guide/reading": ["summary", "tidy"],
    "guide/streams": ["online", "partial_fit"],
    "reference/estimator": ["predict_proba", "random_state"],
}

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
    """Make the words of a page main entries of the index, below its title: the search ranks these above all text."""
    if page in SEARCH_WORDS:
        title, _, text = source[0].partition("\n")
        words = ", ".join(f"! {word}" for word in SEARCH_WORDS[page])
        source[0] = f"{title}\n\n```{{index}} {words}\n```\n{text}"


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_search_words)
    app.add_directive("families", RegisteredFamilies)
