"""Explanations of why rows belong to their components, and which features make rows unlikely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import NOISE_LABEL
from gaussmix._src.errors import counted
from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.mixture.levels import log_tail
from gaussmix._src.mixture.words import names_of, shorten
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.frames import Frame, made_frame
from gaussmix._src.numerics.rows import patterns

if TYPE_CHECKING:
    from gaussmix._src.mixture.mixture import Mixture

_MAX_ROWS_SHOWN, _MAX_TERMS = 10, 5  # largest numbers of rows, and of features per row, that `__str__` shows
_COLUMNS = "second_component", "log_ratio", "log_weight_ratio", "log_density_ratio", "squared_distance", "chi2_p_value"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Evidence for each row's most probable component against the second most probable, and how unusual the row is.

    Parameters
    ----------
    component : index of the most probable component of each row, as returned by `predict`, (n_rows,); −1 is noise.
    second_component : index of the second most probable component of each row, (n_rows,); −1 is noise. If the mixture
        has one component and no noise, `second_component` is equal to `component`.
    log_ratio : log p(component | x) − log p(second_component | x) of each row, (n_rows,), in nats; infinite if there is
        no second component.
    responsibilities : probabilities p(k | x) of the components for each row, (n_rows, n_components).
    log_weight_ratio : contribution of the weights of the two components to `log_ratio`, (n_rows,), in nats.
    log_density_ratio : contribution of the densities at the means of the two components to `log_ratio`, (n_rows,), in
        nats. A narrow component has a high density at its mean.
    feature_log_ratio : contribution of each feature to `log_ratio`, (n_rows, n_features), in nats. The contribution is
        half the difference between the contributions of the feature to the squared distances of the row from the two
        components. `log_ratio` is the sum of the contributions of the features, the weights and the densities.
    squared_distance : squared Mahalanobis distance (x − μ)ᵀ Σ⁻¹ (x − μ) of each row from `component`, (n_rows,). If the
        label of a row is noise, the distance of the row is measured from the most probable component except noise.
    contributions : contribution of each feature to `squared_distance`, (n_rows, n_features), at least 0.
    chi2_p_value : probability, according to the χ² distribution, that a draw from the component has a larger
        `squared_distance` than the row, (n_rows,).
    rows : the explained rows, (n_rows, n_features), in data units.
    means, standard_deviations : mean and standard deviation of each row's component, (n_rows, n_features), in data
        units. The measurement errors of a row increase the standard deviations.
    names : names of the features.
    input_frame : data frame that contained the rows; None if the rows were an array.

    Notes
    -----
    The contributions to the squared distance are defined as in Garthwaite & Koch (2016), Australian & New Zealand
    Journal of Statistics 58, 99–119. With z = (x − μ) / σ and the correlation matrix R, the contributions are the
    squares of the vector R^(−½) z. Among all uncorrelated variables with variance 1, the variables R^(−½) z are the
    closest ones to z. The contributions do not depend on the units of the features. For a row drawn from the component,
    each contribution has the χ² distribution with 1 degree of freedom, so its mean is 1, and it exceeds 3.84 in 5 % of
    rows. If the features are uncorrelated, the contributions are z². The contribution of a missing value is NaN,
    which is left out of the sums of contributions.
    """

    component: NDArray[np.int64]
    second_component: NDArray[np.int64]
    log_ratio: Array
    responsibilities: Array
    log_weight_ratio: Array
    log_density_ratio: Array
    feature_log_ratio: Array
    squared_distance: Array
    contributions: Array
    chi2_p_value: Array
    rows: Array
    means: Array
    standard_deviations: Array
    names: tuple[str, ...]
    input_frame: Any = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.component)

    def __str__(self) -> str:
        lines = [line for row in range(min(len(self), _MAX_ROWS_SHOWN)) for line in self.describe_row(row)]
        left = len(self) - _MAX_ROWS_SHOWN
        return "\n".join([*lines, *([f"… and {counted(left, 'more row')}"] if left > 0 else [])])

    __repr__ = __str__

    def describe_row(self, row: int) -> list[str]:
        """Return lines of text about a row: its component, evidence for this component, and the row's unusual features.

        Parameters
        ----------
        row : index of the row.
        """
        second_component = int(self.second_component[row])
        probability = self._probability(row, int(self.component[row]))
        head = f"row {row}: {_component_name(self.component[row])}, probability {probability:.4g}"
        if second_component == self.component[row]:
            lines = [f"{head}; there is no other"]
        else:
            parts = self._largest(self.feature_log_ratio[row], "+.3g")
            parts += [f"weight {self.log_weight_ratio[row]:+.3g}", f"density {self.log_density_ratio[row]:+.3g}"]
            lines = [f"{head}; {self.log_ratio[row]:.3g} nats above {_component_name(second_component)}"]
            lines.append(f"  for it and against {_component_name(second_component)}: {', '.join(parts)}")
        if np.isnan(self.contributions[row]).all():
            return [*lines, "  every cell of the row is missing"]
        n_seen = int((~np.isnan(self.contributions[row])).sum())
        lines.append(
            f"  squared distance {self.squared_distance[row]:.3g} ({n_seen} in the mean, "
            f"p = {self.chi2_p_value[row]:.2g}):"
        )
        return lines + [f"    {each}" for each in self._largest(self.contributions[row], ".3g", row)]

    def to_frame(self) -> Any:
        """Return a data frame with one row per explained row: component, probability, log ratios and contributions.

        Returns
        -------
        frame : data frame of the same library as the explained rows, with their index if the library is pandas. If the
            rows were an array, the library is the first of pandas, polars and pyarrow that is installed.
        """
        probability = np.array([self._probability(row, int(k)) for row, k in enumerate(self.component)])
        columns: dict[str, Any] = {"component": self.component, "probability": probability}
        columns |= {name: getattr(self, name) for name in _COLUMNS}
        for what, parts in (("feature_log_ratio", self.feature_log_ratio), ("contribution", self.contributions)):
            columns |= {f"{what}_{name}": parts[:, j] for j, name in enumerate(self.names)}
        frame = None if self.input_frame is None else Frame.from_table(self.input_frame)
        result = made_frame(columns, None if frame is None else frame.library)
        if frame is not None and frame.library == "pandas":
            result.index = self.input_frame.index
        return result

    def _probability(self, row: int, component: int) -> float:
        responsibilities = self.responsibilities[row]
        return float(1 - responsibilities.sum() if component == NOISE_LABEL else responsibilities[component])

    def _largest(self, parts: Array, digits: str, row: int | None = None) -> list[str]:
        """List the features with the largest contributions; if `row` is given, with the values in this row."""
        order = [int(j) for j in np.argsort(-np.abs(parts), kind="stable") if not np.isnan(parts[j])]
        items = []
        for j in order[:_MAX_TERMS]:
            name, value = shorten(self.names[j]), ""
            if row is not None:
                value = (
                    f" = {self.rows[row, j]:.4g} ({self.means[row, j]:.4g} ± {self.standard_deviations[row, j]:.3g}):"
                )
            items.append(f"{name}{value} {parts[j]:{digits}}")
        return [*items, *(["…"] if len(order) > _MAX_TERMS else [])]


