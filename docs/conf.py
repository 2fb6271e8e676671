"""How Sphinx builds the documentation: `nox -s docs`."""

from importlib.metadata import version as installed_version

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

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more: shapes and units
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
