"""The base classes of all displays, and helper functions for axes, colours, names and legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from textwrap import fill
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainc

from gaussmix._src.checks import check_probabilities
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.palette import COLORS, Pen, background, on_page
from gaussmix._src.plot.subject import Features, Subject, chosen_features, make_subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
else:  # placeholders, so that this module can be imported without matplotlib
    Axes = Any

MAX_LEGEND_ENTRIES = 20
_MAX_LEGEND_LINES = 24  # maximum number of lines of a legend at the right of axes of the default height
_LABEL_WIDTH = 40  # maximum number of characters in a line of an axis label
_MAX_NAME_LENGTH = 60  # maximum number of characters of a name; the layout of a longer name might take minutes


class Display:
    """Base class of the displays.

    The contents of a display are computed when the display is created, so that `plot` can draw it repeatedly.
    """

    ax_: Axes
    figure_: Any
    legend_: Any
    rows_: Any
    noise_weight: float = 0.0  # weight of the noise component if the display leaves it out
    _legend_title = ""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            for part in ("figure_", "ax_"):
                if name[0] != "_" and hasattr(vars(self).get(part), name):
                    text = f"{type(self).__name__} has no {name}. Use {part}.{name}."
                    raise AttributeError(text, name=name, obj=None)
            return object.__getattribute__(self, name)  # raises Python's standard AttributeError

    def _plotted(self: Any, ax: Any, options: Mapping[str, Any]) -> Any:
        """Draw the display with `options` of `plot`; raise TypeError for an unknown option."""
        known = self._options()
        unknown = [name for name in options if name not in known]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {unknown[0]!r}. The options are {', '.join(known)}.")
        return self.plot(ax, **options)

    def _options(self: Any) -> list[str]:
        """Return the names of the options of `plot`."""
        return list(signature(self.plot).parameters)[1:]

    def _set_axes(self, ax: Axes | None) -> Axes:
        """Store the axes to draw on and return them; create new axes if `ax` is None."""
        if ax is None:
            ax = new_figure()[1]
        elif not hasattr(ax, "get_xaxis"):
            raise ParameterTypeError(f"ax must be matplotlib axes, not {ax!r:.60}.")
        self.ax_, self.figure_ = ax, ax.figure
        return ax

    def _name_axes(self, features: Sequence[str], height: str = "") -> None:
        """Label the axes with the names of two features, or with the name of one feature and the quantity `height`."""
        x, y = (*features, height)[:2]
        self.ax_.set(xlabel=as_text(in_lines(x, _LABEL_WIDTH)), ylabel=as_text(in_lines(y, _LABEL_WIDTH)))
        shorten_tick_labels(self.ax_.xaxis)
        if len(features) > 1:
            shorten_tick_labels(self.ax_.yaxis)

    @property
    def _text_color(self) -> Any:
        """Return the text colour of the axes, which is visible on any background."""
        return self.ax_.xaxis.label.get_color()

    def _line_color(self, color: Any) -> Any:
        """Return `color` or, if it is None, the palette's first colour, which is adapted to the axes' background."""
        return on_page(COLORS[0], background(self.ax_)) if color is None else color

    def _with_legend(self, handles: Sequence[Any], is_shown: bool) -> Self:
        """Add a legend next to the axes if `is_shown` is True, and return the display."""
        noise = f"without noise ({percent(self.noise_weight)})" if self.noise_weight else None
        title = "\n".join(filter(None, [self._legend_title, noise]))
        self.legend_ = legend_beside(self.ax_, handles, title) if is_shown else None
        return self

    def _ring(self, x: float, y: float, label: str | None = None) -> Any:
        """Draw a ring around the point (x, y) to mark the chosen model."""
        style: dict[str, Any] = {"s": 140, "facecolors": "none", "linewidths": 1.5, "zorder": 5}
        return self.ax_.scatter(x, y, label=label, edgecolors=[self._text_color], **style)

    def _count_along_x(self, **options: Any) -> None:
        """Put the ticks of the horizontal axis, which shows counts, at integers."""
        from matplotlib.ticker import MaxNLocator

        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True, **options))


class FeatureDisplay(Display):
    """Base class of the displays that show a mixture's distribution of some features, with or without rows."""

    _max_features: ClassVar[int] = 2  # maximum number of features that are shown
    _is_colored_by_all = True  # whether the colours of rows depend on all features, even features that are not plotted

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        features: Features = None,
        feature_names: Sequence[str] | None = None,
        sample_weight: ArrayLike | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw a fitted estimator or a mixture, with or without rows.

        Parameters
        ----------
        estimator : a fitted gaussmix estimator that has a `mixture_`, or a `gaussmix.Mixture`.
        X : (n_samples, n_features), rows with all features of the mixture, in data units; None to draw no rows. Rows
            with a missing value (NaN) in a plotted feature are omitted.
        features : indices or names of the features to show. Most displays show one or two features, by default the two
            features whose means separate the components best. A grid of plots shows at most 8 features, by default all
            features. The display shows the marginal distribution of the chosen features; if some features are not
            shown, the legend's title states this.
        feature_names : a name for each feature of X. The default is the names stored in the mixture or, if the mixture
            has no names, the column names of X.
        sample_weight : (n_samples,), weights ≥ 0 of the rows, which histograms add up; points do not show weights.
            Without X, weights are ignored.
        ax : axes to draw on; for a grid, an array of (n_shown, n_shown) axes. By default, new axes are created.
        **options : keyword arguments passed to `plot`.

        Returns
        -------
        display : the drawn display.

        Raises
        ------
        ImportError : matplotlib is not installed, or its backend needs a screen.
        NotFittedError : `estimator` is not fitted.
        ValueError : a feature does not exist, X does not have the shape (n_samples, n_features), X is None although the
            display needs rows, `sample_weight` is invalid, or more than 8 features are chosen for a grid.
        TypeError : `estimator` has no mixture, X is not numeric, one of the options is not a parameter of `plot`, or a
            feature is neither an index nor a name.
        """
        subject = make_subject(estimator, X, feature_names, sample_weight)
        shown, n_features = chosen_features(features, subject, cls._max_features), len(subject.names)
        display = cls.from_fit(subject, shown)
        if len(shown) < n_features:
            by_all = X is not None and len(shown) > 1 and display._is_colored_by_all
            colors = f",\ncolours by all {n_features}" * by_all
            display._legend_title = f"{len(shown)} of {n_features} features{colors}"
        return display._plotted(ax, options)

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int]) -> Any:
        """Create a display of the features `shown` without drawing it."""
        raise NotImplementedError


def shorten_tick_labels(axis: Any) -> None:
    """Write large or small numbers at an axis with a prefix, such as 100k for 100,000 or 2m for 0.002.

    Long labels such as 100000 overlap each other, and a factor such as 1e5 at the end of the axis would cover the next
    plot of a grid. The formatter and the scale that the user has set are kept.
    """
    from matplotlib.ticker import EngFormatter

    ends = np.asarray(axis.get_view_interval())
    largest = abs(ends).max()
    is_long = 1e4 <= largest < 1e12 or 1e-6 < largest < 1e-3
    if is_long and np.ptp(ends) > 1e-3 * largest and axis.isDefault_majfmt and axis.get_scale() == "linear":
        axis.set_major_formatter(EngFormatter(sep=""))


def as_text(name: str) -> str:
    """Return a name that is shortened to 60 characters, with control characters replaced and dollar signs escaped.

    Every name that comes from the data must pass through this function, because matplotlib would read text between two
    dollar signs as a formula. matplotlib draws "\\$" as a dollar sign.
    """
    short = name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
    return "".join(mark if mark.isprintable() or mark == "\n" else "?" for mark in short).replace("$", r"\$")


def in_lines(name: str, width: int) -> str:
    """Wrap a name into lines of at most `width` characters, also after underscores."""
    breakable = "_\0 "  # an underscore, and a space at which `fill` may break the line
    lines = [line if len(line) <= width else line.replace("_", breakable) for line in name.split("\n")]
    return "\n".join(fill(line, width) for line in lines).replace(breakable, "_").replace("\0", "")


def new_figure(*shape: int, **options: Any) -> tuple[Any, Any]:
    """Create a figure and axes with space for a legend; raise ImportError if matplotlib can't create a figure."""
    pyplot = import_pyplot()
    try:
        figure_and_axes: tuple[Any, Any] = pyplot.subplots(*shape, **{"layout": "constrained", **options})
    except ImportError as error:
        raise ImportError(
            f"matplotlib can't open a figure here: {error}. Without a screen, call matplotlib.use('agg') first, and "
            "display.figure_.savefig('picture.png') afterwards."
        ) from None
    return figure_and_axes


