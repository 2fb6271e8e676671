"""How a mixture is shown: in a line, in notebooks as a table with a small picture, with digits that mean something."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, log10

import numpy as np

from gaussmix._src.errors import counted, invented_names
from gaussmix._src.mixture.base import MixtureBase
from gaussmix._src.numerics.arrays import Array, Indices

MAX_FEATURES, MAX_COMPONENTS = 8, 30  # of a table in a notebook
_MAX_NAMES, _MAX_WEIGHTS = 5, 6  # of a line
WIDTH, HEIGHT = 340.0, 240.0  # pixels
_LEFT, _BOTTOM, _EDGE = 20.0, 22.0, 8.0
MAX_DRAWN_DEVIATIONS = 1e3  # deviations: the density is 0 there, as farther out
MAX_DRAWN = 30  # components, the heaviest, that a small picture has room for
# Okabe and Ito (2008), Color Universal Design; Wong (2011), Nature Methods 8, 441: distinct with every kind of colour
# vision. Of the eight, black and yellow are left out: one of them vanishes on a dark page, the other on a light one.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MAX_HTML_NAME = 24
RADIUS = 2.0  # standard deviations: the ellipse of a component holds 86 % of it


def size_of(mixture: MixtureBase) -> str:
    """ "2 components, full, 2 features", and the options of the structure."""
    family = mixture.family
    options = ", ".join(f"{name}={value}" for name, value in family.options.items())
    structure = f"{family.name} ({options})" if options else family.name
    return f"{counted(mixture.n_components, 'component')}, {structure}, {counted(mixture.n_features, 'feature')}"


def line_of(mixture: MixtureBase) -> str:
    """The size, the names of the first features and the weights of the first components."""
    features = f" ({first_names(mixture.feature_names)})" if mixture.feature_names else ""
    weights = ", ".join(f"{weight:.3g}" for weight in mixture.weights[:_MAX_WEIGHTS])
    rest = ", …" if mixture.n_components > _MAX_WEIGHTS else ""
    noise = "" if mixture.noise is None else f", noise {mixture.noise.weight:.3g}"
    return f"{size_of(mixture)}{features}, weight{'s' * (mixture.n_components > 1)} {weights}{rest}{noise}"


def html_of(mixture: MixtureBase) -> str:
    """The size, a table of the numbers and a small picture."""
    table = table_html(*table_of(mixture))
    return f'<div><p>{escape(size_of(mixture))}</p><div style="overflow-x:auto">{table}</div>{sketch(mixture)}</div>'


def table_of(mixture: MixtureBase) -> tuple[list[str], list[list[str]]]:
    """Header and rows: number, weight, and mean ± sd of the first features, of the first components and of noise."""
    K, d = min(mixture.n_components, MAX_COMPONENTS), min(mixture.n_features, MAX_FEATURES)
    deviations = np.sqrt(mixture.model.covariances.variances())
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
    """A table in HTML, in the colours of the page; rows may be short."""
    style = 'style="text-align:right;padding:0.2em 0.7em;white-space:nowrap"'
    top = "".join(f'<th scope="col" {style}>{escape(cell)}</th>' for cell in header)
    body = []
    for first, *others in rows:
        cells = [*others, *[""] * (len(header) - 1 - len(others))]
        tail = "".join(f"<td {style}>{escape(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row" {style}>{escape(first)}</th>{tail}</tr>')
    return f'<table style="color:inherit"><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def sketch(mixture: MixtureBase) -> str:
    """A mixture as a small SVG: ellipses of the first two features, or the curves of one.

    Components have the colours that they have in every picture, and carry their numbers, so no colour has to tell them
    apart. Axes and letters have the colour of the text around them, and are right on light and on dark pages.
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


def names_of(mixture: MixtureBase) -> tuple[str, ...]:
    """The names of the features; x0, x1 … if they have none."""
    return mixture.feature_names or invented_names(mixture.n_features)


def ellipse_of(covariance: Array) -> tuple[float, float, float]:
    """Half-lengths of the ellipse (x − μ)ᵀ Σ⁻¹ (x − μ) = 1 of Σ (2, 2), and the direction of the longer in degrees.

    The longer half-length comes first. With Σ = Q Λ Qᵀ the half-lengths are √λ along Q. A singular covariance
    has a line. Rounding may make its eigenvalue slightly negative; it counts as 0.
    """
    variances, directions = np.linalg.eigh(covariance)  # ascending
    shorter, longer = np.sqrt(np.maximum(variances, 0.0)).tolist()
    east, north = directions[:, 1]
    return longer, shorter, float(np.degrees(np.arctan2(north, east)))


def _ellipses(mixture: MixtureBase, drawn: Indices) -> tuple[str, str]:
    """Ellipses of the first two features, and what they are."""
    means = mixture.means[drawn, :2]
    covariances = mixture.model.covariances.take(drawn).marginal(np.array([0, 1])).dense()
    reach = 1.1 * RADIUS * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    box = None if mixture.noise is None or mixture.noise.box is None else mixture.noise.box[:, :2]
    low, high = _range(means - reach, means + reach, box)
    scale = _room() / (high - low) * [1, -1]  # upwards on the page is minus
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
    beside = zip((base, base / 2, _EDGE), _along(names[1], low[1], high[1]), strict=True)
    shapes += [_text(_LEFT - 7, up, *title, turned=True) for up, title in beside]
    title = f"Components in {names[0]} and {names[1]}: ellipses reach two standard deviations from the means"
    return "".join(shapes) + _ends(names[0], low[0], high[0]), title


