"""A report on a fit as one self-contained HTML page, with text, tables and pictures."""

from __future__ import annotations

import math
import sys
import warnings
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template
from typing import Any

import numpy as np

from gaussmix._src.cli.show.report_data import ReportData, covariances_text
from gaussmix._src.cli.show.reports import in_digits, mark
from gaussmix._src.errors import counted
from gaussmix._src.fit.criteria import HIGHER_IS_BETTER, criterion_title
from gaussmix._src.mixture.missing_values import density_p_value
from gaussmix._src.mixture.words import mean_and_deviation, weight_text
from gaussmix._src.plot.component_display import N_MANY
from gaussmix._src.plot.criterion_display import CriterionDisplay
from gaussmix._src.plot.display import import_pyplot
from gaussmix._src.plot.pair_display import PairDisplay
from gaussmix._src.plot.palette import component_pens
from gaussmix._src.plot.subject import overall
from gaussmix._src.plot.uncertainty_display import UncertaintyDisplay
from gaussmix._src.report.estimates import with_intervals
from gaussmix._src.report.messages import failed_sentence
from gaussmix._src.version import package_version

MAX_PAIR_FEATURES = 5  # maximum number of features in the pair plot
_MAX_PICTURE_ROWS = 5_000  # maximum number of rows in each plot except the pair plot
_MAX_PAIR_ROWS = 2_000  # maximum number of rows in each plot of the pair plot
_N_WORST = 10  # number of rows in the table of worst rows
_MAX_P_VALUES = 200  # maximum number of p-values for this table; a p-value of an incomplete row takes up to 15 ms
_CJK_FONTS = "CJK", "YaHei", "PingFang", "Hiragino Sans", "Malgun Gothic", "Arial Unicode MS"  # parts of names
_FIRST_CJK = 0x2E80  # code point from which characters are mostly Chinese, Japanese or Korean
_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
_WEIGHT_WORDS = {"frequency": "frequencies", "precision": "precisions, scaled to a mean of 1"}

Cell = tuple[str, float]  # text of a cell, and the number by which the cell is sorted


def page(findings: ReportData, data: str, code: str) -> str:
    """Write the page about the table `data`, with Python code for the fit; raise ImportError without matplotlib."""
    pyplot = import_pyplot()
    pyplot.switch_backend("Agg")
    n_rows, n_features = findings.rows.shape
    size = f"{counted(n_rows, 'row')}, {counted(n_features, 'feature')}"
    template = Template(files("gaussmix._src.cli.show").joinpath("page.html").read_text(encoding="utf-8"))
    with pyplot.rc_context({"font.family": _font_families(pyplot.rcParams["font.family"], findings.names)}):
        return template.substitute(
            title=escape(f"{data}: {counted(findings.mixture.n_components, 'component')}"),
            lead=escape(f"{size}. Written by gaussmix {package_version()}."),
            words="\n".join(f"<p>{escape(sentence)}</p>" for sentence in findings.sentences()),
            components=_components(findings),
            inference=_inference(findings),
            pairs=_pairs(findings),
            criterion=_criterion(findings),
            uncertainty=_uncertainty(findings),
            worst=_worst(findings),
            fit=_fit(findings),
            code=escape(code),
        )


def _font_families(usual: list[str], names: Sequence[str]) -> list[str]:
    """Return font families for pictures; names in Chinese, Japanese or Korean need one of the installed fonts."""
    from matplotlib.font_manager import fontManager

    if max(map(ord, "".join(names)), default=0) < _FIRST_CJK:
        return usual
    return [*usual, *sorted({font.name for font in fontManager.ttflist if any(map(font.name.count, _CJK_FONTS))})]


def _components(findings: ReportData) -> str:
    mixture = findings.mixture
    columns = [[(weight_text(weight), weight) for weight in mixture.weights.tolist()]]
    columns.append([(f"{count:,}", count) for count in findings.counts.tolist()])
    for j in range(mixture.n_features):
        texts = mean_and_deviation(mixture.means[:, j], findings.deviations[:, j])
        columns.append(list(zip(texts, mixture.means[:, j].tolist(), strict=True)))
    pens = component_pens(mixture.n_components)
    swatches = [f'<span class="swatch" style="background: {_css(pen.color)}"></span>' for pen in pens]
    first = [(f"{swatch}{k}", float(k)) for k, swatch in enumerate(swatches)]
    headings = ["component", "weight", "rows", *map(escape, findings.names)]
    return _table("Components", headings, zip(first, *columns, strict=True))


