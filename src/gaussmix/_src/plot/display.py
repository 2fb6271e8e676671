"""What all displays share: axes, the colours of a page, and legends next to the data."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from textwrap import fill
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainc

from gaussmix._src.checks import check_probabilities
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.palette import COLORS, Pen, on_page
from gaussmix._src.plot.subject import Features, Subject, chosen_features, make_subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
else:  # matplotlib need not be installed to import this
    Axes = Any

MAX_LEGEND_ENTRIES = 20
NAME_WIDTH = 20  # characters of a line of a name where room is short
_LABEL_WIDTH = 40  # characters of a line beside an axis
_MAX_NAME_LENGTH = 60  # characters; a layout with a name of thousands takes minutes


class Display:
    """Axes of a picture. A display computes when it is made, and `plot` draws, as often as one likes."""

    ax_: Axes
    figure_: Any
    legend_: Any
    rows_: Any
    _legend_title = ""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            for part in ("figure_", "ax_"):
                if name[0] != "_" and hasattr(vars(self).get(part), name):
                    text = f"{type(self).__name__} has no {name}. Use {part}.{name}."
                    raise AttributeError(text, name=name, obj=None)
            return object.__getattribute__(self, name)  # raises, in Python's words

    def _on(self, ax: Axes | None) -> Axes:
        """Take the axes to draw on, new ones by default."""
        if ax is None:
            ax = new_figure()[1]
        elif not hasattr(ax, "get_xaxis"):
            raise ParameterTypeError(f"ax must be matplotlib axes, not {ax!r:.60}.")
        self.ax_, self.figure_ = ax, ax.figure
        return ax

    def _name_axes(self, features: Sequence[str], height: str = "") -> None:
        """Write what the axes show: two features, or one and what its height is."""
        x, y, *_ = *features, height
        self.ax_.set(xlabel=in_lines(as_text(x), _LABEL_WIDTH), ylabel=in_lines(as_text(y), _LABEL_WIDTH))

    @property
    def _ink(self) -> Any:
        """The colour of text, which is visible on this background."""
        return self.ax_.xaxis.label.get_color()

    def _line_color(self, color: Any) -> Any:
        """The colour that was asked for, or the first of the palette as this background needs it."""
        return on_page(COLORS[0], self.ax_.get_facecolor()) if color is None else color

    def _with_legend(self, handles: Sequence[Any], is_shown: bool) -> Self:
        """This display, with what is drawn named next to it where a legend is wanted."""
        self.legend_ = legend_beside(self.ax_, handles, self._legend_title) if is_shown else None
        return self

    def _ring(self, x: float, y: float, label: str | None = None) -> Any:
        """Put a ring around what was chosen."""
        how: dict[str, Any] = {"s": 140, "facecolors": "none", "linewidths": 1.5, "zorder": 5}
        return self.ax_.scatter(x, y, label=label, edgecolors=[self._ink], **how)

    def _count_along_x(self, **options: Any) -> None:
        """Mark whole numbers along the horizontal axis."""
        from matplotlib.ticker import MaxNLocator

        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True, **options))


class FeatureDisplay(Display):
    """A picture of a mixture in some of its features, with rows or without."""

    _max_features: ClassVar[int] = 2  # features that are shown
    _is_colored_by_all = True  # whether the colours of rows depend on features that are not shown

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        features: Features = None,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw a fitted estimator, or a mixture, over rows or alone.

        Parameters
        ----------
        estimator : a fitted estimator of gaussmix that has a `mixture_`, or a `gaussmix.Mixture`.
        X : (n_samples, n_features), all features of the mixture, data units; None for a picture without rows. Rows with
            a missing cell (NaN) among the features shown are left out.
        features : the features to show, by index or by name: one or two, by default the two whose means
            tell the components apart best; for a grid at most 8, all by default. The picture is that of the marginal
            distribution of these features, and the legend says so.
        feature_names : one for each feature of X; by default those of the mixture, or those of X.
        ax : axes to draw on, (n_shown, n_shown) for a grid; new ones by default.
        **options : for `plot`.

        Returns
        -------
        display : the display, drawn.

        Raises
        ------
        ImportError : matplotlib is not installed, or its backend needs a screen.
        NotFittedError : before `fit`.
        ValueError : a feature does not exist, X is not numbers of shape (n_samples, n_features), X is None and the
            display shows nothing but rows, or a grid would have more than 8 features.
        TypeError : `estimator` has no mixture, X is not numbers, `plot` has no such option, or a feature is
            neither a number nor a name.
        """
        subject = make_subject(estimator, X, feature_names)
        shown, n_features = chosen_features(features, subject, cls._max_features), len(subject.names)
        display = cls.from_fit(subject, shown)
        if len(shown) < n_features:
            by_all = X is not None and len(shown) > 1 and display._is_colored_by_all
            colors = f",\ncolours by all {n_features}" * by_all
            display._legend_title = f"{len(shown)} of {n_features} features{colors}"
        _, *known = signature(display.plot).parameters
        unknown = [] if "options" in known else [name for name in options if name not in known]
        if unknown:
            raise TypeError(f"{cls.__name__} has no option {unknown[0]!r}. There are {', '.join(known)}.")
        return display.plot(ax, **options)

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int]) -> Any:
        """Make the display of some features without drawing it."""
        raise NotImplementedError


