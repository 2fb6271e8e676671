"""Describe a fit in sentences, for readers who do not want to look at parameters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.em.step.accumulate import MAX_RESPONSIBILITIES
from gaussmix._src.errors import counted, listed
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture, as_estimator
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.families.base import Family
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import mean_and_deviation
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.plot.subject import overall
from gaussmix._src.report.estimates import MixtureEstimates
from gaussmix._src.report.messages import failed_sentence, stability_sentence
from gaussmix._src.report.reading import count_distant, distant_sentence
from gaussmix._src.sources.array import ArraySource

_OUTSIDE_MASS = 0.001  # probability of the low-density region whose rows are called unusual
_MIN_CERTAINTY = 0.9
# Pairs of an upper limit and a description of BIC differences below it (Kass & Raftery 1995, JASA 90, p. 777).
_EVIDENCE = ((2.0, "hardly"), (6.0, "somewhat"), (10.0, "clearly"))
_MAX_NAMED = 3
_MAX_SCORE_PRODUCTS = 2e9  # maximum number of multiplications in `inference`, which take about a second


@dataclass(frozen=True)
class ReportData:
    """Mixture and rows that a report describes.

    Parameters
    ----------
    mixture : the mixture that the report describes.
    names : names of the features.
    rows : (n_rows, n_features), the rows in data units, with NaN for missing values.
    selection : model selection that chose the mixture; None if the mixture was read from a file.
    row_weight : (n_rows,), row weights ≥ 0; None if all weights are 1.
    row_indices : (n_rows,), indices of the rows in the table; None if no row of the table is left out.
    """

    mixture: Mixture
    names: Sequence[str]
    rows: Array
    selection: GaussianMixtureIC | None = None
    row_weight: Array | None = None
    row_indices: NDArray[np.intp] | None = None

    @cached_property
    def _estimator(self) -> GaussianMixture:
        """Return an estimator with this mixture, because only estimators can predict rows with missing values."""
        return as_estimator(self.mixture)

    @cached_property
    def is_complete(self) -> NDArray[np.bool_]:
        """Return for each row whether all its values are observed, (n_rows,)."""
        return np.asarray(~np.isnan(self.rows).any(axis=1))

    @cached_property
    def log_density(self) -> Array:
        """Return log p(observed values) for each row, (n_rows,), in nats."""
        return np.asarray(self._estimator.score_samples(self.rows), dtype=np.float64)

    @cached_property
    def inference(self) -> MixtureEstimates | None:
        """Return estimates with standard errors; None if no formula applies, or if it would take too long."""
        # The names of the features appear in the names of the estimates.
        named = as_estimator(self.mixture.with_feature_names(self.names))
        estimator, n_rows = self.selection or named, len(self.rows)
        if n_rows * self.mixture.n_parameters**2 > _MAX_SCORE_PRODUCTS:
            return None
        rows: Any = ArraySource(self.rows, self.row_weight)
        rows.may_miss, rows.feature_names = not self.is_complete.all(), tuple(self.names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no warnings, because the page shows the notes of the estimates
            try:
                return estimator.inference(rows)
            except ValueError:
                return None

    @cached_property
    def certainty(self) -> Array:
        """Return the probability of the most probable component for each row, (n_rows,)."""
        n_parts = 1 + len(self.rows) * len(self.mixture) // MAX_RESPONSIBILITIES
        parts = (self._estimator.predict_proba(part) for part in np.array_split(self.rows, n_parts))
        return np.concatenate([part.max(axis=1) for part in parts])

    @cached_property
    def labels(self) -> NDArray[np.intp]:
        """Return the most probable component of each row, (n_rows,); −1 for noise."""
        return self._estimator.predict(self.rows)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of rows whose most probable component is k, for each component k, (n_components,)."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.mixture.n_components)

    def mean(self, values: ArrayLike) -> float:
        """Return the mean of a value over all rows, weighted by the row weights."""
        return float(np.average(np.asarray(values), weights=self.row_weight))

    @cached_property
    def standardised_means(self) -> Array:
        """Return (μ_kj − μ_j) / σ_j for each component k and feature j; μ_j and σ_j describe the whole mixture."""
        centre, spread = overall(self.mixture.weights, self.mixture.means, self.deviations**2)
        return (self.mixture.means - centre) / spread

    @property
    def deviations(self) -> Array:
        """Return the standard deviations, (n_components, n_features), in data units."""
        return np.sqrt(self.mixture._model.covariances.variances())

    def distinguishing_features(self, n: int) -> list[int]:
        """Return the `n` features for which the means of the components differ most, in the order of the table."""
        differences = self.mixture.weights @ self.standardised_means**2
        return sorted(np.argsort(-differences, kind="stable")[:n].tolist())

    def named(self, features: Sequence[int]) -> str:
        """List the names of some features in quotes."""
        return listed([self.names[at] for at in features])

    def sentences(self) -> Iterator[str]:
        """Yield the interpretation of the fit, one paragraph at a time."""
        yield from self._choice()
        if self.mixture.n_components > 1:
            yield from (self._component(k) for k in np.argsort(-self.mixture.weights, kind="stable"))
            yield self._separation()
        if self.mixture.noise is not None:
            yield self._background(self.mixture.noise.weight)
        elif (self.is_complete if self.row_weight is None else self.row_weight[self.is_complete]).any():
            yield self._unusual()
        n_distant = count_distant(self.mixture, self.rows, self.labels, self.log_density)
        yield from filter(None, [distant_sentence(n_distant, len(self.rows))])

    def _choice(self) -> Iterator[str]:
        n_components, selection = self.mixture.n_components, self.selection
        covariances = covariances_text(self.mixture.family)
        if n_components == 1:
            sign = "; there is no sign of groups" if self._is_compared else ""
            yield f"One normal distribution with {covariances} describes the rows{sign}."
        else:
            yield f"The rows are described as {n_components} groups, each a normal distribution with {covariances}."
        if selection is None:
            return
        values = np.array(selection.results_[selection.criterion], dtype=float)
        others = [v for at, v in enumerate(values) if at != selection.best_index_ and np.isfinite(v)]
        if others and selection.criterion in ("bic", "icl"):
            gap, n_fitted = abs(min(others) - values[selection.best_index_]), len(others) + 1
            word = next((word for limit, word in _EVIDENCE if gap < limit), "very clearly")
            name = selection.criterion.upper()
            second = f"the second best of {n_fitted} fitted candidates"
            claim = f"The {name} of this model is {word} better than {second} (by {gap:.1f})."
            yield " ".join(filter(None, [claim, failed_sentence(selection.results_)]))
        best_warning = selection.results_["warning"][selection.best_index_]
        yield from filter(None, (stability_sentence(selection.results_, selection.best_index_), best_warning))
        if len(set(selection.results_["n_components"])) > 1 and n_components == max(selection.results_["n_components"]):
            yield f"{n_components} is the largest number of groups that was tried: a larger one may be better still."
        if not selection.converged_:
            yield "The fit had not converged: raise the limit on steps before trusting the numbers."
        elif selection.outcome_.certificate is not None:
            yield selection.outcome_.certificate

    @property
    def _is_compared(self) -> bool:
        """Return whether fits with different numbers of components were compared."""
        if self.selection is None:
            return False
        results = self.selection.results_
        tried = np.isfinite(np.array(results[self.selection.criterion], dtype=float))
        return len(set(np.array(results["n_components"])[tried])) > 1

    def _component(self, k: int) -> str:
        """Describe the features in which a component differs from the whole mixture."""
        means = self.standardised_means[k]
        order = [j for j in np.argsort(-np.abs(means), kind="stable") if abs(means[j]) >= 0.3][:_MAX_NAMED]
        parts = []
        for j in order:
            value = mean_and_deviation(self.mixture.means[k : k + 1, j], self.deviations[k : k + 1, j])[0]
            parts.append(f"{'high' if means[j] > 0 else 'low'} {self.names[j]} ({value})")
        what = ", ".join(parts) if parts else "average in all features"
        size = f"{100 * self.mixture.weights[k]:.3g} % of the distribution, {counted(int(self.counts[k]), 'row')}"
        return f"Component {k} ({size}): {what}."

    def _separation(self) -> str:
        """Describe how certain the assignment of rows to components is."""
        certain = self.mean(self.certainty > _MIN_CERTAINTY)
        kind = "well apart" if certain > 0.95 else "partly mixed" if certain > 0.7 else "strongly mixed"
        fraction = "all" if certain == 1 else f"{100 * certain:.1f} %"
        rows = "the rows" if self.row_weight is None else "the rows, by weight,"
        return f"The groups are {kind}: {fraction} of {rows} have a component of probability above {_MIN_CERTAINTY:g}."

    def _background(self, weight: float) -> str:
        """Describe the weight of the noise component, and the number of noise rows."""
        n_rows = int((self.labels < 0).sum())
        belong = f"{counted(n_rows, 'row')} most probably belong{'s' * (n_rows == 1)} to it, and to no group."
        return f"A uniform background contains {100 * weight:.3g} % of the distribution. {belong}"

    def _unusual(self) -> str:
        """Compare the number of unusual complete rows with the number expected under the mixture.

        Rows with missing values are left out, because their densities can't be compared with densities of complete
        rows.
        """
        level = float(np.asarray(self.mixture.highest_density_level(1 - _OUTSIDE_MASS)))
        outside = self.log_density[self.is_complete] < level
        region = f"the region that contains {100 * (1 - _OUTSIDE_MASS):.4g} % of the model's mass"
        which = "" if self.is_complete.all() else " without empty cells"
        if self.row_weight is not None:
            fraction = float(np.average(outside, weights=self.row_weight[self.is_complete]))
            chance = f"Chance alone puts about {100 * _OUTSIDE_MASS:g} % there."
            return f"{100 * fraction:.3g} % of the weight of rows{which} lies outside {region}. {chance}"
        n_out, expected = int(outside.sum()), _OUTSIDE_MASS * len(outside)
        verdict = "these are more" if n_out > expected + 3 * np.sqrt(expected) + 1 else "nothing unusual"
        return (
            f"{counted(n_out, 'row')} of {len(outside):,}{which} {'lies' if n_out == 1 else 'lie'} outside {region}. "
            f"Chance alone puts about {expected:.1f} there: {verdict}."
        )


def covariances_text(family: Family) -> str:
    """Describe a covariance structure with its non-default options, as in "tied covariances"."""
    options = ", ".join(f"{name}={value}" for name, value in family.non_default_params.items())
    return f"{family.name} covariances ({options})" if options else f"{family.name} covariances"
