"""Colours and markers of components."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Okabe and Ito (2008), Color Universal Design; Wong (2011), Nature Methods 8, 441: distinct with every kind of colour
# vision. Of the eight, black and yellow are left out: one of them vanishes on a dark page, the other on a light one.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # components beyond the number of colours get the next marker


def checked_colors(colors: Any) -> list[Any]:
    """The colours, if there are some and matplotlib knows each; raises ValueError."""
    from matplotlib.colors import is_color_like

    listed = [] if isinstance(colors, str) or not isinstance(colors, Iterable) else list(colors)
    if not listed or not all(map(is_color_like, listed)):
        raise ValueError(f"colors={colors!r:.60} must be a list of at least one colour that matplotlib knows.")
    return listed


def faded(color: Any, alpha: float) -> tuple[float, float, float, float]:
    """Red, green, blue and opacity of a colour; alpha is the opacity, from 0 to 1."""
    from matplotlib.colors import to_rgba

    rgba: tuple[float, float, float, float] = to_rgba(color, alpha=float(alpha))
    return rgba