def as_text(name: str) -> str:
    """A name as matplotlib is to draw it: no mathematics between dollars, no control characters, and not too long.

    Every name that comes from the data goes through here. matplotlib draws "\\$" as a dollar.
    """
    short = name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
    return "".join(mark if mark.isprintable() or mark == "\n" else "?" for mark in short).replace("$", r"\$")


def in_lines(name: str, width: int) -> str:
    """A name in lines of at most `width` characters."""
    return "\n".join(fill(line, width) for line in name.split("\n"))


def new_figure(*shape: int, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes, which leave room for what stands next to them; raises ImportError."""
    pyplot = import_pyplot()
    try:
        made: tuple[Any, Any] = pyplot.subplots(*shape, **{"layout": "constrained", **options})
    except ImportError as error:
        raise ImportError(
            f"matplotlib can't open a figure here: {error}. Without a screen, call matplotlib.use('agg') first, and "
            "display.figure_.savefig('picture.png') afterwards."
        ) from None
    return made


def import_pyplot() -> Any:
    """matplotlib's pyplot; raises ImportError where it is not installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("Pictures need matplotlib: install it with pip install 'gaussmix[plot]'.") from None
    return pyplot


def checked_masses(masses: Any) -> Array:
    """Masses of regions, ascending, each once; raises ValueError or TypeError."""
    probabilities = np.unique(check_probabilities("coverages", masses))
    if not len(probabilities) or probabilities[0] == 0 or probabilities[-1] == 1:
        raise ValueError(f"coverages={masses!r:.60} must be numbers above 0 and below 1.")
    return probabilities


def legend_beside(target: Any, handles: Sequence[Any], title: str = "", x: float = 1.01) -> Any:
    """A legend at the right of a new figure, or of axes at x of their width: it hides no data; None without names."""
    if not handles:
        return None
    for handle in handles:
        handle.set_label(as_text(handle.get_label()))
    where: dict[str, Any] = {"title": title or None, "title_fontsize": "small", "alignment": "left"}
    beside = {"loc": "upper left", "bbox_to_anchor": (x, 1.0)}
    where |= {"loc": "outside right upper"} if hasattr(target, "subplots") else beside
    return target.legend(handles=handles, frameon=False, fontsize="small", borderaxespad=0.0, **where)


def component_handles(pens: Sequence[Pen], weights: Any, *, points: bool, lines: bool, noise: bool) -> list[Any]:
    """What a legend shows for each component: its marker, its line, its number and its weight.

    A legend of more than 20 would be longer than the picture: then it names none.
    """
    if len(pens) > MAX_LEGEND_ENTRIES:
        return []
    handles = []
    for k, (pen, weight) in enumerate(zip(pens, np.asarray(weights).tolist(), strict=True)):
        line, marker = pen.line_style if lines else "", pen.marker if points else ""
        handles.append(handle(f"component {k} ({weight:.0%})", pen.color, line, marker, linewidth=1.3))
    return [*handles, handle("noise", "0.5", marker="x")] if noise else handles


def level_handles(levels: Sequence[float], n_shown: int) -> list[Any]:
    """What a legend shows for the ellipses, or in one feature for the intervals: how much of a component each holds."""
    masses = 100 * gammainc(0.5 * n_shown, 0.5 * np.square(levels))
    labels = [f"{mass:.3g}% within {level:g} σ" for mass, level in zip(masses.tolist(), levels, strict=True)]
    width = 1.5 if n_shown > 1 else 5.0  # a line, or what a fill looks like
    return [handle(label, "0.5", "-", alpha=0.8 * nth**-0.5, linewidth=width) for nth, label in enumerate(labels, 1)]


def handle(label: str, color: Any, line: Any = "", marker: str = "", **options: Any) -> Any:
    """What a legend shows for one thing: a line, a marker or both."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, label=label, linestyle=line, marker=marker, **{"markersize": 5, **options})
