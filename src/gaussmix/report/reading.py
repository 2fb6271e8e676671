"""From a fitted estimator to what a reader asks of it: a summary, data frames, and a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from gaussmix.door.rows import check_counts_of_rows, counted_sum, counted_weight
from gaussmix.em.accumulate import StepTask
from gaussmix.em.criteria import Evidence, bic, icl
from gaussmix.engines.base import NOISE
from gaussmix.errors import FailureKind, Outcome, counted
from gaussmix.fit.diagnostics import Diagnosis
from gaussmix.fit.facts import RowFacts
from gaussmix.mixture.compare.neighbours import nearest
from gaussmix.mixture.explaining import Explanation, explained
from gaussmix.mixture.mixture import Mixture
from gaussmix.mixture.sketch import names_of
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.frames import Frame, made_frame
from gaussmix.report.summary import Summary
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.waist.need import Need, Rule, Second

if TYPE_CHECKING:
    from gaussmix.estimators.base import Estimator
    from gaussmix.estimators.mixture_estimator import MixtureEstimator
    from gaussmix.estimators.predictor import MixturePredictor
    from gaussmix.fit.stream import Stream


def summary_of(
    estimator: MixtureEstimator | MixturePredictor,
    X: ArrayLike | None,
    sample_weight: ArrayLike | None,
    names: tuple[str, ...] | None = None,
) -> Summary:
    """The summary of a fitted estimator, with numbers of rows X where they are given.

    Its features have their own names where no others are given.
    """
    estimator._check_fitted()
    mixture, facts = estimator.mixture_, _facts_of(estimator)
    known: dict[str, Any] = {"log_likelihood": None, "bic": None, "icl": None, "is_final": True}
    sizes = None if facts is None else _with_noise(mixture, mixture.weights * facts.row_weight, facts.row_weight)
    n_rows = None if facts is None else facts.n_rows
    if X is not None:
        source = check_counts_of_rows(estimator._source(X, sample_weight), estimator.weight_meaning)
        task = StepTask(estimator._engine(source), mixture.n_components, mixture.parameters, Need(Second.NONE))
        soft, hard = task.over(source), replace(task, rule=Rule.HARD).over(source)
        evidence = Evidence(soft.log_likelihood, hard.log_likelihood, estimator.n_parameters_, counted_weight(source))
        known |= {"log_likelihood": evidence.log_likelihood, "bic": bic(evidence), "icl": icl(evidence)}
        sizes, n_rows = _with_noise(mixture, soft.mass, soft.row_weight), source.n_rows
    elif hasattr(estimator, "results_") and facts is not None and facts.log_likelihood is not None:
        known |= {name: estimator.results_[name][estimator.best_index_] for name in ("log_likelihood", "bic", "icl")}
    elif facts is not None and facts.log_likelihood is not None:
        evidence = Evidence(facts.log_likelihood, np.nan, estimator.n_parameters_, facts.row_weight)
        known |= {"log_likelihood": facts.log_likelihood, "bic": bic(evidence), "is_final": False}
    size = {"n_rows": n_rows, "n_features": mixture.n_features, "n_components": mixture.n_components}
    found = {**size, "structure": mixture.family.name, "n_parameters": estimator.n_parameters_, **known}
    found |= _ending(estimator) | {"seconds": None if facts is None else facts.seconds}
    title = f"{type(estimator).__name__}: {counted(mixture.n_components, 'component')}, {mixture.family.name}"
    names, library = names or names_of(mixture), None if facts is None else facts.library
    return Summary(title, found, _columns(mixture, names, sizes), _warnings(estimator), mixture, names, library)


def tidy_of(estimator: MixtureEstimator) -> Any:
    """The components as a data frame."""
    return summary_of(estimator, None, None).to_frame()


def glance_of(estimator: MixtureEstimator, X: ArrayLike | None, sample_weight: ArrayLike | None) -> Any:
    """The fit as a whole, as a data frame of one row."""
    summary = summary_of(estimator, X, sample_weight)
    return made_frame({name: [value] for name, value in summary.facts.items()}, summary.library)


def augmented(estimator: MixtureEstimator, X: ArrayLike) -> Any:
    """The rows with what the mixture says of each, as a data frame."""
    source, frame = _rows_of(estimator, X)
    if not isinstance(source, ArraySource):
        raise TypeError("augment takes an array or a data frame in memory: for other rows, add predict(X) yourself.")
    engine = estimator._engine(source)
    shares = estimator._each_row(source, engine.responsibilities)
    of_noise = np.maximum(1 - shares.sum(axis=1), 0.0) if estimator.mixture_.noise is not None else 0.0
    columns = {
        "component": estimator._each_row(source, engine.labels),
        "uncertainty": 1 - np.maximum(shares.max(axis=1), of_noise),
        "log_density": estimator._each_row(source, engine.log_density),
    }
    if frame is not None:
        return frame.with_columns(columns)
    rows = next(iter(source.blocks())).rows
    return made_frame({name: rows[:, j] for j, name in enumerate(names_of(estimator.mixture_))} | columns)


def explanation_of(estimator: MixtureEstimator, X: ArrayLike) -> Explanation:
    """Why rows belong to their components."""
    source, frame = _rows_of(estimator, X)
    if not isinstance(source, ArraySource):
        raise TypeError("explain takes an array or a data frame in memory: read some of the rows first.")
    block = next(iter(source.blocks()))
    engine = estimator._engine(source)
    found = estimator._each_row(source, engine.labels), estimator._each_row(source, engine.responsibilities)
    native = None if frame is None else frame.native
    return explained(
        estimator.mixture_.model, block.rows.astype(np.float64), *found, names_of(estimator.mixture_), native
    )


def _rows_of(estimator: MixtureEstimator, X: ArrayLike) -> tuple[Source, Frame | None]:
    """The rows, and the data frame that they came in, which may have more columns than the features."""
    frame, names = Frame.of(X), getattr(estimator, "feature_names_in_", None)
    return estimator._source(X if frame is None or names is None else frame.only(names)), frame


def line_of(estimator: Estimator) -> str:
    """A line on the result: size, rows, log-likelihood, steps and time, as far as they are known."""
    mixture, facts, found = estimator.mixture_, _facts_of(estimator), estimator._fitted
    d = mixture.n_features
    parts = [counted(mixture.n_components, "component"), mixture.family.name]
    parts.append(counted(d, "feature") if facts is None else f"{facts.n_rows:,} × {d}")
    if facts is not None and facts.log_likelihood is not None:
        parts.append(f"{facts.log_likelihood / facts.row_weight:.4g} nats a row".replace("-", "−"))
    if found.n_iter is not None:
        parts.append(counted(found.n_iter, "step") + (", not converged" if found.converged is False else ""))
    if facts is not None and facts.seconds is not None:
        parts.append(_time(facts.seconds))
    return ", ".join(parts)


def described(estimator: BaseEstimator, n_char_max: int) -> str:
    """scikit-learn's repr; it breaks the lines of an estimator only where the class has no repr of its own."""
    kind = type(estimator)
    plain = type(kind.__name__, (BaseEstimator,), {"__init__": kind.__init__})
    same: Any = object.__new__(plain)
    vars(same).update(estimator.get_params(deep=False))
    return str(BaseEstimator.__repr__(same, n_char_max))


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _facts_of(estimator: Estimator) -> RowFacts | None:
    """What is known of the rows; of a stream that makes steps, how many there were and their weight."""
    facts = estimator._fitted.facts
    stream: Stream | None = vars(estimator).get("_stream")
    if stream is None:
        return facts
    n_seen = stream.n_seen
    if facts is not None and (stream.learned is None or not stream.held):  # no row came after the fit
        return replace(facts, n_rows=n_seen)
    return RowFacts(n_seen, counted_sum(stream.row_weight, n_seen), None, None)


