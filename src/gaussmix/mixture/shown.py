"""How a mixture is shown: in a line, and in notebooks as a table with a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from gaussmix.errors import counted
from gaussmix.mixture.base import MixtureBase
from gaussmix.mixture.digits import mean_and_deviation, share, shorten
from gaussmix.mixture.sketch import names_of, sketch

MOST_FEATURES, MOST_COMPONENTS = 8, 30  # of a table in a notebook
_MOST_NAMES, _MOST_WEIGHTS = 5, 6  # of a line


class Shown(MixtureBase):
    """What a terminal and a notebook print of a mixture."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {line_of(self)}>"

    def _repr_html_(self) -> str:
        table = table_html(*table_of(self))
        return f'<div><p>{escape(size_of(self))}</p><div style="overflow-x:auto">{table}</div>{sketch(self)}</div>'


def size_of(mixture: MixtureBase) -> str:
    """ "2 components, full, 2 features", and the options of the structure."""
    family = mixture.family
    options = ", ".join(f"{name}={value}" for name, value in family.options.items())
    structure = f"{family.name} ({options})" if options else family.name
    return f"{counted(mixture.n_components, 'component')}, {structure}, {counted(mixture.n_features, 'feature')}"


def line_of(mixture: MixtureBase) -> str:
    """The size, the names of the first features and the weights of the first components."""
    names = [shorten(name) for name in (mixture.feature_names or ())[:_MOST_NAMES]]
    more = ", …" if names and mixture.n_features > _MOST_NAMES else ""
    features = f" ({', '.join(names)}{more})" if names else ""
    weights = ", ".join(f"{weight:.3g}" for weight in mixture.weights[:_MOST_WEIGHTS])
    rest = ", …" if mixture.n_components > _MOST_WEIGHTS else ""
    noise = "" if mixture.noise is None else f", noise {mixture.noise.weight:.3g}"
    return f"{size_of(mixture)}{features}, weight{'s' * (mixture.n_components > 1)} {weights}{rest}{noise}"


def table_of(mixture: MixtureBase) -> tuple[list[str], list[list[str]]]:
    """Header and rows: number, weight, and mean ± sd of the first features, of the first components and of noise."""
    K, d = min(mixture.n_components, MOST_COMPONENTS), min(mixture.n_features, MOST_FEATURES)
    deviations = np.sqrt(mixture.model.covariances.variances())
    columns = [[str(k) for k in range(K)], [share(weight) for weight in mixture.weights[:K]]]
    columns += [mean_and_deviation(mixture.means[:K, j], deviations[:K, j]) for j in range(d)]
    header = ["component", "weight", *map(shorten, names_of(mixture)[:d])]
    if d < mixture.n_features:
        header.append(f"… {mixture.n_features - d:,} more")
    rows = [list(row) for row in zip(*columns, strict=True)]
    if mixture.n_components > K:
        rows.append([f"… {mixture.n_components - K:,} more"])
    if mixture.noise is not None:
        rows.append(["noise", share(mixture.noise.weight)])
    return header, rows


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in HTML, in the colours of the page; rows may be short."""
    style = 'style="text-align:right;padding:0.2em 0.7em;white-space:nowrap"'
    top = "".join(f'<th scope="col" {style}>{escape(cell)}</th>' for cell in header)
    body = []
    for first, *others in rows:
        cells = [*others, *[""] * (len(header) - 1 - len(others))]
        tail = "".join(f"<td {style}>{escape(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row" {style}>{escape(first)}</th>{tail}</tr>')
    return f'<table style="color:inherit"><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table>'
