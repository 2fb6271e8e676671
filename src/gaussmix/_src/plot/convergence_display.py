"""A display of the log-likelihood, or of its lower bound, before each EM step of each start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gaussmix._src.errors import LIKELIHOOD, ParameterTypeError, counted
from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from gaussmix._src.plot.display import Axes, Display


@dataclass(eq=False, repr=False, kw_only=True)
class ConvergenceDisplay(Display):
    """Plot of the objective of EM, such as the mean log-likelihood, before each step of each start.

    Create a display with `from_estimator`. The run with the best result, which the fit kept, is highlighted. Runs that
    end at the same value of the objective probably found the same mixture. A run that ends below the best run reached a
    worse local maximum.

    Parameters
    ----------
    traces : for each start, a sequence with the value of the objective before each step, in nats. A start that failed
        is not shown.
    best_index : index of the run with the best result, which the fit kept.
    objective_name : name of the objective, used as label of the vertical axis. With `prior` it is the mean log
        posterior, up to a constant; with `trim` it is the mean over the rows that were kept.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    lines_ : one line for each sequence in `traces`.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import ConvergenceDisplay
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> gm = GaussianMixture(2, n_init=3, random_state=0).fit(X)
    >>> len(ConvergenceDisplay.from_estimator(gm).lines_)
    3
    """

    traces: Sequence[Sequence[float]]
    best_index: int
    objective_name: str = LIKELIHOOD

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, **options: Any) -> Self:
        """Draw the EM runs of a fitted estimator.

        Parameters not listed here, the return value and the errors are as in `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : a fitted gaussmix estimator. If the estimator's `outcome_` has no traces, only the best run is
            drawn.

        Raises
        ------
        TypeError : `estimator` does not store the objective before each EM step.
        ValueError : EM took no step, so there is nothing to draw.
        """
        if hasattr(estimator, "fit"):
            check_is_fitted(estimator)
        if not hasattr(estimator, "lower_bounds_"):
            raise ParameterTypeError(f"{type(estimator).__name__} stores no EM steps: pass a fitted GaussianMixture.")
        best_trace = list(estimator.lower_bounds_)
        traces = [list(trace) for trace in getattr(getattr(estimator, "outcome_", None), "traces", [])]
        if not best_trace:
            raise ValueError("EM took no step, so there is nothing to show. Raise max_iter.")
        if best_trace not in traces:
            traces.append(best_trace)
        name = LIKELIHOOD if getattr(estimator, "prior", None) is None else "mean log posterior"
        name += " of the kept rows" if getattr(estimator, "trim", 0) else ""
        name = "bound" if isinstance(estimator, BayesianGaussianMixture) else name
        return cls(traces=traces, best_index=traces.index(best_trace), objective_name=name)._plotted(ax, options)

    def plot(self, ax: Axes | None = None, *, color: Any = None, legend: bool = True) -> Self:
        """Draw the display.

        Parameters, return value and errors are the same as in `ConditionalDisplay.plot`. `color` is used for the best
        run; all other runs are grey. The legend shows the number of steps of the best run, the value before its last
        step, and the number of starts that are drawn in grey.
        """
        ax = self._set_axes(ax)
        color = self._line_color(color)
        self.lines_: list[Any] = []
        for nth, trace in enumerate(self.traces):
            is_best = nth == self.best_index
            style: dict[str, Any] = {"color": color if is_best else "0.5", "zorder": 3 if is_best else 2}
            style |= {"linewidth": 1.8 if is_best else 0.9, "marker": "o", "markersize": 3.5 if is_best else 2.5}
            self.lines_ += ax.plot(np.arange(1, len(trace) + 1), trace, **style)
        trace, which = self.traces[self.best_index], "kept" if len(self.traces) > 1 else "one start"
        end = f"{trace[-1]:.6g}".replace("-", "−")
        self.lines_[self.best_index].set_label(f"{which}: {counted(len(trace), 'step')},\nlast value {end}")
        others = [line for nth, line in enumerate(self.lines_) if nth != self.best_index]
        if others:
            others[0].set_label(counted(len(others), "other start"))
        ax.set(xlabel="step of EM", ylabel=f"{self.objective_name}, nats")
        ax.ticklabel_format(axis="y", useOffset=False)
        self._count_along_x(min_n_ticks=1)
        return self._with_legend([self.lines_[self.best_index], *others[:1]], legend)
