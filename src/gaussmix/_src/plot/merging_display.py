"""A display of how components are merged into clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.estimators.gaussian_mixture import as_estimator
from gaussmix._src.mixture import MIN_OVERLAP
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, Display
from gaussmix._src.plot.subject import make_subject


@dataclass(eq=False, repr=False, kw_only=True)
class MergingDisplay(Display):
    """Plot of the entropy of the responsibilities after each merging of two clusters, which begin as single components.

    Create a display with `from_estimator`; `GaussianMixture.merge` returns the clusters that this display shows. The
    entropy decreases while overlapping components are merged. A ring marks the proposed number of clusters, which is
    the largest number for which no two clusters overlap by `min_overlap` or more. The text above each point lists the
    components of the newest cluster, and the overlap of the two clusters that were merged into this cluster.

    Parameters
    ----------
    entropy : (n_components,), entropy of the responsibilities for 1, 2, … clusters, in nats.
    merged_components : (n_components − 1,), for the merging step that leaves 1, 2, … clusters, the components of the
        new cluster, such as "0+3".
    overlap : (n_components − 1,), for the merging step that leaves 1, 2, … clusters, the overlap (0 to 1) of the two
        merged clusters.
    n_clusters : the proposed number of clusters.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    line_ : the line of entropies.
    best_ : the ring at the proposed number of clusters.
    texts_ : the texts that state the components of each new cluster, and the overlap of the two merged clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import FAMILIES, Mixture
    >>> from gaussmix.plot import MergingDisplay
    >>> m = Mixture([0.25, 0.25, 0.5], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
    >>> display = MergingDisplay.from_estimator(m, m.sample(300, rng=0)[0])
    >>> display.merged_components, display.n_clusters
    (['0+1+2', '0+1'], 2)
    """

    entropy: Array
    merged_components: Sequence[str]
    overlap: Array
    n_clusters: int

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        min_overlap: float = MIN_OVERLAP,
        X_error: ArrayLike | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw how the components of a fitted estimator or of a mixture are merged into clusters.

        Parameters, return value and errors are the same as in `ComponentDisplay.from_estimator`, except that X is
        required. `sample_weight` are weights ≥ 0 of the rows, (n_samples,). `min_overlap` is the smallest overlap, from
        0 to 1, at which two clusters are merged. `X_error` are measurement errors of X, as in `GaussianMixture.merge`.
        """
        subject = make_subject(estimator, X)
        rows, same = subject.needed_rows(cls.__name__), as_estimator(subject.mixture.with_feature_names(None))
        merging = same.merge(rows, sample_weight, min_overlap=min_overlap, X_error=X_error)
        merged = [_merged(merging.cluster_labels, row) for row in range(len(merging.overlap))]
        display = cls(
            entropy=merging.entropy, merged_components=merged, overlap=merging.overlap, n_clusters=merging.n_clusters
        )
        return display._plotted(ax, options)

    def plot(self, ax: Axes | None = None, *, color: Any = None) -> Self:
        """Draw the display.

        Parameters, return value and errors are the same as in `ConditionalDisplay.plot`, but there is no legend.
        """
        ax = self._set_axes(ax)
        color = self._line_color(color)
        counts = np.arange(1, len(self.entropy) + 1)
        self.line_: Any = ax.plot(counts, self.entropy, color=color, marker="o", markersize=5)[0]
        self.best_: Any = self._ring(self.n_clusters, float(self.entropy[self.n_clusters - 1]))
        self.texts_: list[Any] = []
        style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
        style |= {"rotation": 90, "color": self._text_color, "fontsize": "small"}
        for count, (text, overlap) in enumerate(zip(self.merged_components, self.overlap.tolist(), strict=True), 1):
            style["xytext"] = -5, 16 if count == self.n_clusters else 9  # text left of the line and above the ring
            self.texts_.append(ax.annotate(f"{text}: overlap {overlap:.1%}", (count, self.entropy[count - 1]), **style))
        ax.set(xlabel="number of clusters", ylabel="entropy of the responsibilities, nats")
        self._count_along_x(min_n_ticks=1)
        ax.set_xlim(0.4, len(counts) + 0.6)
        # The rotated texts end below the top of the axes, if the figure keeps its size. A character has about 5 points.
        height = ax.get_window_extent().height * 72 / ax.figure.dpi
        lengths = np.array([16 + 5 * len(text.get_text()) for text in self.texts_])
        fitting = self.entropy[: len(lengths)] / (1 - np.minimum(lengths / height, 0.8))
        ax.margins(y=0.05)
        ax.set_ylim(top=max(ax.get_ylim()[1], float(fitting.max(initial=0.0)), 1.12 * float(self.entropy.max())))
        return self


def _merged(cluster_labels: NDArray[np.intp], row: int) -> str:
    """Name the components of the new cluster after the merging step that leaves `row` + 1 clusters."""
    now, before = cluster_labels[row], cluster_labels[row + 1]
    new = next(c for c in range(row + 1) if len(set(before[now == c].tolist())) > 1)
    parts = np.flatnonzero(now == new).tolist()
    return "+".join(map(str, parts)) if len(parts) <= 6 else f"{len(parts)} components"
