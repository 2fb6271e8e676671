"""Functions that draw the elements of a display (rows, ellipses, curves and component indices), and compute grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.mixture.html import ellipse_of
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes
from gaussmix._src.plot.palette import NOISE_COLOR, Pen, background, faded

Options = Mapping[str, Any]

MAX_POINTS = 20_000  # maximum number of rows that are drawn as points; more rows are drawn as an image
ROW_ALPHA = 0.6  # opacity of a row whose component is certain; less certain rows are more transparent
FILL_ALPHA = 0.08  # opacity of one ellipse; the opacities of nested ellipses add up
_SHADED_DEVIATIONS = 5.0  # the image of rows covers this distance, in standard deviations, around each mean
_MAX_GRID_POINTS = 600  # maximum number of grid points along one feature


def draw_points(
    ax: Axes, rows: Array, labels: NDArray[np.intp], opacity: Array, pens: Sequence[Pen], options: Options,
    sizes: Array | None = None,
) -> list[Any]:  # fmt: skip
    """Draw rows as points in the colours of their components, and return one collection of points for each component.

    Noise rows, whose label is −1, are drawn as grey crosses in an additional collection.
    """
    if sizes is None:
        sizes = np.full(len(rows), np.clip(18 * (2_000 / max(len(rows), 1)) ** 0.5, 4, 18))
    drawn = []
    for k, pen in [*enumerate(pens), (-1, Pen(NOISE_COLOR, "x", ""))]:
        own = labels == k
        if k >= 0 or own.any():
            shades = np.tile(faded(pen.color, 1.0), (int(own.sum()), 1))
            shades[:, 3] = opacity[own]
            style = {"color": shades, "marker": pen.marker, "s": sizes[own], "linewidths": 0.8 * (k < 0), "zorder": 2}
            drawn.append(ax.scatter(*rows[own].T, **{**style, **options}))
    return drawn


def draw_shades(ax: Axes, rows: Array, labels: NDArray[np.intp], pens: Sequence[Pen], box: Array) -> Any:
    """Draw rows as an image, in which each cell has the mean colour of its rows; cells with more rows are more opaque.

    The image covers `box`, (2, 2), which holds the lower and the upper limit of each feature.
    """
    n_cells = int(np.clip(2 * len(rows) ** (1 / 3), 50, 300))
    at = (rows - box[0]) / np.where(box[1] > box[0], box[1] - box[0], 1.0) * n_cells
    inside = ((at >= 0) & (at <= n_cells)).all(axis=1)
    cells = np.minimum(at[inside].astype(np.intp), n_cells - 1)
    n_pens = len(pens) + 1  # an additional pen for noise
    which = (cells[:, 1] * n_cells + cells[:, 0]) * n_pens + labels[inside] % n_pens
    counts = np.bincount(which, minlength=n_cells**2 * n_pens).reshape(n_cells, n_cells, n_pens)
    colors = np.array([faded(color, 1.0)[:3] for color in (*(pen.color for pen in pens), NOISE_COLOR)])
    total = counts.sum(axis=2)
    image = np.zeros((n_cells, n_cells, 4))
    image[..., :3] = counts @ colors / np.maximum(total, 1)[..., None]
    high = np.quantile(total[total > 0], 0.99) if total.any() else 1.0
    image[..., 3] = np.where(total > 0, 0.08 + 0.77 * np.sqrt(np.minimum(total / high, 1.0)), 0.0)
    extent = box[0, 0], box[1, 0], box[0, 1], box[1, 1]
    drawn = ax.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="nearest", zorder=1)
    drawn.sticky_edges.x.clear()  # otherwise matplotlib would not leave a margin around the image
    drawn.sticky_edges.y.clear()
    return drawn


def draw_rows(
    ax: Axes, rows: Array, labels: NDArray[np.intp], certainty: Array, pens: Sequence[Pen], box: Array,
    options: Options,
) -> list[Any]:  # fmt: skip
    """Draw at most 20,000 rows as points; draw more rows as an image inside `box`, (2, 2), and as points outside."""
    complete = ~np.isnan(rows).any(axis=1)
    if not complete.all():
        rows, labels, certainty = rows[complete], labels[complete], certainty[complete]
    if len(rows) <= MAX_POINTS:
        return draw_points(ax, rows, labels, np.minimum(ROW_ALPHA * certainty, 1.0), pens, options)
    low, high = rows.min(axis=0), rows.max(axis=0)
    inner = np.stack([np.clip(low, *box), np.clip(high, *box)])
    outside = ((rows < inner[0]) | (rows > inner[1])).any(axis=1)
    if np.count_nonzero(outside) > MAX_POINTS or (inner[0] >= inner[1]).any():
        inner, outside = np.stack([low, high]), np.zeros(len(rows), dtype=bool)
    colors = np.array([faded(color, ROW_ALPHA) for color in (*(pen.color for pen in pens), NOISE_COLOR)])
    style = {"color": colors[labels[outside]], "s": 4, "linewidths": 0, "zorder": 2, **options}
    return [draw_shades(ax, rows, labels, pens, inner), ax.scatter(*rows[outside].T, **style)]


def draw_plain_rows(ax: Axes, rows: Array, ink: Any, opacity: float, box: Array, options: Options) -> list[Any]:
    """Draw all rows in the colour `ink`; in all other respects, the function works like `draw_rows`."""
    labels, certainty = np.zeros(len(rows), dtype=np.intp), np.full(len(rows), opacity)
    return draw_rows(ax, rows, labels, certainty, [Pen(ink, "o", "-")], box, options)


def covering_box(means: Array, covariances: Array, reach: float = _SHADED_DEVIATIONS) -> Array:
    """Return the box (2, n_features) that covers `reach` standard deviations of each feature around each mean."""
    spread = reach * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return np.stack([(means - spread).min(axis=0), (means + spread).max(axis=0)])


def draw_components(
    ax: Axes, weights: Array, means: Array, covariances: Array, pens: Sequence[Pen], levels: Sequence[float],
    options: Options, *, has_fill: bool = True,
) -> list[list[Any]]:  # fmt: skip
    """Draw each component's ellipses for two features, or each component's curve for one feature."""
    if means.shape[1] > 1:
        return draw_ellipses(ax, means, covariances, pens, levels, options, FILL_ALPHA * has_fill)
    deviations = np.sqrt(covariances[:, 0, 0])
    return draw_curves(ax, weights, means[:, 0], deviations, pens, levels if has_fill else None, options)


def draw_ellipses(
    ax: Axes, means: Array, covariances: Array, pens: Sequence[Pen], levels: Sequence[float], options: Options,
    fill: float,
) -> list[list[Any]]:  # fmt: skip
    """Draw each component's ellipses with the radii `levels` in standard deviations; larger ellipses are paler."""
    from matplotlib.patches import Ellipse

    drawn = []
    for mean, covariance, pen in zip(means, covariances, pens, strict=True):
        longer, shorter, angle = ellipse_of(covariance)
        ellipses = []
        for nth, level in enumerate(levels, start=1):
            style: dict[str, Any] = {"facecolor": faded(pen.color, fill), "edgecolor": faded(pen.color, nth**-0.4)}
            style |= {"linewidth": 1.3, "linestyle": pen.line_style, "fill": fill > 0}  # a face would take an alpha
            size = 2 * level * longer, 2 * level * shorter
            ellipse = Ellipse(tuple(mean), *size, angle=angle, zorder=3, **{**style, **options})
            # `add_artist` is faster than `add_patch`, which also computes the extent of the ellipse.
            ellipses.append(ax.add_artist(ellipse))
        drawn.append(ellipses)
    ax.update_datalim(covering_box(means, covariances, max(levels, default=0.0)))
    ax.autoscale_view()
    return drawn