def _with_noise(mixture: Mixture, sizes: Array, total: float) -> Array:
    """Sizes of the components, and of noise where there is some."""
    return sizes if mixture.noise is None else np.array([*sizes, total - sizes.sum()])


def _columns(mixture: Mixture, names: Sequence[str], sizes: Array | None) -> dict[str, Array]:
    """A row for each component, and one for noise."""
    n_noise = 0 if mixture.noise is None else 1
    neighbour, overlap = nearest(mixture.model)
    deviations = np.sqrt(mixture.model.covariances.variances())
    none = np.full(n_noise, np.nan)
    weights = mixture.weights if mixture.noise is None else [*mixture.weights, mixture.noise.weight]
    columns: dict[str, Array] = {
        "component": np.array([*range(mixture.n_components), *[NOISE] * n_noise]),
        "weight": np.array(weights),
    }
    if sizes is not None:
        columns["size"] = np.array(sizes)
    for j, name in enumerate(names):
        columns[f"mean_{name}"] = np.append(mixture.means[:, j], none)
        columns[f"sd_{name}"] = np.append(deviations[:, j], none)
    columns["nearest"] = np.append(neighbour, np.full(n_noise, -1))
    columns["overlap"] = np.append(overlap, none)
    return columns


def _ending(estimator: MixtureEstimator | MixturePredictor) -> dict[str, Any]:
    """Why EM stopped, after how many steps, what was left to gain, and how many starts agreed; None where unknown."""
    found = estimator._fitted
    outcome, converged = found.outcome, found.converged
    reason = None if converged is None else (Outcome.CONVERGED if converged else Outcome.STEP_LIMIT).value
    return {
        "converged": converged,
        "n_iter": found.n_iter,
        "stopped": reason if outcome is None else outcome.reason,
        "remaining_gain": None if outcome is None else outcome.remaining_gain,
        "n_starts": None if outcome is None else outcome.n_starts,
        "n_agreed": None if outcome is None else outcome.n_agreed,
    }


def _warnings(estimator: MixtureEstimator | MixturePredictor) -> list[str]:
    """What was unusual: about components and features by name, and about candidates of a search."""
    found = [_sentence(each) for each in estimator._fitted.diagnostics or []]
    failures = (estimator._fitted.results or {}).get("failure", [])
    kinds = [None if each is None else FailureKind.of_text(each) for each in failures]
    failed = Counter(kind.words for kind in kinds if kind is not None and kind.was_begun)
    if failed:
        reasons = ", ".join(f"{number} × {words}" for words, number in failed.most_common())
        n_begun = counted(sum(kind is None or kind.was_begun for kind in kinds), "candidate")
        found.append(f"{failed.total()} of {n_begun} could not be fitted: {reasons}. results_ has the reason of each.")
    return found


def _sentence(diagnosis: Diagnosis) -> str:
    where = [] if diagnosis.component is None else [f"component {diagnosis.component}"]
    where += [] if diagnosis.feature is None else [f"feature {diagnosis.feature!r}"]
    where += [] if diagnosis.step is None else [f"step {diagnosis.step}"]
    return f"{', '.join(where)}: {diagnosis.cause}." if where else f"{diagnosis.cause}."