def _curves(mixture: MixtureBase, drawn: Indices) -> tuple[str, str]:
    """The density of one feature, thick, and its parts."""
    means, deviations = mixture.means[drawn, 0], np.sqrt(mixture.model.covariances.variances()[drawn, 0])
    box = None if mixture.noise is None or mixture.noise.box is None else mixture.noise.box
    ends = _range((means - 3.5 * deviations)[:, None], (means + 3.5 * deviations)[:, None], box)
    low, high = (end[0] for end in ends)
    nearby = means[:, None] + deviations[:, None] * np.linspace(-3.5, 3.5, 29)
    x = np.unique(np.concatenate([np.linspace(low, high, 161), nearby.ravel()]))
    z = np.clip((x - means[:, None]) / deviations[:, None], -MAX_DRAWN_DEVIATIONS, MAX_DRAWN_DEVIATIONS)
    parts = mixture.weights[drawn, None] * np.exp(-0.5 * z**2) / (deviations[:, None] * np.sqrt(2 * np.pi))
    whole = parts.sum(axis=0)
    if mixture.noise is not None and mixture.noise.box is not None:
        inside = (x >= mixture.noise.box[0, 0]) & (x <= mixture.noise.box[1, 0])
        whole = whole + np.where(inside, np.exp(mixture.noise.log_density), 0.0)
    across, up = _room() / [high - low, 1.08 * whole.max() or 1.0]  # all may be noise
    pixels = _LEFT + (x - low) * across
    curves = zip(drawn.tolist(), parts, strict=True)
    shapes = [_line(pixels, HEIGHT - _BOTTOM - part * up, 1.0, color_of(k)) for k, part in curves]
    shapes.append(_line(pixels, HEIGHT - _BOTTOM - whole * up, 2.0))
    for k, part in zip(drawn.tolist(), parts, strict=True):
        top = int(part.argmax())
        shapes.append(_text(pixels[top], HEIGHT - _BOTTOM - part[top] * up + 12, str(k), "middle"))
    name = names_of(mixture)[0]
    return "".join(shapes) + _ends(name, low, high), f"The density of {name}, thick, and its components"


def _room() -> Array:
    """Width and height inside the axes, pixels."""
    return np.array([WIDTH - _LEFT - _EDGE, HEIGHT - _BOTTOM - _EDGE])


def _range(low: Array, high: Array, box: Array | None) -> tuple[Array, Array]:
    """The smallest and the largest number of each feature that is drawn."""
    ends = low.min(axis=0), high.max(axis=0)
    low, high = ends if box is None else (np.minimum(ends[0], box[0]), np.maximum(ends[1], box[1]))
    return low, np.maximum(high, np.nextafter(low, np.inf))  # in a large place all deviations may be rounding


def _rectangle(corners: Array) -> str:
    (left, right), (top, bottom) = np.sort(corners, axis=0).T
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
        'stroke-dasharray="4 3"><title>noise</title></rect>'
    )


def color_of(component: int) -> str:
    """The colour of a component."""
    return COLORS[component % len(COLORS)]


def _line(across: Array, up: Array, thickness: float, color: str = "currentColor") -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    return f'<polyline points="{points}" stroke="{color}" stroke-width="{thickness}"/>'


def _text(across: float, up: float, text: str, anchor: str, *, turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {across:.1f} {up:.1f})"' if turned else ""
    return (
        f'<text x="{across:.1f}" y="{up:.1f}" text-anchor="{anchor}" fill="currentColor" stroke="none"{turn}>'
        f"{escape(text)}</text>"
    )


def _ends(name: str, low: float, high: float) -> str:
    """The axes, the ends of the one that runs across, and its name."""
    base = HEIGHT - _BOTTOM
    corner = f'<path d="M{_LEFT} {_EDGE} V{base} H{WIDTH - _EDGE}" stroke-opacity="0.5"/>'
    positions = zip((_LEFT, WIDTH / 2, WIDTH - _EDGE), _along(name, low, high), strict=True)
    return corner + "".join(_text(across, base + 15, *title) for across, title in positions)


def _along(name: str, low: float, high: float) -> list[tuple[str, str]]:
    """Return the texts at the beginning, in the middle and at the end of an axis, and the part of each that fits."""
    return [(f"{low:.4g}", "start"), (shorten(name), "middle"), (f"{high:.4g}", "end")]


def weight_text(weight: float) -> str:
    """A weight with four decimals, or in scientific notation if they would all be 0."""
    return f"{weight:.4f}" if weight >= 0.00005 or weight == 0 else f"{weight:.1e}"


def mean_and_deviation(means: Array, deviations: Array) -> list[str]:
    """ "mean ± sd" of one feature in each component, with three digits of the smallest sd.

    If deviations or numbers span many orders of magnitude, each is shown with three digits of its own.
    """
    smallest, largest = float(deviations.min()), float(deviations.max())
    decimals = max(0, 2 - floor(log10(smallest)))
    pairs = list(zip(means, deviations, strict=True))
    if largest < 100 * smallest and max(largest, float(np.abs(means).max())) < 1e7 and decimals <= 7:
        return [f"{mean:.{decimals}f} ± {sd:.{decimals}f}" for mean, sd in pairs]
    return [_with_own_digits(mean, sd) for mean, sd in pairs]


def _with_own_digits(mean: float, sd: float) -> str:
    beyond = floor(log10(abs(mean)) - log10(sd)) if abs(mean) > sd else 0
    return f"{mean:.{min(3 + beyond, 15)}g} ± {sd:.3g}"


def first_names(names: Sequence[str]) -> str:
    """The first few names, with commas."""
    return ", ".join([*map(shorten, names[:_MAX_NAMES]), *["…"][: len(names) - _MAX_NAMES]])


def shorten(name: str) -> str:
    """A name without control characters, cut if it is long."""
    printable = name if name.isprintable() else repr(name)
    return printable if len(printable) <= _MAX_HTML_NAME else f"{printable[: _MAX_HTML_NAME - 1]}…"
