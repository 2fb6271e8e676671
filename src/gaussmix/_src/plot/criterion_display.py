"""How the criterion of a search depends on the number of components and the structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gaussmix._src.errors import FailureKind, ParameterTypeError, counted
from gaussmix._src.fit.criteria import HIGHER_IS_BETTER, STABILITY, criterion_title, structure_names
from gaussmix._src.plot.display import Axes, Display, handle
from gaussmix._src.plot.palette import MARKERS, component_pens

_N_BEST = 10  # candidates that decide the axis
_MARGIN = 0.15  # of their range, above and below
_MAX_RANGE_RATIO = 3.0  # times their range: if all candidates are in it, the axis shows all
_MARKERS = (*MARKERS, "<", ">", "p", "*", "h", "d", "8")  # one for each of the fourteen structures
_REASON_WIDTH = 26  # characters of a line of a reason in the legend


@dataclass(eq=False, repr=False, kw_only=True)
class CriterionDisplay(Display):
    """The criterion of every candidate of a search: a line for each structure, over the number of components.

    Make it with `from_estimator`. A ring shows what was chosen. A cross above a number of components counts the
    candidates that failed there, and the legend says why. A square marks a
    candidate whose criterion says little, because components have few distinct rows or rest on `reg_covar`. Triangles
    mark the peaks of stability. Where the ten best lie
    close together next to all others, the axis shows these ten. The legend names the structures in view. Each structure
    has its own marker, and those in view take the colours first.

    Parameters
    ----------
    results : `results_` of a fitted `gaussmix.GaussianMixtureIC`.
    best_index : the row of `results` that was chosen.
    criterion : the column of `results` to show.

    Attributes
    ----------
    ax_, figure_ : the axes drawn on, and their figure. `plot` sets these and all that follow.
    lines_ : for each structure its line.
    failures_ : for each number of components with a failure the text that counts the failures.
    weak_ : the squares.
    best_ : the ring.
    peaks_ : the triangles; None for another criterion.
    note_ : the text that counts candidates beyond the axis, or None.
    legend_ : the legend at the right of the axes, or None.

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
        """Draw the search of a fitted estimator. All else is as for `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : a fitted `gaussmix.GaussianMixtureIC`.
        criterion : "bic", "icl", "aic", "aicc" or, where it was computed, "cv" or "stability"; by default what the
            search chose by.

        Raises
        ------
        ValueError : the search has no such criterion.
        TypeError : `estimator` searched for nothing.
        """
        if not hasattr(estimator, "fit") or not hasattr(type(estimator), "_fits"):
            raise ParameterTypeError(
                f"{type(estimator).__name__} compares no candidates: give a fitted GaussianMixtureIC."
            )
        check_is_fitted(estimator)
        results, wanted = estimator.results_, estimator.criterion if criterion is None else criterion
        finite = [name for name in ("bic", "icl", "aic", "aicc", *HIGHER_IS_BETTER) if name in results]
        if wanted not in finite:
            raise ValueError(f"criterion={wanted!r:.60} is not one of {', '.join(map(repr, finite))}.")
        return cls(results=results, best_index=estimator.best_index_, criterion=wanted).plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, colors: Sequence[Any] | None = None, legend: bool = True) -> Self:
        """Draw. Parameters, return and errors are those of `ComponentDisplay.plot`, with structures as components."""
        ax = self._on(ax)
        counts, values = (np.asarray(self.results[name], dtype=float) for name in ("n_components", self.criterion))
        names_of_candidates = np.array(structure_names(self.results))
        names = list(dict.fromkeys(names_of_candidates.tolist()))
        low, high = self._view(values)
        is_shown = (low <= values) & (values <= high)
        in_view = set(names_of_candidates[is_shown].tolist())
        by_view = names if colors is not None else sorted(names, key=lambda name: name not in in_view)
        pens = dict(zip(by_view, component_pens(len(names), colors, ax.get_facecolor()), strict=True))
        self.lines_: dict[str, Any] = {}
        for nth, name in enumerate(names):
            mine = np.flatnonzero(names_of_candidates == name)
            mine = mine[np.argsort(counts[mine], kind="stable")]
            style = {"color": pens[name].color, "linestyle": pens[name].line_style}
            style |= {"marker": _MARKERS[nth % len(_MARKERS)], "label": name, "markersize": 5, "linewidth": 1.2}
            (self.lines_[name],) = ax.plot(counts[mine], values[mine], **style)
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
            how: dict[str, Any] = {"transform": ax.transAxes, "ha": "right", "fontsize": "small"}
            text = f"{'↓' if is_high else '↑'} {counted(beyond, 'worse candidate')}"
            y, side = (0.99, "top") if is_high else (0.01, "bottom")  # in the margin beyond the best one
            self.note_ = ax.text(0.99, y, text, va=side, **how)
        peaks = [] if self.peaks_ is None else [handle("peak", "0.5", marker="^")]
        shown = [line for name, line in self.lines_.items() if name in in_view]
        weak = [self.weak_] * any(is_weak & is_shown)
        return self._with_legend([*shown, self.best_, *weak, *peaks, *reasons], legend)

    def _view(self, values: Any) -> tuple[float, float]:
        """The ends of an axis that the best candidates and the chosen one decide; infinite ends show all."""
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
        """Write above each number of components how many candidates failed there; the reasons, for the legend."""
        pairs = zip(self.results["n_components"], self.results["failure"], strict=True)
        failed = [(count, FailureKind.from_text(why)) for count, why in pairs if why is not None]
        how: dict[str, Any] = {"transform": self.ax_.get_xaxis_transform(), "ha": "center", "fontsize": "small"}
        numbers = sorted(Counter(count for count, _ in failed).items())
        self.failures_: dict[int, Any] = {k: self.ax_.text(k, 1.015, f"×{n}", **how) for k, n in numbers}
        reasons = Counter(kind for _, kind in failed).items()
        words = [f"{n} {'failed: ' * kind.was_started}{kind.words}" for kind, n in reasons]
        return [handle(fill(each, _REASON_WIDTH), self._ink, marker="x") for each in words]
