"""A display of a model selection criterion for each number of components and each covariance structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gaussmix._src.errors import FailureKind, ParameterTypeError, counted
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.fit.criteria import HIGHER_IS_BETTER, STABILITY, criterion_title, structure_names
from gaussmix._src.plot.display import Axes, Display, handle
from gaussmix._src.plot.palette import MARKERS, background, component_pens

_N_BEST = 10  # number of best candidates from which the range of the vertical axis is computed
_MARGIN = 0.15  # margin above and below the best candidates, as a fraction of the range of these candidates
_MAX_RANGE_RATIO = 3.0  # all candidates are shown if their range is at most 3 times the range of the best ten
_MARKERS = (*MARKERS, "<", ">", "p", "*", "h", "d", "8")  # one marker for each of the fourteen covariance structures
_MAX_LEVEL_TEXTS = 12  # maximum number of texts above the axes that are not rotated
_REASON_WIDTH = 26  # maximum number of characters per line of the reasons for failures in the legend


@dataclass(eq=False, repr=False, kw_only=True)
class CriterionDisplay(Display):
    """Plot of a model selection criterion over the number of components, with a line for each covariance structure.

    Create a display with `from_estimator`. A ring marks the chosen model. A text such as ×3 above a number of
    components means that three candidates with this number of components failed; the legend lists the reasons. A square
    marks a candidate whose criterion is unreliable, because some of its components have few distinct rows or depend on
    `reg_covar`. If the criterion is stability, triangles mark the numbers of components at which stability has a peak.
    If the ten best candidates are close together compared with the range of all candidates, the vertical axis shows
    only the range of the ten best candidates. The legend lists the covariance structures whose lines are visible. Each
    structure has a different marker, and the colours are assigned first to structures with visible lines.

    Parameters
    ----------
    results : `results_` of a fitted `gaussmix.GaussianMixtureIC`.
    best_index : index of the chosen model in `results`.
    criterion : name of the column of `results` to show.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    lines_ : dictionary that maps the name of each covariance structure to its line.
    failures_ : dictionary that maps each number of components with failed candidates to the text that shows the number
        of failures.
    weak_ : the squares that mark unreliable candidates.
    best_ : the ring that marks the chosen model.
    peaks_ : the triangles at the peaks of stability; None if the criterion is not stability.
    note_ : the text that counts candidates outside the range of the axis; None if the axis shows all candidates.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureIC
    >>> from gaussmix.plot import CriterionDisplay
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> search = GaussianMixtureIC(range(1, 4), covariance_type=["full", "diag"], random_state=0).fit(X)
    >>> sorted(CriterionDisplay.from_estimator(search).lines_)
    ['diag', 'full']
    """

    results: Mapping[str, Sequence[Any]]
    best_index: int
    criterion: str

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, criterion: str | None = None, ax: Axes | None = None, **options: Any
    ) -> Self:
        """Draw the criterion of all candidates of a fitted estimator.

        Parameters not listed here, the return value and the errors are as in `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : a fitted `gaussmix.GaussianMixtureIC`.
        criterion : "bic", "icl", "aic", "aicc" or, if it was computed, "cv" or "stability". The default is the
            criterion by which the model was chosen.

        Raises
        ------
        ValueError : the criterion was not computed.
        TypeError : `estimator` is not a `GaussianMixtureIC`, so it did not compare candidate models.
        """
        if not isinstance(estimator, GaussianMixtureIC):
            raise ParameterTypeError(
                f"{type(estimator).__name__} does not compare candidates: pass a fitted GaussianMixtureIC."
            )
        check_is_fitted(estimator)
        results, wanted = estimator.results_, estimator.criterion if criterion is None else criterion
        finite = [name for name in ("bic", "icl", "aic", "aicc", *HIGHER_IS_BETTER) if name in results]
        if wanted not in finite:
            raise ValueError(f"criterion={wanted!r:.60} is not one of {', '.join(map(repr, finite))}.")
        return cls(results=results, best_index=estimator.best_index_, criterion=wanted)._plotted(ax, options)

    def plot(self, ax: Axes | None = None, *, colors: Sequence[Any] | None = None, legend: bool = True) -> Self:
        """Draw the display.

        Parameters, return value and errors are the same as in `ComponentDisplay.plot`, but `colors` are the colours
        of the covariance structures.
        """
        ax = self._set_axes(ax)
        counts, values = (np.asarray(self.results[name], dtype=float) for name in ("n_components", self.criterion))
        names_of_candidates = np.array(structure_names(self.results))
        names = list(dict.fromkeys(names_of_candidates.tolist()))
        low, high = self._view(values)
        is_shown = (low <= values) & (values <= high)
        in_view = set(names_of_candidates[is_shown].tolist())
        by_view = names if colors is not None else sorted(names, key=lambda name: name not in in_view)
        pens = dict(zip(by_view, component_pens(len(names), colors, background(ax)), strict=True))
        self.lines_: dict[str, Any] = {}
        for nth, name in enumerate(names):
            indices = np.flatnonzero(names_of_candidates == name)
            indices = indices[np.argsort(counts[indices], kind="stable")]
            style = {"color": pens[name].color, "linestyle": pens[name].line_style}
            style |= {"marker": _MARKERS[nth % len(_MARKERS)], "label": name, "markersize": 5, "linewidth": 1.2}
            (self.lines_[name],) = ax.plot(counts[indices], values[indices], **style)
        is_weak = np.array([why is not None for why in self.results.get("warning", [None] * len(counts))])
        style = {"marker": "s", "linestyle": "", "markersize": 14, "markerfacecolor": "none", "color": "0.5"}
        self.weak_: Any = ax.plot(counts[is_weak], values[is_weak], label="few distinct rows", **style)[0]
        best = counts[self.best_index], values[self.best_index]
        label = f"chosen: {names_of_candidates[self.best_index]}, {best[0]:.0f}"
        self.best_: Any = self._ring(*best, label=label)
        self.peaks_: Any = None
        if self.criterion == STABILITY:
            at = np.flatnonzero(self.results["is_peak"])
            style = {"marker": "^", "linestyle": "", "markersize": 8, "markerfacecolor": "none", "color": "0.5"}
            (self.peaks_,) = ax.plot(counts[at], values[at], **style)
        better = "higher is better" if self.criterion in HIGHER_IS_BETTER else "lower is better"
        ax.set(xlabel="number of components", ylabel=f"{criterion_title(self.criterion)} ({better})")
        self._count_along_x(min_n_ticks=1)
        ax.set_xlim(counts.min() - 0.5, counts.max() + 0.5)
        reasons = self._count_failures()
        self.note_: Any = None
        if np.isfinite(low):
            ax.set_ylim(low, high)
            beyond, is_high = int(((values < low) | (values > high)).sum()), self.criterion in HIGHER_IS_BETTER
            text_style: dict[str, Any] = {"transform": ax.transAxes, "ha": "right", "fontsize": "small"}
            text = f"{'↓' if is_high else '↑'} {counted(beyond, 'worse candidate')}"
            y, side = (0.99, "top") if is_high else (0.01, "bottom")  # next to the best values, where few lines are
            self.note_ = ax.text(0.99, y, text, va=side, **text_style)
        peaks = [] if self.peaks_ is None else [handle("peak", "0.5", marker="^")]
        shown = [line for name, line in self.lines_.items() if name in in_view]
        weak = [self.weak_] * any(is_weak & is_shown)
        return self._with_legend([*shown, self.best_, *weak, *peaks, *reasons], legend)

    def _view(self, values: Any) -> tuple[float, float]:
        """Return limits of the axis that show the best candidates and the chosen one, or −∞ and ∞ to show all."""
        finite = values[~np.isnan(values)]
        cost = -finite if self.criterion in HIGHER_IS_BETTER else finite
        best, last = (finite[np.argsort(cost, kind="stable")[[0, min(_N_BEST, len(finite)) - 1]]]).tolist()
        shown = np.array([best, last, values[self.best_index]])
        room = _MARGIN * np.ptp(shown)
        low, high = shown.min() - room, shown.max() + room
        if not room or np.ptp(finite) <= _MAX_RANGE_RATIO * np.ptp(shown):
            return -np.inf, np.inf
        return low, high

    def _count_failures(self) -> list[Any]:
        """Write the number of failed candidates above each number of components; return reasons as legend entries."""
        pairs = zip(self.results["n_components"], self.results["failure"], strict=True)
        failed = [(count, FailureKind.from_text(why)) for count, why in pairs if why is not None]
        style: dict[str, Any] = {"transform": self.ax_.get_xaxis_transform(), "ha": "center", "fontsize": "small"}
        numbers = sorted(Counter(count for count, _ in failed).items())
        style["rotation"] = 90 if len(numbers) > _MAX_LEVEL_TEXTS else 0  # many texts would overlap otherwise
        self.failures_: dict[int, Any] = {k: self.ax_.text(k, 1.015, f"×{n}", **style) for k, n in numbers}
        reasons = Counter(kind for _, kind in failed).items()
        words = [f"{n} {'failed: ' * kind.was_started}{kind.words}" for kind, n in reasons]
        return [handle(fill(each, _REASON_WIDTH), self._text_color, marker="x") for each in words]