def draw_histogram(ax: Axes, values: Array, row_weight: Array | None, options: Options) -> Any:
    """Draw a density histogram of values (n_rows,), weighted by `row_weight`, without missing values."""
    is_used = ~np.isnan(values) if row_weight is None else ~np.isnan(values) & (row_weight > 0)
    values, weights = values[is_used], None if row_weight is None else row_weight[is_used]
    if not len(values):
        return []
    n_bins = int(np.clip(2 * len(values) ** (1 / 3), 8, 100))  # number of bins by Rice's rule
    style: dict[str, Any] = {"bins": n_bins, "density": True, "weights": weights, "color": "0.5", "alpha": 0.25}
    style["zorder"] = 1
    return ax.hist(values, **{**style, **options})[2]


def draw_curves(
    ax: Axes, weights: Array, means: Array, deviations: Array, pens: Sequence[Pen],
    levels: Sequence[float] | None, options: Options,
) -> list[list[Any]]:  # fmt: skip
    """Draw the curve π_k N(x | μ_k, σ_k²) of each component, filled within the given levels, and the sum of all curves.

    If `levels` is None, the curves are not filled, and their sum is not drawn.
    """
    points = points_for_curves(means, deviations, reach=max([4.0, *(levels or [])]))
    drawn, total = [], np.zeros(len(points))
    for pen, weight, mean, deviation in zip(pens, weights, means, deviations, strict=True):
        curve = weight * normal_density(points, mean, deviation)
        total += curve
        style = {"color": pen.color, "linestyle": pen.line_style, "zorder": 3}
        drawn.append(ax.plot(points, curve, **{**style, **options}))
        for level in levels or []:
            inside = abs(points - mean) <= level * deviation
            ax.fill_between(points, curve, where=inside, color=pen.color, alpha=1.5 * FILL_ALPHA, linewidth=0)
    if len(weights) > 1 and levels is not None:
        (line,) = ax.plot(points, total, linewidth=1, linestyle="--", zorder=2)
        line.set_color(ax.xaxis.label.get_color())  # the text colour, which is visible on any background
    ax.set_ylim(bottom=0.0)
    return drawn