def _inference(findings: ReportData) -> str:
    """Write the table of standard errors and intervals of weights and means."""
    estimates = findings.inference
    if estimates is None:
        return ""
    rows = [
        [(escape(name), float(index)), *zip(texts, map(_sorted, numbers), strict=True)]
        for index, (name, texts, numbers) in enumerate(with_intervals(estimates))
        if not name.startswith(("variance", "covariance"))
    ]
    headings = ["", "estimate", "standard error", "95 %: from", "to"]
    notes = "".join(f"<p>{escape(note)}</p>" for note in (f"By {estimates.method}.", *estimates.notes))
    return f"<h2>Standard errors</h2>\n{_table('Standard errors', headings, rows)}\n{notes}"


def _css(color: Any) -> str:
    from matplotlib.colors import to_hex

    return str(to_hex(color))


def _worst(findings: ReportData) -> str:
    """Write the table of the rows with the lowest p-values, which are comparable even if some cells are empty."""
    mixture, rows = findings.mixture, findings.rows
    spread = overall(mixture.weights, mixture.means, findings.deviations**2)[1]
    # A row's log density minus its mean under independent features has no unit, so it can choose rows for p-values.
    excess = findings.log_density + ~np.isnan(rows) @ (np.log(spread) + 0.5 * np.log(2 * np.pi * np.e))
    candidates = np.argsort(excess, kind="stable")[:_MAX_P_VALUES]
    p_values = density_p_value(rows[candidates], mixture.without_noise)
    order = np.lexsort((excess[candidates], p_values))[:_N_WORST]
    worst = candidates[order]
    labels = findings.labels[worst].tolist()
    indices = worst if findings.row_indices is None else findings.row_indices[worst]
    columns = [[(f"{row:,}", row) for row in indices.tolist()]]
    columns.append([(str(label) if label >= 0 else "noise", label) for label in labels])
    columns.append([(f"{value:.4g}", value) for value in findings.log_density[worst].tolist()])
    headings = ["row, from 0", "component", "log density, nats", "p-value"]
    columns.append([(f"{p:.2g}", p) for p in p_values[order].tolist()])
    columns += [list(map(_cell, column)) for column in rows[worst].T.tolist()]
    return _table("Rows that fit worst", [*headings, *map(escape, findings.names)], zip(*columns, strict=True))


def _sorted(value: float) -> float:
    """Return the number by which a table sorts a value; NaN is sorted like the smallest number."""
    return -sys.float_info.max if math.isnan(value) else value


def _cell(value: float) -> Cell:
    """Return a cell of a data table; a missing value is shown as an empty cell and sorted like the smallest number."""
    digits = 12 if abs(value) >= 1e6 else 6  # large values may be dates or numbers that identify rows
    return "" if math.isnan(value) else f"{value:.{digits}g}", _sorted(value)


