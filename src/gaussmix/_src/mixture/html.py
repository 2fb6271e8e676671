"""Representations of a mixture for notebooks: an HTML table with a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from gaussmix._src.mixture.base import MixtureBase
from gaussmix._src.mixture.words import mean_and_deviation, names_of, shorten, size_of, weight_text
from gaussmix._src.numerics.arrays import Array, Indices

MAX_FEATURES, MAX_COMPONENTS = 8, 30  # largest numbers of columns and rows of a table in a notebook
WIDTH, HEIGHT = 340.0, 240.0  # size of the picture in pixels
_LEFT, _BOTTOM, _EDGE = 20.0, 22.0, 8.0
MAX_DRAWN_DEVIATIONS = 1e3  # distance from the mean, in standard deviations, beyond which the density is drawn as 0
MAX_DRAWN = 30  # largest number of components in a small picture, which shows the components with the largest weights
# The colours are from Okabe and Ito (2008), Color Universal Design; Wong (2011), Nature Methods 8, 441. The
# colours can be distinguished with every type of colour vision. Two of the eight colours are omitted: black is
# invisible on a dark page, and yellow on a light page.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
RADIUS = 2.0  # half-axes of drawn ellipses in standard deviations; each ellipse contains 86 % of its component


def html_of(mixture: MixtureBase) -> str:
    """Return HTML with the text of `size_of`, a table of the parameters and a small picture."""
    table = table_html(*table_of(mixture))
    return f'<div><p>{escape(size_of(mixture))}</p><div style="overflow-x:auto">{table}</div>{sketch(mixture)}</div>'


def table_of(mixture: MixtureBase) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table with a row per component: index, weight, and mean ± sd of each feature."""
    K, d = min(mixture.n_components, MAX_COMPONENTS), min(mixture.n_features, MAX_FEATURES)
    deviations = np.sqrt(mixture._model.covariances.variances())
    columns = [[str(k) for k in range(K)], [weight_text(weight) for weight in mixture.weights[:K]]]
    columns += [mean_and_deviation(mixture.means[:K, j], deviations[:K, j]) for j in range(d)]
    header = ["component", "weight", *map(shorten, names_of(mixture)[:d])]
    if d < mixture.n_features:
        header.append(f"… {mixture.n_features - d:,} more")
    rows = [list(row) for row in zip(*columns, strict=True)]
    if mixture.n_components > K:
        rows.append([f"… {mixture.n_components - K:,} more"])
    if mixture.noise is not None:
        rows.append(["noise", weight_text(mixture.noise.weight)])
    return header, rows


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table that inherits the colours of the page; empty cells fill rows shorter than the header."""
    style = 'style="text-align:right;padding:0.2em 0.7em;white-space:nowrap"'
    top = "".join(f'<th scope="col" {style}>{escape(cell)}</th>' for cell in header)
    body = []
    for first, *others in rows:
        cells = [*others, *[""] * (len(header) - 1 - len(others))]
        tail = "".join(f"<td {style}>{escape(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row" {style}>{escape(first)}</th>{tail}</tr>')
    return f'<table style="color:inherit"><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def sketch(mixture: MixtureBase) -> str:
    """Return a small SVG picture of a mixture: ellipses in the first two features, or curves for a single feature.

    Components have the same colours as in all other pictures. The index of each component is also drawn, because
    colours alone may not be distinguishable. Axes and text have the text colour of the page, so they are legible on
    light and on dark pages.
    """
    order = np.argsort(-mixture.weights, kind="stable")[:MAX_DRAWN]
    drawn = order[mixture.weights[order] > 0] if (mixture.weights > 0).any() else order
    is_line = mixture.n_features == 1
    shapes, title = (_curves if is_line else _ellipses)(mixture, drawn)
    return (
        f'<svg role="img" width="{WIDTH:.0f}" height="{HEIGHT:.0f}" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" '
        f'style="max-width:100%;height:auto" fill="none" stroke="currentColor" font-size="11" '
        f'font-family="sans-serif"><title>{escape(title)}</title>{shapes}</svg>'
    )


def ellipse_of(covariance: Array) -> tuple[float, float, float]:
    """Return both half-axes of the ellipse (x − μ)ᵀ Σ⁻¹ (x − μ) = 1, and the angle of the longer axis in degrees.

    The covariance Σ has shape (2, 2), and the longer half-axis comes first. With Σ = Q Λ Qᵀ, the half-axes are the
    square roots of the eigenvalues in Λ, in the directions of the columns of Q. If Σ is singular, the ellipse is a
    line. Negative eigenvalues, which are due to rounding errors, are treated as 0.
    """
    variances, directions = np.linalg.eigh(covariance)  # in ascending order of the variances
    shorter, longer = np.sqrt(np.maximum(variances, 0.0)).tolist()
    east, north = directions[:, 1]
    return longer, shorter, float(np.degrees(np.arctan2(north, east)))


def _ellipses(mixture: MixtureBase, drawn: Indices) -> tuple[str, str]:
    """Return SVG code with the ellipses of the components in the first two features, and a title."""
    means = mixture.means[drawn, :2]
    covariances = mixture._model.covariances.take(drawn).marginal(np.array([0, 1])).dense()
    reach = 1.1 * RADIUS * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    box = None if mixture.noise is None or mixture.noise.bounds is None else mixture.noise.bounds[:, :2]
    low, high = _range(means - reach, means + reach, box)
    scale = _plot_size() / (high - low) * [1, -1]  # in SVG, y decreases upwards
    centres = (means - low) * scale + [_LEFT, HEIGHT - _BOTTOM]
    shapes = [] if box is None else [_rectangle((box - low) * scale + [_LEFT, HEIGHT - _BOTTOM])]
    for k, centre, covariance in zip(drawn.tolist(), centres, covariances * scale[:, None] * scale, strict=True):
        longer, shorter, angle = ellipse_of(covariance)
        position = f"{centre[0]:.1f} {centre[1]:.1f}"
        shapes.append(
            f'<ellipse rx="{RADIUS * longer:.1f}" ry="{RADIUS * shorter:.1f}" fill="{color_of(k)}" fill-opacity="0.12" '
            f'stroke="{color_of(k)}" transform="translate({position}) rotate({angle:.1f})"/>'
            f"{_text(centre[0], centre[1], str(k), 'middle')}"
        )
    names = names_of(mixture)
    base = HEIGHT - _BOTTOM
    labels = zip((base, base / 2, _EDGE), _axis_labels(names[1], low[1], high[1]), strict=True)
    shapes += [_text(_LEFT - 7, y, *label, rotated=True) for y, label in labels]
    title = f"Components in {names[0]} and {names[1]}: ellipses reach two standard deviations from the means"
    return "".join(shapes) + _ends(names[0], low[0], high[0]), title


def _curves(mixture: MixtureBase, drawn: Indices) -> tuple[str, str]:
    """Return SVG code and a title for one feature, with a thick curve of the density and curves of the components."""
    means, deviations = mixture.means[drawn, 0], np.sqrt(mixture._model.covariances.variances()[drawn, 0])
    box = None if mixture.noise is None or mixture.noise.bounds is None else mixture.noise.bounds
    ends = _range((means - 3.5 * deviations)[:, None], (means + 3.5 * deviations)[:, None], box)
    low, high = (end[0] for end in ends)
    deviations = np.maximum(deviations, np.finfo(np.float64).eps * (high - low))  # a variance of 0 becomes a thin peak
    nearby = means[:, None] + deviations[:, None] * np.linspace(-3.5, 3.5, 29)
    x = np.unique(np.concatenate([np.linspace(low, high, 161), nearby.ravel()]))
    z = np.clip((x - means[:, None]) / deviations[:, None], -MAX_DRAWN_DEVIATIONS, MAX_DRAWN_DEVIATIONS)
    parts = mixture.weights[drawn, None] * np.exp(-0.5 * z**2) / (deviations[:, None] * np.sqrt(2 * np.pi))
    whole = parts.sum(axis=0)
    if mixture.noise is not None and mixture.noise.bounds is not None:
        inside = (x >= mixture.noise.bounds[0, 0]) & (x <= mixture.noise.bounds[1, 0])
        whole = whole + np.where(inside, np.exp(mixture.noise.log_density), 0.0)
    across, up = _plot_size() / [high - low, 1.08 * whole.max() or 1.0]  # the curve is 0 if noise has weight 1
    pixels = _LEFT + (x - low) * across
    curves = zip(drawn.tolist(), parts, strict=True)
    shapes = [_line(pixels, HEIGHT - _BOTTOM - part * up, 1.0, color_of(k)) for k, part in curves]
    shapes.append(_line(pixels, HEIGHT - _BOTTOM - whole * up, 2.0))
    for k, part in zip(drawn.tolist(), parts, strict=True):
        top = int(part.argmax())
        shapes.append(_text(pixels[top], HEIGHT - _BOTTOM - part[top] * up + 12, str(k), "middle"))
    name = names_of(mixture)[0]
    return "".join(shapes) + _ends(name, low, high), f"The density of {name}, thick, and its components"


def _plot_size() -> Array:
    """Return the width and height of the area inside the axes, in pixels."""
    return np.array([WIDTH - _LEFT - _EDGE, HEIGHT - _BOTTOM - _EDGE])


def _range(low: Array, high: Array, box: Array | None) -> tuple[Array, Array]:
    """Return the smallest and the largest value that the picture shows of each feature."""
    ends = low.min(axis=0), high.max(axis=0)
    low, high = ends if box is None else (np.minimum(ends[0], box[0]), np.maximum(ends[1], box[1]))
    above = np.maximum(np.nextafter(low, np.inf), low + 1e-100)
    return low, np.where(high > low, high, above)  # far from 0, or if variances are 0, low and high may be equal


def _rectangle(corners: Array) -> str:
    (left, right), (top, bottom) = np.sort(corners, axis=0).T
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
        'stroke-dasharray="4 3"><title>noise</title></rect>'
    )


def color_of(component: int) -> str:
    """Return the colour of a component; colours repeat after six components."""
    return COLORS[component % len(COLORS)]


def _line(across: Array, up: Array, thickness: float, color: str = "currentColor") -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    return f'<polyline points="{points}" stroke="{color}" stroke-width="{thickness}"/>'


def _text(across: float, up: float, text: str, anchor: str, *, rotated: bool = False) -> str:
    rotation = f' transform="rotate(-90 {across:.1f} {up:.1f})"' if rotated else ""
    return (
        f'<text x="{across:.1f}" y="{up:.1f}" text-anchor="{anchor}" fill="currentColor" stroke="none"{rotation}>'
        f"{escape(text)}</text>"
    )


def _ends(name: str, low: float, high: float) -> str:
    """Return SVG code of both axes, with the name of the horizontal axis and labels at the ends of this axis."""
    base = HEIGHT - _BOTTOM
    corner = f'<path d="M{_LEFT} {_EDGE} V{base} H{WIDTH - _EDGE}" stroke-opacity="0.5"/>'
    positions = zip((_LEFT, WIDTH / 2, WIDTH - _EDGE), _axis_labels(name, low, high), strict=True)
    return corner + "".join(_text(across, base + 15, *title) for across, title in positions)


def _axis_labels(name: str, low: float, high: float) -> list[tuple[str, str]]:
    """Return the labels at the start, middle and end of an axis, each with the SVG attribute text-anchor.

    The numbers have enough digits for the difference between them, even if it is small compared with the numbers.
    """
    beyond = np.log10(max(abs(low), abs(high)) / (high - low))
    digits = int(np.clip(np.ceil(beyond) + 3, 4, 15))
    return [(f"{low:.{digits}g}", "start"), (shorten(name), "middle"), (f"{high:.{digits}g}", "end")]