def draw_indices(ax: Axes, means: Array, pens: Sequence[Pen]) -> list[Any]:
    """Write the number of each component at its mean (2,), with a rim in the background colour, if colours repeat."""
    from matplotlib.patheffects import withStroke

    if len({str(pen.color) for pen in pens}) == len(pens):
        return []
    page = background(ax)
    badge = {"boxstyle": "round,pad=0.15", "facecolor": faded(page, 0.8)}
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "weight": "bold", "zorder": 6}
    rim = withStroke(linewidth=2.5, foreground=faded(page, 0.85))
    style |= {"color": ax.xaxis.label.get_color(), "path_effects": [rim]}
    badges = [{**badge, "edgecolor": pen.color} for pen in pens]
    return [ax.text(means[k, 0], means[k, 1], str(k), bbox=badge, **style) for k, badge in enumerate(badges)]


def normal_density(points: Array, mean: float, deviation: float) -> Array:
    """Compute N(x | μ, σ²) at points (n_points,), as a density per data unit."""
    return np.asarray(np.exp(-0.5 * ((points - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi)))


def points_for_curves(means: Array, deviations: Array, reach: float, n_each: int = 161) -> Array:
    """Return the points at which curves are computed: up to `reach` σ from each mean, with a spacing proportional to σ.

    The spacing depends on σ, because evenly spaced points would miss a narrow component next to a wide component.
    """
    steps = np.linspace(-reach, reach, n_each)  # n_each is odd, so that the mean itself is one of the points
    return np.asarray(np.unique(means[:, None] + deviations[:, None] * steps))


def grid_axis(means: Array, deviations: Array, rows: Array, reach: float) -> Array:
    """Return grid points along one feature that cover all components and rows, denser near narrow components."""
    own = points_for_curves(means, deviations, reach, max(9, _MAX_GRID_POINTS // 2 // len(means) // 2 * 2 + 1))
    ends = np.concatenate([own[[0, -1]], rows])
    ends = ends[np.isfinite(ends)]
    low, high = ends.min(), ends.max()
    margin = 0.03 * (high - low)  # keeps rows away from the edge of the axes
    return np.asarray(np.unique(np.concatenate([own, np.linspace(low - margin, high + margin, _MAX_GRID_POINTS // 2)])))


def make_grid(mixture: Mixture, rows: Array, reach: float = 4.5) -> tuple[Array, Array, Array]:
    """Return a grid in one or two features that covers all rows, and all components up to `reach` σ from their means.

    The grid is denser near narrow components. Returns the coordinates x and y of the grid lines, and the grid points in
    row-major order, (n_y · n_x, 2) or (n_x, 1). For one feature, y is empty.
    """
    means, deviations = mixture.means, np.sqrt(np.diagonal(mixture._model.covariances.dense(), axis1=1, axis2=2))
    axes = [grid_axis(means[:, j], deviations[:, j], rows[:, j], reach) for j in range(mixture.n_features)]
    if len(axes) == 1:
        return axes[0], np.empty(0), axes[0][:, None]
    x, y = axes
    return x, y, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
