"""How components are merged into clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.mixture.compare.merging import merge_by_entropy
from gaussmix.numerics.arrays import Array
from gaussmix.plot.display import Axes, Display
from gaussmix.plot.subject import subject_of


@dataclass(eq=False, repr=False, kw_only=True)
class MergingDisplay(Display):
    """The entropy of the responsibilities while components are merged into clusters, two at a time.

    Make it with `from_estimator`; `GaussianMixture.merge` gives the clusters themselves. The entropy falls steeply
    while overlapping components are merged. A ring shows where it bends: so many clusters are proposed (Baudry et al.
    2010, J. Comput. Graph. Stat. 19, 332–353). Above each point stands the cluster that was merged there.

    Parameters
    ----------
    entropy : (n_components,), nats, of 1, 2, … clusters.
    merged : (n_components,), what was merged to get 1, 2, … clusters, such as "0+3"; "" for all components.
    n_clusters : where the entropy bends.

    Attributes
    ----------
    ax_, figure_ : the axes drawn on, and their figure. `plot` sets these and all that follow.
    line_ : the entropies.
    best_ : the ring.
    texts_ : what was merged.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import FAMILIES, Mixture
    >>> from gaussmix.plot import MergingDisplay
    >>> m = Mixture([0.25, 0.25, 0.5], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
    >>> display = MergingDisplay.from_estimator(m, m.sample(300, rng=0)[0])
    >>> display.merged, display.n_clusters
    (['0+1+2', '0+1', ''], 2)
    """

    entropy: Array
    merged: Sequence[str]
    n_clusters: int

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Axes | None = None, **options: Any) -> Self:
        """Draw how the components of a fitted estimator, or of a mixture, are merged.

        Parameters, return and errors are those of `ComponentDisplay.from_estimator`; X is needed.
        """
        subject = subject_of(estimator, X)
        found = merge_by_entropy(subject.mixture, subject.responsibilities(subject.needed_rows(cls.__name__)))
        merged = [_merged(found.cluster_of, row) for row in range(len(found.entropy))]
        return cls(entropy=found.entropy, merged=merged, n_clusters=found.n_clusters).plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, color: Any = None) -> Self:
        """Draw. Parameters, return and errors are those of `ConditionalDisplay.plot`; there is no legend."""
        ax = self._on(ax)
        color = self._line_color(color)
        counts = np.arange(1, len(self.entropy) + 1)
        (self.line_,) = ax.plot(counts, self.entropy, color=color, marker="o", markersize=5)
        self.best_ = self._ring(self.n_clusters, float(self.entropy[self.n_clusters - 1]))
        self.texts_ = []
        for count, height, text in zip(counts.tolist(), self.entropy.tolist(), self.merged, strict=True):
            if text:
                how: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 11), "ha": "center", "va": "bottom"}
                how |= {"rotation": 90, "color": self._ink, "fontsize": "small"}
                self.texts_.append(ax.annotate(text, (count, height), **how))
        ax.set(xlabel="number of clusters", ylabel="entropy of the responsibilities, nats")
        self._count_along_x(min_n_ticks=1)
        ax.margins(x=0.12, y=0.12)
        return self


def _merged(cluster_of: NDArray[np.intp], row: int) -> str:
    """The components of the cluster that has just been merged where there are row + 1 clusters."""
    if row == len(cluster_of) - 1:
        return ""
    now, before = cluster_of[row], cluster_of[row + 1]
    new = next(c for c in range(row + 1) if len(set(before[now == c].tolist())) > 1)
    parts = np.flatnonzero(now == new).tolist()
    return "+".join(map(str, parts)) if len(parts) <= 6 else f"{len(parts)} components"