def _component_name(component: int) -> str:
    return "noise" if component == NOISE_LABEL else f"component {component}"


def explain_rows(
    mixture: Mixture, rows: Array, labels: NDArray[np.int64], responsibilities: Array, native: Any, error: Array | None
) -> Explanation:
    """Explain float64 rows (n_rows, n_features), given the labels and responsibilities that an engine has computed.

    Missing values (NaN) are allowed. `native` is the data frame that contained the rows. `error` contains measurement
    errors in the format of `Block`.
    """
    model, K = mixture._model, mixture.n_components
    heights, roots, units = _explain_components(model, rows, error)
    standard_deviations = np.broadcast_to(np.sqrt(model.covariances.variances()), (len(rows), K, rows.shape[1]))
    if error is not None:
        errors = error if error.ndim == 2 else np.einsum("nii->ni", error)
        standard_deviations = np.sqrt(standard_deviations**2 + errors[:, None])
    with np.errstate(divide="ignore"):
        log_weights = np.log([*model.weights, model.noise_weight])
    each = np.arange(len(rows))
    # The log densities in `log_joint` contain squares, so they are divided by the square of the row's power of 2.
    log_joint = np.ldexp(log_weights + heights, -2 * units[:, None]) - 0.5 * np.nansum(roots**2, axis=2)
    best = np.where(labels == NOISE_LABEL, K, labels)
    others = np.where(np.arange(K + 1) == best[:, None], -np.inf, log_joint)
    next_best = np.where(others.max(axis=1) == -np.inf, best, others.argmax(axis=1))
    is_alone = next_best == best
    best_component = np.where(best == K, log_joint[:, :K].argmax(axis=1), best)
    mine, other = roots[each, best], roots[each, next_best]
    with np.errstate(over="ignore"):  # values that are too large become infinite
        contributions = np.ldexp(roots[each, best_component], units[:, None]) ** 2
        squared = np.nansum(contributions, axis=1)
        feature_log_ratio = np.ldexp(0.5 * (other - mine) * (other + mine), 2 * units[:, None])
        log_ratio = np.ldexp(log_joint[each, best] - log_joint[each, next_best], 2 * units)
    return Explanation(
        component=np.where(best == K, NOISE_LABEL, best).astype(np.int64),
        second_component=np.where(next_best == K, NOISE_LABEL, next_best).astype(np.int64),
        log_ratio=np.where(is_alone, np.inf, log_ratio),
        responsibilities=responsibilities,
        log_weight_ratio=np.where(is_alone, np.inf, log_weights[best] - np.where(is_alone, 0, log_weights[next_best])),
        log_density_ratio=heights[each, best] - heights[each, next_best],
        feature_log_ratio=feature_log_ratio,
        squared_distance=squared,
        contributions=contributions,
        chi2_p_value=_tail_probabilities(squared, (~np.isnan(rows)).sum(axis=1)),
        rows=rows,
        means=model.means[best_component],
        standard_deviations=standard_deviations[each, best_component],
        names=names_of(mixture),
        input_frame=native,
    )


