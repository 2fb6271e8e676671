"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from heapq import nlargest
from importlib.metadata import version as installed_version
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext import autosummary
from sphinx.search.en import SearchEnglish
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
html_search_scorer = str(Path(__file__).parent / "_static/search_scorer.js")  # shows what `index_sections` finds
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
    "min_reported_time": 60,  # what shorter ones took says more of the machine
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

# What counts how much in the search: the sections of pages, by the beginning of their names; a word in
# `search_words.txt`, in a title and in a text; and the share that is left of a word that says little.
SEARCH_PAGES = {"guide/": 1.0, "answered/": 0.85, "gallery/": 0.8, "index": 0.8, "reference/": 0.7, "": 0.4}
IN_WORDS, IN_TITLE, IN_TEXT, WEAK = 6.0, 5.0, 0.3, 0.2
ENGLISH = SearchEnglish({})

toc_object_entries_show_parents = "hide"  # no room for `GaussianMixture.` in each line
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more: shapes and units
autosummary.WELL_KNOWN_ABBREVIATIONS += ("eq.", "J.")  # which end no sentence
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


class RegisteredFamilies(SphinxDirective):
    """`.. families::` lists the registered families: their names, then their class."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for name, family in FAMILIES.items():
            names = [name, *(alias for alias, own in ALIASES.items() if own == name)]
            lines += [".. rubric:: " + ", ".join(names), ""]
            lines += [f".. autoclass:: {type(family).__module__}.{type(family).__name__}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def stem(word: str) -> str:
    """The stem of a word. Covariates would have that of covariances."""
    return "covariate" if word.lower().startswith("covariate") else ENGLISH.stem(word)


def stems(text: str) -> Iterator[str]:
    """The stems of words, and of the parts of names such as `sample_weight`, as `search_scorer.js` finds them."""
    for name in re.findall(r"\w+", text):
        for word in dict.fromkeys([name, *re.findall(r"[A-Z]?[a-z]+|[A-Z]{2,}", name)]):
            if not word.isdigit() and word.lower() not in ENGLISH.stopwords:
                yield stem(word)


def phrases(text: str) -> Iterator[str]:
    """The stems of words between commas, and the pairs of neighbours."""
    for part in text.split(","):
        found = [*stems(part)]
        yield from found
        yield from map(" ".join, pairwise(found))


def sections_of(tree: nodes.document) -> Iterator[tuple[str, str, str]]:
    """Anchor, title and text of each section, and of each name of the reference."""
    found: dict[nodes.Element, list[str]] = {}
    for text in tree.findall(nodes.Text):
        above = text.parent
        while not isinstance(above, (nodes.section, addnodes.desc, nodes.raw, nodes.comment, nodes.document)):
            above = above.parent
        if isinstance(above, (nodes.section, addnodes.desc)):
            found.setdefault(above, []).append(text.astext())
    for part, texts in found.items():
        named = part[0] if isinstance(part, addnodes.desc) else part
        title = part.next_node(nodes.title).astext() if named is part else named.get("fullname", texts[0])
        yield (named["ids"] or [""])[0], title.replace("’", "'"), " ".join(texts)


def index_sections(app: Sphinx, page: str, template: str, context: object, tree: object) -> None:
    """Write what `search_scorer.js` needs beside the page of the search: how much each stem counts for each section.

    That is BM25F (Robertson & Zaragoza 2009) without the lengths of the texts, of the 30 best sections for each stem.
    """
    if page != "search":
        return
    lines = (Path(app.srcdir) / "search_words.txt").read_text(encoding="utf-8").splitlines()
    words = dict(line.rsplit(": ", 1) for line in lines if line[0] not in "#-")
    weak = {stem for line in lines if line[0] == "-" for stem in stems(line)}
    places: list[tuple[str, str, str]] = []
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for name in sorted(app.env.found_docs):
        top = app.env.titles[name].astext().replace("’", "'")
        factor = next(factor for start, factor in SEARCH_PAGES.items() if name.startswith(start))
        for anchor, title, text in sections_of(app.env.get_doctree(name)):
            said = words.get(name if title == top else f"{name}#{title}", "")
            count = Counter(dict.fromkeys(phrases(said), IN_WORDS))
            for weight, each in (IN_TITLE, phrases(title)), (IN_TEXT, stems(text)):
                count.update({stem: weight * number for stem, number in Counter(each).items()})
            for stem, number in count.items():
                weight = factor * (WEAK if {*stem.split()} <= weak else 1.0) / (1 + name.endswith("/index"))
                found[stem][len(places)] = weight * number / (number + 2)
            shown = title if title == top or name.startswith("reference/") else f"{top} > {title}"
            places.append((name, anchor, shown))
    most = {}
    for stem, weights in found.items():
        rare = 100 * math.log(1 + (len(places) - len(weights) + 0.5) / (len(weights) + 0.5))
        best = nlargest(30, weights.items(), key=itemgetter(1))
        most[stem] = [(place, round(rare * weight)) for place, weight in best]
    data = json.dumps({"places": places, "stems": most}, ensure_ascii=False, separators=(",", ":"))
    (Path(app.outdir) / "_static/sections.js").write_text(f"const SECTIONS = {data};\n", encoding="utf-8")
    app.add_js_file("sections.js")  # of this page only


def join_descriptions(app: Sphinx, tree: nodes.document) -> None:
    """Our docstrings begin a description beside its name, where others have a type. Join what the next lines say."""
    for item in tree.findall(nodes.definition_list_item):
        *_, beside, below = item.children
        goes_on = isinstance(beside, nodes.classifier) and len(item[0].astext() + beside.astext()) > 85  # a full line
        if goes_on and below.children and isinstance(below[0], nodes.paragraph):
            beside += [nodes.Text(" "), *below[0].children]
            del below[0]


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", join_descriptions)
    app.connect("html-page-context", index_sections)
    app.add_directive("families", RegisteredFamilies)
