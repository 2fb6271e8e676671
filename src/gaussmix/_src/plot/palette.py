"""Colours, markers and line styles of components, and their adaptation to light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from gaussmix._src.mixture.html import COLORS as COLORS

# If there are more components than colours, the colours are reused with the next marker and line style.
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINE_STYLES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 3)))
NOISE_COLOR = "0.5"


class Pen(NamedTuple):
    """Colour, marker and line style of a component in all displays."""

    color: Any
    marker: str
    line_style: Any


def component_pens(n_components: int, colors: Any = None, background: Any = "white") -> list[Pen]:
    """Return a `Pen` for each component; raise ValueError if an entry of `colors` is not a colour.

    When the list of colours is exhausted, the colours are reused with a different marker and line style, so that many
    components can be distinguished. On a dark background, lighter versions of the six default colours are used.
    """
    palette = [on_page(color, background) for color in COLORS] if colors is None else checked_colors(colors)
    n_distinct = len({faded(color, 1.0) for color in palette})
    rounds = [(k // n_distinct, palette[k % len(palette)]) for k in range(n_components)]
    return [Pen(color, MARKERS[nth % len(MARKERS)], LINE_STYLES[nth % len(LINE_STYLES)]) for nth, color in rounds]


def background(ax: Any) -> Any:
    """Return the background colour of the axes or, if they are transparent, of a figure, otherwise white."""
    around = ax, ax.figure, ax.figure.figure  # a subfigure is in another figure
    return next((each.get_facecolor() for each in around if each.get_facecolor()[3] > 0), "white")


def on_page(color: Any, background: Any) -> Any:
    """Return `color`, or a lighter colour if the background is dark."""
    is_dark = np.dot([0.2126, 0.7152, 0.0722], faded(background, 1.0)[:3]) < 0.4
    return tuple(0.75 * c + 0.25 for c in faded(color, 1.0)[:3]) if is_dark else color


def checked_colors(colors: Any) -> list[Any]:
    """Return the colours as a list; raise ValueError if the list is empty or matplotlib does not recognise a colour."""
    from matplotlib.colors import is_color_like

    listed = [] if isinstance(colors, str) or not isinstance(colors, Iterable) else list(colors)
    if not listed or not all(map(is_color_like, listed)):
        raise ValueError(f"colors={colors!r:.60} must be a list of one or more colours that matplotlib recognises.")
    return listed


def faded(color: Any, alpha: float) -> tuple[float, float, float, float]:
    """Return a colour with the opacity `alpha` (0 to 1) as a tuple of red, green, blue and opacity."""
    from matplotlib.colors import to_rgba

    return to_rgba(color, alpha=float(alpha))