def import_pyplot() -> Any:
    """Import and return matplotlib's pyplot; raise ImportError if matplotlib is not installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("Pictures need matplotlib: install it with pip install 'gaussmix[plot]'.") from None
    return pyplot


def checked_masses(masses: Any) -> Array:
    """Return the distinct probabilities of regions, ascending; raise ValueError or TypeError if one is invalid."""
    probabilities = np.unique(check_probabilities("coverages", masses))
    if not len(probabilities) or probabilities[0] == 0 or probabilities[-1] == 1:
        raise ValueError(f"coverages={masses!r:.60} must be numbers above 0 and below 1.")
    return probabilities


def legend_beside(target: Any, handles: Sequence[Any], title: str, x: float = 1.01) -> Any:
    """Draw a legend to the right of the data, so that the legend hides nothing.

    If `target` is a figure, the layout of the figure makes room for the legend. If `target` is an Axes object, the left
    edge of the legend is at `x`, in widths of the axes. Returns the legend, or None if `handles` is empty.
    """
    if not handles:
        return None
    for handle in handles:
        handle.set_label(as_text(handle.get_label()))
    n_lines = sum(len(text.splitlines()) for text in [title, *(handle.get_label() for handle in handles)])
    n_columns = max(1, -(-n_lines // _MAX_LEGEND_LINES))
    where: dict[str, Any] = {"title": title or None, "title_fontsize": "small", "alignment": "left"}
    where |= {"ncols": n_columns, "columnspacing": 1.0}
    beside_axes = {"loc": "upper left", "bbox_to_anchor": (x, 1.0)}
    where |= {"loc": "outside right upper"} if hasattr(target, "subplots") else beside_axes
    return target.legend(handles=handles, frameon=False, fontsize="small", borderaxespad=0.0, **where)


def component_handles(pens: Sequence[Pen], weights: Any, *, points: bool, lines: bool, noise: bool) -> list[Any]:
    """Return legend entries for the components, with their markers, lines, numbers and weights.

    If there are more than 20 components, the result is empty, because the legend would be taller than the picture.
    """
    if len(pens) > MAX_LEGEND_ENTRIES:
        return []
    handles = []
    for k, (pen, weight) in enumerate(zip(pens, np.asarray(weights).tolist(), strict=True)):
        line, marker = pen.line_style if lines else "", pen.marker if points else ""
        handles.append(handle(f"component {k} ({percent(weight)})", pen.color, line, marker, linewidth=1.3))
    return [*handles, handle("noise", "0.5", marker="x")] if noise else handles


def percent(fraction: float) -> str:
    """Write a fraction as a percentage, with more digits if it would be rounded to 0% or 100%."""
    small, short = min(fraction, 1.0 - fraction), f"{fraction:.0%}"
    if small <= 0 or short not in ("0%", "100%"):
        return short
    rest = float(f"{100 * small:.1g}")
    return f"{rest if fraction < 0.5 else 100 - rest:.15g}%"


def level_handles(levels: Sequence[float], n_shown: int) -> list[Any]:
    """Return legend entries that state the fraction of a component within each level of its ellipse or interval."""
    masses = 100 * gammainc(0.5 * n_shown, 0.5 * np.square(levels))
    labels = [f"{mass:.3g}% within {level:g} σ" for mass, level in zip(masses.tolist(), levels, strict=True)]
    width = 1.5 if n_shown > 1 else 5.0  # a wide line in the legend looks like the fill of an interval
    return [handle(label, "0.5", "-", alpha=0.8 * nth**-0.5, linewidth=width) for nth, label in enumerate(labels, 1)]


def handle(label: str, color: Any, line: Any = "", marker: str = "", **options: Any) -> Any:
    """Return one entry of a legend: a label with a line, a marker or both."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, label=label, linestyle=line, marker=marker, **{"markersize": 5, **options})
