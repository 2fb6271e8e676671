"""Reports on a fit: a summary, data frames, and a one-line description."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np

from gaussmix._src.em.step.accumulate import MAX_RESPONSIBILITIES
from gaussmix._src.engines.base import NOISE_LABEL, Engine
from gaussmix._src.errors import REASONS_IN_RESULTS, ParameterTypeError, StopReason, counted, warn
from gaussmix._src.fit.criteria import CriterionInputs, bic, icl, soft_and_hard_moments
from gaussmix._src.fit.fitted import Diagnosis, FitResult
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.base import append_noise
from gaussmix._src.mixture.compare.gaussians import nearest
from gaussmix._src.mixture.explaining import Explanation, explain_rows
from gaussmix._src.mixture.html import sketch
from gaussmix._src.mixture.levels import half_square
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import names_of
from gaussmix._src.numerics.arrays import Array, Indices, Rows, check_size
from gaussmix._src.numerics.frames import Frame, made_frame
from gaussmix._src.report.messages import failed_sentence, stability_sentence
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.rows import count_rows

_MIN_P_VALUE = 1e-6  # p-value below which a row counts as distant from the mixture
_MAX_DIAGNOSES = 20  # maximum number of diagnoses that a summary lists
_MAX_DISTANT = 3  # up to this number of distant rows, no warning, because any table may have a few
EXACT = "The fit had X_error, but these numbers treat X as exact. Pass X_error, too."


def make_summary(
    kind: str, fitted: FitResult, rows: tuple[Source, Engine[Any]] | None = None, names: tuple[str, ...] | None = None
) -> Summary:
    """Create the summary of a fit.

    `kind` is the name of the estimator, and `names` are feature names for a mixture without names. `rows` is a pair: a
    source of rows, whose weights are counts, and an engine. If `rows` is None, the summary has only the statistics that
    the fit stored.
    """
    mixture, summary = fitted.mixture, fitted.row_summary
    values: dict[str, Any] = {"log_likelihood": None, "bic": None, "icl": None, "is_final": True}
    sizes = None if summary is None else append_noise(mixture, mixture.weights * summary.row_weight, summary.row_weight)
    n_rows, n_missing = (None, None) if summary is None else (summary.n_rows, summary.n_missing)
    warnings = _warnings(fitted)
    if rows is not None:
        source, engine = rows
        soft, hard = soft_and_hard_moments(mixture._model, source, engine)
        inputs = CriterionInputs(soft.log_likelihood, hard.log_likelihood, fitted.n_parameters, count_rows(source))
        values |= {"log_likelihood": inputs.log_likelihood, "bic": bic(inputs), "icl": icl(inputs)}
        sizes, n_rows = append_noise(mixture, soft.mass, soft.row_weight), source.n_rows
        n_missing = int(source.collect(Cells).n_missing.sum()) if source.may_miss else 0
        if summary is not None and summary.has_errors and not source.has_errors:
            warnings.append(EXACT)
    elif summary is not None and summary.log_likelihood is not None:
        if fitted.results is not None:
            values |= {name: fitted.results[name][fitted.best_index or 0] for name in ("log_likelihood", "bic", "icl")}
        else:
            inputs = CriterionInputs(summary.log_likelihood, np.nan, fitted.n_parameters, summary.row_weight)
            values |= {"log_likelihood": summary.log_likelihood, "bic": bic(inputs), "is_final": False}
    size = {"n_rows": n_rows, "n_features": mixture.n_features, "n_missing": n_missing}
    items = {
        **size,
        "n_components": mixture.n_components,
        "structure": mixture.family.name,
        "n_parameters": fitted.n_parameters,
        **values,
    }
    items |= _describe_end(fitted) | {"seconds": None if summary is None else summary.seconds}
    title = f"{kind}: {counted(mixture.n_components, 'component')}, {mixture.family.name}"
    names = names or names_of(mixture)
    return Summary(title, items, _columns(mixture, names, sizes), warnings, mixture, names, fitted.frame_library)


def augment_rows(mixture: Mixture, source: Source, engine: Engine[Any], frame: Frame | None, estimator: Any) -> Any:
    """Return the rows as a data frame with the additional columns component, uncertainty, log_density and p_value.

    If the rows are from a data frame, the columns are added to this data frame. Labels are computed with `mixture`, and
    log densities with `estimator`.
    """
    if not isinstance(source, ArraySource):
        raise ParameterTypeError("augment needs an array or a data frame in memory. For other rows, use predict(X).")
    labels = source.each_row(partial(engine.labels, parameters=mixture.parameters))
    rows, log_density = next(iter(source.blocks())).rows, source.each_row(estimator._density(source))
    p_value, known = np.full(len(rows), np.nan), ~np.isnan(rows).any(axis=1) & (not source.has_errors)
    # The p-values are computed with `estimator.mixture_`, because it caches the density levels that p-values need.
    p_value[known] = estimator.mixture_.without_noise.density_p_value(rows[known])
    n_distant = 0 if source.has_errors else count_distant(estimator.mixture_, rows, labels, log_density)
    warn(distant_sentence(n_distant, len(rows)))
    uncertainty = source.each_row(partial(_uncertainty, mixture=mixture, engine=engine))
    columns = {"component": labels, "uncertainty": uncertainty, "log_density": log_density, "p_value": p_value}
    if frame is not None:
        return frame.with_columns(columns)
    return made_frame({name: rows[:, j] for j, name in enumerate(names_of(mixture))} | columns)


def count_distant(mixture: Mixture, rows: Rows, labels: Indices, log_density: Array) -> int:
    """Count distant rows among the complete rows that are not noise.

    A row is distant if its density lies far enough below the peak density of every component for a p-value below 1e-6.
    """
    peaks = mixture.parameters.log_scale
    level = peaks[peaks > -np.inf].min(initial=np.inf) - half_square(np.log([_MIN_P_VALUE]), mixture.n_features)
    return int(np.count_nonzero((log_density < level) & (labels >= 0) & ~np.isnan(rows).any(axis=1)))


def distant_sentence(n_distant: int, n_rows: int) -> str | None:
    """Return a warning about `n_distant` distant rows; None if at most 3 rows, or 1% of all rows, are distant."""
    if n_distant <= max(_MAX_DISTANT, n_rows // 100):
        return None
    return (
        f"{n_distant:,} of {counted(n_rows, 'row')} lie where the mixture has no mass (p-value < {_MIN_P_VALUE:g}), "
        "so their components are not meaningful. Pass rows in the same units, and with the same transformations, as in "
        "fit."
    )


def make_explanation(mixture: Mixture, source: Source, engine: Engine[Any], frame: Frame | None) -> Explanation:
    """Create an `Explanation` of why each row was assigned to its component."""
    if not isinstance(source, ArraySource):
        raise ParameterTypeError("explain needs an array or a data frame in memory. Read some of the rows first.")
    (block,) = source.blocks()
    check_size(block.n_rows, len(mixture), "explain some of the rows at a time")
    labels = source.each_row(partial(engine.labels, parameters=mixture.parameters))
    responsibilities = source.each_row(partial(engine.responsibilities, parameters=mixture.parameters))
    native = None if frame is None else frame.native
    rows = block.rows.astype(np.float64)
    return explain_rows(mixture, rows, labels, responsibilities, native, block.error)


def _uncertainty(block: Block, mixture: Mixture, engine: Engine[Any]) -> Array:
    """Return 1 − max_k p(k | x) for each row, (n_rows,), where k may be noise; parts of the block limit memory."""
    parts = []
    for part in block.split_by_values(len(mixture), MAX_RESPONSIBILITIES):
        responsibilities = engine.responsibilities(part, mixture.parameters)
        parts.append(1 - append_noise(mixture, responsibilities).max(axis=1))
    return np.concatenate(parts)


def _one_line(fitted: FitResult) -> str:
    """Describe a fit in one line with size, rows, log-likelihood, steps and time; unknown values are left out."""
    mixture, summary = fitted.mixture, fitted.row_summary
    d = mixture.n_features
    parts = [counted(mixture.n_components, "component"), mixture.family.name]
    parts.append(counted(d, "feature") if summary is None else f"{summary.n_rows:,} × {d}")
    if summary is not None and summary.log_likelihood is not None:
        parts.append(f"{summary.log_likelihood / summary.row_weight:.4g} nats per row".replace("-", "−"))
    if fitted.n_iter is not None:
        parts.append(counted(fitted.n_iter, "step") + ("" if fitted.converged in (None, True) else ", not converged"))
    if fitted.outcome is not None and fitted.outcome.is_maximum is not None:
        parts.append("near a maximum" if fitted.outcome.is_maximum else "not near a maximum")
    if summary is not None and summary.seconds is not None:
        parts.append(f"{1e3 * summary.seconds:.0f} ms" if summary.seconds < 0.9995 else f"{summary.seconds:.3g} s")
    return ", ".join(parts)


def as_html(fitted: FitResult) -> str:
    """Return one line of text and a small picture as HTML for notebooks."""
    return f"<div><p><b>{escape(_one_line(fitted))}</b></p>{sketch(fitted.mixture)}</div>"


def _columns(mixture: Mixture, names: Sequence[str], sizes: Array | None) -> dict[str, Array]:
    """Return the columns of `tidy`, with a row for each component and, if there is noise, a row for noise."""
    n_noise = 0 if mixture.noise is None else 1
    neighbour, overlap = nearest(mixture._model)
    deviations = np.sqrt(mixture._model.covariances.variances())
    none = np.full(n_noise, np.nan)
    columns: dict[str, Array] = {
        "component": np.array([*range(mixture.n_components), *[NOISE_LABEL] * n_noise]),
        "weight": np.array(mixture._model.all_weights),
    }
    if sizes is not None:
        columns["size"] = np.array(sizes)
    for j, name in enumerate(names):
        columns[f"mean_{name}"] = np.append(mixture.means[:, j], none)
        columns[f"sd_{name}"] = np.append(deviations[:, j], none)
    columns["nearest"] = np.append(neighbour, np.full(n_noise, -1))
    columns["overlap"] = np.append(overlap, none)
    return columns


def _describe_end(fitted: FitResult) -> dict[str, Any]:
    """Return when and why EM stopped, and what is known of the maximum, starts and search; otherwise None."""
    outcome, converged = fitted.outcome, fitted.converged
    reason = None if converged is None else (StopReason.CONVERGED if converged else StopReason.STEP_LIMIT).sentence()
    values = {"converged": converged, "n_iter": fitted.n_iter, "stopped": reason if outcome is None else outcome.reason}
    end_names = "certificate", "is_maximum", "remaining_gain", "label_change_fraction", "n_starts", "n_starts_at_best"
    search_names = "n_moves_tried", "n_moves_accepted", "search_gain"
    return values | {name: getattr(outcome, name, None) for name in (*end_names, *search_names)}


def _warnings(fitted: FitResult) -> list[str]:
    """Return warnings about components and features of the fit, and about candidates of a model selection."""
    noted = [] if fitted.outcome is None else fitted.outcome.diagnostics
    items = [_sentence(each) for each in noted[:_MAX_DIAGNOSES]]
    if len(noted) > _MAX_DIAGNOSES:
        items.append(f"{len(noted) - _MAX_DIAGNOSES:,} more: see outcome_.diagnostics.")
    if fitted.results is None:
        return items
    if (sentence := failed_sentence(fitted.results)) is not None:
        items.append(sentence + REASONS_IN_RESULTS)
    marked = fitted.results.get("warning", [])
    if n_weak := sum(each is not None for each in marked):
        weak_count = f"{counted(n_weak, 'candidate')} of {len(marked)}"
        what = "components that have few distinct rows or rest on reg_covar, so that their criteria are unreliable"
        items.append(f"{weak_count} with {what}. results_ names these components.")
    sentences = _limit_sentence(fitted), stability_sentence(fitted.results, fitted.best_index or 0)
    return [*items, *filter(None, sentences)]


def _limit_sentence(fitted: FitResult) -> str | None:
    """Return a warning if the best mixture has the largest number of components for which a fit succeeded."""
    assert fitted.results is not None, "checked by the caller"
    each = zip(fitted.results["n_components"], fitted.results["failure"], strict=True)
    counts = {count for count, failure in each if failure is None}
    if len(counts) < 2 or fitted.model.n_components < max(counts):
        return None
    return f"The best mixture has {max(counts)} components, the largest number that was fitted. Try larger numbers."


def _sentence(diagnosis: Diagnosis) -> str:
    where = [] if diagnosis.component is None else [f"component {diagnosis.component}"]
    where += [] if diagnosis.feature is None else [f"feature {diagnosis.feature!r}"]
    where += [] if diagnosis.step is None else [f"step {diagnosis.step}"]
    return f"{', '.join(where)}: {diagnosis.cause}." if where else f"{diagnosis.cause}."
