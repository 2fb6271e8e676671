"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

from importlib.metadata import version as installed_version

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gaussmix import FAMILIES
from gaussmix.families import ALIASES

project = "gaussmix"
author = "the gaussmix developers"
copyright = "the gaussmix developers, BSD-3-Clause"
release = version = installed_version("gaussmix")

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
default_role = "code"
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"gaussmix {release}"
html_theme_options = {"source_edit_link": "", "source_view_link": ""}
html_show_sourcelink = False
html_copy_source = False

autodoc_mock_imports = ["pyspark"]
myst_heading_anchors = 3

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


def setup(app: Sphinx) -> None:
    app.add_directive("families", RegisteredFamilies)