def _table(name: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Write an HTML table whose headings are buttons that sort the table."""
    head = "".join(f'<th scope="col"><button type="button">{heading}</button></th>' for heading in headings)
    lines = ("".join(f'<td data-value="{value!r}">{text}</td>' for text, value in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _pairs(findings: ReportData) -> str:
    features = findings.distinguishing_features(MAX_PAIR_FEATURES)
    shown, note = _shown_rows(findings, _MAX_PAIR_ROWS)
    drawn = PairDisplay.from_estimator(findings.mixture, features=features, **shown)
    names, n_shown = findings.named(features), len(features)
    which = f"the {n_shown} features that tell the components apart best" if n_shown < len(findings.names) else ""
    reach = "two" if findings.mixture.n_components >= N_MANY else "one and two"
    what = f"Ellipses show {reach} standard deviations of each component."
    if n_shown == 1:
        what = "The histogram shows the rows, and each curve a component."
    caption = f"{what} {note}{which and f'Shown: {which}.'}"
    alt = f"Rows and components in {names}{', two features at a time' * (n_shown > 1)}."
    picture = _picture(drawn.figure_, alt, caption)
    return f'<div class="wide" tabindex="0" role="region" aria-label="Rows and components">{picture}</div>'


def _criterion(findings: ReportData) -> str:
    selection = findings.selection
    if selection is None or len(selection.results_["structure"]) < 2:
        return ""
    chosen = f"{findings.mixture.n_components} components, {findings.mixture.family.name} covariances"
    criteria, pictures = [selection.criterion], []
    if selection.criterion in HIGHER_IS_BETTER:
        criteria.append("bic")  # shows whether the most common criterion agrees with cross-validation or stability
    for criterion in criteria:
        drawn = CriterionDisplay.from_estimator(selection, criterion=criterion)
        alt = f"{criterion_title(criterion)} of every candidate over the number of components; chosen: {chosen}."
        pictures.append(_picture(drawn.figure_, alt, "The ring marks the chosen model.", "svg"))
    return "\n".join(["<h2>How many components</h2>", *pictures])


def _uncertainty(findings: ReportData) -> str:
    if findings.mixture.n_components == 1 and findings.mixture.noise is None:
        return "<p>There is a single component, so every row belongs to it.</p>"
    pair = findings.distinguishing_features(2)
    shown, note = _shown_rows(findings, _MAX_PICTURE_ROWS)
    drawn = UncertaintyDisplay.from_estimator(findings.mixture, features=pair, **shown)
    alt = f"Rows in {findings.named(pair)}; large points lie between components."
    return _picture(drawn.figure_, alt, f"The larger a point, the less certain its component. {note}")


def _shown_rows(findings: ReportData, limit: int) -> tuple[dict[str, Any], str]:
    """Return arguments of a display with at most `limit` rows, and a sentence if these rows are a random sample."""
    words, weight = "", findings.row_weight
    indices = np.arange(len(findings.rows)) if weight is None else np.flatnonzero(weight > 0)
    if len(indices) > limit:
        indices = np.sort(np.random.default_rng(0).choice(indices, limit, replace=False))
        words = f"The picture shows {limit:,} rows drawn at random. "
    weight = None if weight is None else weight[indices]
    return {"X": findings.rows[indices], "sample_weight": weight, "feature_names": list(findings.names)}, words


def _picture(figure: Any, alt: str, caption: str, kind: str = "png") -> str:
    """Write a figure as an HTML element with embedded data."""
    target = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box, because no font has it
        figure.savefig(target, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else None)
    import_pyplot().close(figure)
    source = f"data:{_MEDIA_TYPES[kind]};base64,{b64encode(target.getvalue()).decode()}"
    image, below = f'<img alt="{escape(alt)}" src="{source}">', f"<figcaption>{escape(caption.strip())}</figcaption>"
    return f"<figure>{image}\n{below}</figure>"


def _fit(findings: ReportData) -> str:
    mixture, selection = findings.mixture, findings.selection
    lines = [f"{counted(mixture.n_components, 'component')}, {covariances_text(mixture.family)}"]
    mean = findings.mean(findings.log_density)
    lines.append(f"Mean log-likelihood {mean:.4f} nats per row, {mixture.n_parameters} parameters")
    if findings.row_weight is not None:
        meaning = "" if selection is None else f", which are {_WEIGHT_WORDS[selection.weight_type]}"
        lines.append(f"Rows counted by their weights{meaning}")
    if not findings.is_complete.all():
        lines.append(f"{counted(int((~findings.is_complete).sum()), 'row')} with empty cells, whose other cells count")
    if selection is not None:
        values = selection.results_[selection.criterion]
        best = f"{criterion_title(selection.criterion)} {in_digits(values[selection.best_index_], selection.criterion)}"
        n_fitted = sum(why is None for why in selection.results_["failure"])
        lines.append(f"{best}, the {mark(selection.criterion)} of {counted(n_fitted, 'fitted candidate')}")
        if mixture.noise is not None:
            lines.append("A uniform background besides the components, over the smaller of two boxes around the rows")
        lines.append(f"EM from {selection.init_params} starts, {counted(selection.n_iter_, 'step')}")
        lines += filter(None, [failed_sentence(selection.results_)])
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in lines) + "\n</ul>"
