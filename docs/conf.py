"""Settings of Sphinx, which builds the documentation: `nox -s docs`."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from inspect import getdoc
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext import autosummary
from sphinx.util.docutils import SphinxDirective

from gaussmix import FAMILIES
from gaussmix._src.families import ALIASES

project = "gaussmix"
author = "the gaussmix developers"
copyright = "the gaussmix developers, BSD-3-Clause"
release = version = installed_version("gaussmix")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # a copy of MathJax, so that formulas need no network
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
]
default_role = "code"
exclude_patterns = ["_build", "paper"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = f"gaussmix {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
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
    "min_reported_time": 60,  # shorter times depend more on the machine than on the program
    "write_computation_times": False,
    "within_subsection_order": "FileNameSortKey",
    "thumbnail_size": (400, 280),
}
plot_working_directory = str(Path(__file__).parents[1])  # folder in which the programs of the guide run
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 110)]

autodoc_mock_imports = ["pyspark"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

toc_object_entries_show_parents = "hide"  # no room for `GaussianMixture.` in each line
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings contain more: shapes and units
autosummary.WELL_KNOWN_ABBREVIATIONS += ("eq.", "J.")  # abbreviations that do not end a sentence
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


class RegisteredFamilies(SphinxDirective):
    """Directive `.. families::`, which lists the names of the registered structures with their class or docstring."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for name, family in FAMILIES.items():
            names = [name, *(alias for alias, own in ALIASES.items() if own == name)]
            lines += [".. rubric:: " + ", ".join(names), ""]
            public = type(family).__module__ == "gaussmix"
            lines += [f":class:`~gaussmix.{type(family).__name__}`" if public else getdoc(family) or "", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def join_descriptions(app: Sphinx, tree: nodes.document) -> None:
    """Join the first line of a description, which is where numpydoc expects a type, with the following lines."""
    for item in tree.findall(nodes.definition_list_item):
        *_, beside, below = item.children
        goes_on = isinstance(beside, nodes.classifier) and len(item[0].astext() + beside.astext()) > 85  # a full line
        if goes_on and below.children and isinstance(below[0], nodes.paragraph):
            beside += [nodes.Text(" "), *below[0].children]
            del below[0]


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", join_descriptions)
    app.add_directive("families", RegisteredFamilies)