def _explain_components(model: Model, rows: Array, error: Array | None) -> tuple[Array, Array, Indices]:
    """Return log densities at the means, square roots of contributions, and an exponent e for each row, (n_rows,).

    The log densities and square roots have the same shapes as in `_explain_part`. The square roots of a row are divided
    by 2^e, so that the sum of their squares cannot overflow.
    """
    (n_rows, d), K = rows.shape, model.n_components
    heights, roots = np.empty((n_rows, K + 1)), np.empty((n_rows, K + 1, d))
    units = _exponents(np.fmax(np.nanmax(np.abs(rows), axis=1, initial=0.0), np.abs(model.means).max(initial=0.0)))
    for chosen, seen in patterns(np.isnan(rows)):
        pattern_error = None if error is None else error[chosen]
        heights[chosen], roots[chosen] = _explain_part(model, rows[chosen], seen, pattern_error, units[chosen])
    more = _exponents(np.nanmax(np.abs(roots), axis=(1, 2), initial=0.0))
    return heights, np.ldexp(roots, -more[:, None, None]), units + more


def _exponents(sizes: Array) -> Indices:
    """Return exponents e, for which (sizes / 2^e)² cannot overflow; e is 0 for sizes below 2^400."""
    return np.where(sizes > 2.0**400, np.frexp(sizes)[1], 0)


def _tail_probabilities(squared: Array, n_seen: Indices) -> Array:
    """Return P(χ² > squared) for each row, (n_rows,), with `n_seen` degrees of freedom; 1 if all values are missing."""
    tails = np.ones(len(squared))
    for degrees in np.unique(n_seen[n_seen > 0]).tolist():
        chosen = n_seen == degrees
        tails[chosen] = np.exp(log_tail(0.5 * squared[chosen], degrees))
    return tails


def _explain_part(model: Model, rows: Array, seen: Indices, error: Array | None, units: Indices) -> tuple[Array, Array]:
    """Return log densities at the means, and square roots of contributions, for rows with the same missing features.

    The log densities have shape (n_rows, n_components + 1), in nats. The square roots of the contributions have shape
    (n_rows, n_components + 1, n_features), are NaN for missing values, and are divided by 2^`units`. The last component
    of the log densities and of the square roots is the noise component.
    """
    n_rows, d = rows.shape
    K = model.n_components
    heights, roots = np.zeros((n_rows, K + 1)), np.full((n_rows, K + 1, d), np.nan)
    noise = model.noise
    if noise is not None:
        log_sides = noise.log_sides
        heights[:, K] = -(noise.log_volume if log_sides is None else log_sides[seen].sum())
    roots[:, K, seen] = 0.0
    if not len(seen):
        return heights, roots
    exponents = -units[:, None, None]
    offsets = np.ldexp(rows[:, None, seen], exponents) - np.ldexp(model.means[:, seen], exponents)
    if error is not None:
        heights[:, :K], roots[:, :K, seen] = _with_errors(model, offsets, seen, error)
        return heights, roots
    covariances = model.covariances if len(seen) == d else model.covariances.marginal(seen)
    whitening, standard_deviations = covariances.whitening, np.sqrt(covariances.variances())
    heights[:, :K] = whitening.log_abs_det - 0.5 * len(seen) * LOG_2PI
    for k in range(K):
        whitened = whitening.whiten(k, offsets[:, k])
        # The polar decomposition W diag(σ) = U H has H = R^(−½), so R^(−½) z is the rotated vector Uᵀ W (x − μ).
        left, _, right = np.linalg.svd(whitening.whiten(k, np.diag(standard_deviations[k])).T)
        roots[:, k, seen] = whitened @ (left @ right)
    return heights, roots


def _with_errors(model: Model, offsets: Array, seen: Indices, error: Array) -> tuple[Array, Array]:
    """Return log densities at the means, and square roots of the contributions, for the covariances Σ_k + `error`."""
    if error.ndim == 2:
        error = np.where(np.eye(error.shape[1]), error[:, :, None], 0.0)  # errors of missing values may be infinite
    total = model.covariances.dense()[:, seen][:, :, seen] + error[:, None, seen][..., seen]
    standard_deviations = np.sqrt(np.einsum("nkii->nki", total))
    values, vectors = np.linalg.eigh(total / (standard_deviations[..., None] * standard_deviations[..., None, :]))
    rotated = np.einsum("nkij,nki->nkj", vectors, offsets / standard_deviations)
    heights = -np.log(standard_deviations).sum(axis=2) - 0.5 * np.log(values).sum(axis=2) - 0.5 * len(seen) * LOG_2PI
    return heights, np.einsum("nkij,nkj->nki", vectors, rotated / np.sqrt(values))


Explanation.__module__ = "gaussmix"  # the public module that exports Explanation
