"""A display of the plane in which the components of a mixture are separated best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count, check_fraction
from gaussmix._src.mixture.directions import directions
from gaussmix._src.mixture.words import shorten
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.component_display import ComponentDisplay
from gaussmix._src.plot.display import Axes
from gaussmix._src.plot.subject import Subject, make_subject, overall

_MAX_LABEL_LENGTH = 30  # maximum number of characters of a sum in an axis label, below a heading of 28 characters


@dataclass(eq=False, repr=False, kw_only=True)
class ProjectionDisplay(ComponentDisplay):
    """Plot of rows and components in the directions that separate the components best (MclustDR, Scrucca 2010).

    Create a display with `from_estimator`. `gaussmix.GaussianMixtureDimensionReducer` computes the directions, which
    combine all features. The display is a `ComponentDisplay` in which the directions take the place of features. The
    names of the axes state the largest terms of each direction. Features are divided by their standard deviations in
    the mixture, so that coefficients can be compared although units differ, and the squared coefficients sum to 1.

    The means of two components differ along one direction only. By default, the second direction is then the axis of
    the first feature, made orthogonal to the first direction, and does not separate the components. With a smaller
    `mean_fraction`, the second direction separates components whose covariances differ.

    Parameters
    ----------
    directions : (n_shown, n_features), the directions shown, as unit vectors.
    **others : parameters of `ComponentDisplay`, which describe directions instead of features.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import ProjectionDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(90, 4))
    >>> X[:30, 3] += 9
    >>> gm = GaussianMixture(2, covariance_type="spherical", random_state=0).fit(X)
    >>> abs(ProjectionDisplay.from_estimator(gm, X, n_directions=1).directions).round(1)
    array([[0., 0., 0., 1.]])
    """

    directions: Array

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        n_directions: int = 2,
        mean_fraction: float = 1.0,
        feature_names: Sequence[str] | None = None,
        sample_weight: ArrayLike | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw a fitted estimator or a mixture, with or without rows.

        Parameters not listed here, the return value and the errors are as in `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        n_directions : number of directions to show, 1 or 2.
        mean_fraction : a number from 0 to 1, with the same meaning as in `gaussmix.GaussianMixtureDimensionReducer`.
            With 1 the directions separate the components only by their means; with smaller values the directions also
            separate components with different covariances.

        Raises
        ------
        ValueError, TypeError : n_directions is neither 1 nor 2, or mean_fraction is not a number from 0 to 1.
        """
        if check_count("n_directions", n_directions, 1) > 2:
            raise ValueError(f"n_directions={n_directions} must be 1 or 2, because a plot has at most two axes.")
        subject = make_subject(estimator, X, feature_names, sample_weight)
        model = subject.mixture._model.without_noise
        result = directions(model, check_fraction("mean_fraction", mean_fraction))
        axes = result.axes[:n_directions]
        if len(axes) < n_directions:
            axes = _with_another(axes, subject.mixture.n_features)
        rows = None if subject.rows is None else (subject.rows - result.centre) @ axes.T
        mixture = subject.mixture.without_noise.transform(axes, -axes @ result.centre)
        labels = [shorten(name) for name in subject.names]
        scaled = axes * overall(model.weights, model.means, model.covariances.variances())[1]
        names = [f"direction {nth} (features in σ)\n{direction_label(axis, labels)}" for nth, axis in enumerate(scaled)]
        known = subject.labels_and_certainty()
        projected_subject = Subject(mixture, names, rows, row_weight=subject.row_weight)
        projected = ComponentDisplay.from_fit(projected_subject, range(len(axes)), known)
        projected.weights = subject.mixture.weights  # without noise, they sum to less than 1, as in ComponentDisplay
        return cls(**vars(projected), directions=axes)._plotted(ax, options)


def direction_label(axis: Array, names: Sequence[str]) -> str:
    """Write a direction as the sum of its largest terms that fit in a label, such as "0.9 length − 0.4 width …"."""
    order = np.argsort(-abs(axis), kind="stable").tolist()
    named = [j for j in order if abs(axis[j]) >= 0.1 * abs(axis).max()]
    text = ""
    for j in named:
        sign = " − " if axis[j] < 0 else " + "
        longer = f"{text}{sign if text else sign.strip(' +')}{abs(axis[j]) / np.linalg.norm(axis):.2g} {names[j]}"
        if text and len(longer) > _MAX_LABEL_LENGTH:
            return f"{text} …"
        text = longer
    return text


def _with_another(axes: Array, n_features: int) -> Array:
    """Append an orthogonal direction, because the components differ along fewer directions than the display shows."""
    if n_features <= len(axes):
        return axes
    basis = np.linalg.qr(np.concatenate([axes, np.eye(n_features)]).T)[0].T
    return np.concatenate([axes, basis[len(axes) : len(axes) + 1]])
