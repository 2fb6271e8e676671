"""The output of `fit`, `describe` and `score`, as text and as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import click
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import json_value
from gaussmix._src.cli.show.notices import in_options
from gaussmix._src.cli.show.report_data import covariances_text
from gaussmix._src.errors import REASONS_IN_RESULTS, FailureKind, counted
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.estimators.posterior_estimator import components_used
from gaussmix._src.fit.criteria import CROSS_VALIDATION, HIGHER_IS_BETTER, criterion_title, structure_names
from gaussmix._src.fit.fitted import FitResult, Outcome, RowSummary
from gaussmix._src.fit.saved_result import RUN_FIELDS, read_records
from gaussmix._src.formats.record import Damaged, Details, FitRecord
from gaussmix._src.formats.values import from_json
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.mixtures import Mixtures
from gaussmix._src.mixture.words import first_names, shorten
from gaussmix._src.report.estimates import MixtureEstimates
from gaussmix._src.report.messages import SearchWarning, stability_sentence
from gaussmix._src.report.reading import make_summary
from gaussmix._src.sources.tables.base import STANDARD

_Record = TypeVar("_Record")
_MAX_NAMES = 20
_MAX_LISTED = 10  # maximum number of candidates that are listed if several covariance structures were tried
_FAILED, _WEAK = "–", "?"
_MIN_WIDTH = 72  # minimum width of tables, so that numbers are not cut off on a narrow terminal
# These parameters are not listed as settings, because they are shown elsewhere or do not change the fit.
_NOT_SETTINGS = ("covariance_type", "n_components", "verbose", "verbose_interval")


def console(*, stderr: bool = False) -> Console:
    """Return a rich console that prints names unchanged and is wide enough for tables."""
    result = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    result.width = max(result.width, _MIN_WIDTH)
    return result


def echo_json(values: dict[str, Any]) -> None:
    """Print values as JSON."""
    click.echo(json.dumps(values, ensure_ascii=False))


def show_fit(selection: GaussianMixtureIC, about: Mapping[str, Any]) -> None:
    """Print the result of a finished model selection as text.

    `about` has the path of the table (`data`), `n_rows`, the number of missing values `n_missing`, the total weight
    `row_weight` and `feature_names`. `weights` is the name of the column of weights or None; `model` is the path of the
    model file that was written, or None.
    """
    mixture, names = selection.mixture_, about["feature_names"]
    screen = console(stderr=about["model"] == STANDARD)  # standard output must contain only the model
    weight = f" of total weight {about['row_weight']:g} ({shorten(about['weights'])})" if about["weights"] else ""
    size = f"{counted(about['n_rows'], 'row')}{weight}, {counted(len(names), 'feature')}"
    missing = f", {counted(about['n_missing'], 'cell')} missing" if about["n_missing"] else ""
    screen.print(f"{_display_name(about['data'])}: {size} ({first_names(names)}){missing}\n", soft_wrap=True)
    show_top(screen, selection)
    show_matrix(screen, selection)
    if any(selection.results_["warning"]):
        why = "Components have few distinct rows, or rest on --reg-covar: the criterion is unreliable."
        best_warning = in_options(selection.results_["warning"][selection.best_index_] or "")
        screen.print(f"\n{_WEAK} {why} {best_warning}".rstrip(), soft_wrap=True)
    counts = selection.results_["n_components"]
    if len(set(counts)) > 1 and mixture.n_components == max(counts):
        screen.print(f"K = {mixture.n_components} is the largest tried; a larger one may be better still.")
    if (sentence := stability_sentence(selection.results_, selection.best_index_)) is not None:
        screen.print(f"\n{sentence}", soft_wrap=True)
    screen.print(f"\nK = {mixture.n_components}, {covariances_text(mixture.family)}, mean ± sd:\n")
    screen.print(selection.summary().table(screen.width), soft_wrap=True)
    ended = f"Ended after {counted(selection.n_iter_, 'step')}. {in_options(selection.outcome_.reason)}"
    ended = " ".join(filter(None, [ended, in_options(selection.outcome_.certificate or "")]))
    screen.print(f"\n{ended}")
    screen.print(_written("Model", about["model"], "MODEL.gmm"), soft_wrap=True)


def show_top(console: Console, selection: GaussianMixtureIC) -> None:
    """Print all candidates if there is only one structure, otherwise the best candidates from best to worst."""
    results, criterion = selection.results_, selection.criterion
    names = structure_names(results)
    several = len(set(names)) > 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in (*["structure"] * several, "K", "log-likelihood", criterion_title(criterion), "steps"):
        table.add_column(heading, justify="left" if heading == "structure" else "right", no_wrap=True)
    table.add_column("converged")  # only this column may wrap, because reasons for failures can be long
    for index in _best_first(selection) if several else range(len(names)):
        row = {name: column[index] for name, column in results.items()}
        begin = [*[names[index]] * several, str(row["n_components"])]
        if row["failure"] is not None:
            why = "failed: " * FailureKind.from_text(row["failure"]).was_started + in_options(row["failure"])
            table.add_row(*begin, *[_FAILED] * 3, why, style="dim")
            continue
        is_best = index == selection.best_index_
        chosen = f"  ← {mark(criterion)} {criterion_title(criterion)}" if is_best else ""
        ended = f"{'yes' if row['converged'] else 'no'}{chosen}"
        value = in_digits(row[criterion], criterion) + _WEAK * (row["warning"] is not None)
        numbers = f"{row['log_likelihood']:.2f}", value, str(row["n_iter"])
        table.add_row(*begin, *numbers, ended, style="bold" if is_best else None)
    console.print(table)


def _best_first(selection: GaussianMixtureIC) -> list[int]:
    """Return the indices of the best candidates from best to worst.

    The chosen candidate is always included, although with "cv" it may not have one of the best values.
    """
    values = np.array(selection.results_[selection.criterion])
    order = np.argsort(-values if selection.criterion in HIGHER_IS_BETTER else values, kind="stable")
    best: list[int] = [index for index in order.tolist() if math.isfinite(values[index])][:_MAX_LISTED]
    return best if selection.best_index_ in best else [*best[:-1], selection.best_index_]


def show_matrix(console: Console, selection: GaussianMixtureIC) -> None:
    """Print a table of the criterion with structures as rows and K as columns; split it if the terminal is narrow."""
    results, criterion = selection.results_, selection.criterion
    pairs = list(zip(structure_names(results), results["n_components"], strict=True))
    names, counts = (list(dict.fromkeys(each)) for each in zip(*pairs, strict=True))
    if len(names) == 1:
        return
    valued = zip(results[criterion], results["warning"], strict=True)
    texts = [in_digits(value, criterion, 1) + _WEAK * (why is not None) for value, why in valued]
    texts[selection.best_index_] += "*"
    cells = dict(zip(pairs, texts, strict=True))
    width = 3 + max(map(len, cells.values()))
    at_a_time = max(1, (console.width - max(len("structure"), *map(len, names))) // width)
    for first in range(0, len(counts), at_a_time):
        counts_here = counts[first : first + at_a_time]
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("structure", no_wrap=True)
        for count in counts_here:
            table.add_column(f"K = {count}", justify="right", no_wrap=True)
        for name in names:
            table.add_row(name, *(cells[name, count] for count in counts_here))
        title = f"\n{criterion_title(criterion)} of each; * marks the {mark(criterion)} {criterion_title(criterion)}:\n"
        console.print("" if first else title)
        console.print(table)
    kinds = Counter(FailureKind.from_text(why) for why in results["failure"] if why is not None)
    failed = {kind.words: n for kind, n in kinds.items() if kind.was_started}
    left_out = [f"{n} {in_options(kind.words)}" for kind, n in kinds.items() if not kind.was_started]
    sentences = [f"{sum(failed.values())} failed: {', '.join(failed)}", *left_out] if failed else left_out
    if sentences:
        console.print("\n" + "\n".join(f"{_FAILED} {each}." for each in sentences), soft_wrap=True)


def mark(criterion: str) -> str:
    """Return a description of the best value of a criterion, such as "lowest"."""
    if criterion == CROSS_VALIDATION:
        return "simplest within an error of the highest"
    return "highest" if criterion in HIGHER_IS_BETTER else "lowest"


def in_digits(value: float, criterion: str, decimals: int = 2) -> str:
    """Format a value of a criterion: totals with `decimals` decimal places, means over rows with four."""
    if math.isnan(value):
        return _FAILED
    return f"{value:.{4 if criterion in HIGHER_IS_BETTER else decimals}f}"


def _written(what: str, model: str | None, example: str) -> str:
    """Return a line with the path of the written model or, if no model was written, with the option that writes it."""
    if model is None:
        return f"\nNot saved: add -o {example}"
    return f"\n{what} written to {'standard output' if model == STANDARD else model}"


def fit_notices(selection: GaussianMixtureIC, warnings: Iterable[Warning]) -> Iterator[str]:
    """Yield the warnings of a model selection and of the chosen fit, and a notice on fits that did not converge."""
    for warning in warnings:
        # The reference to `results_` is removed, because the next table in the output shows the reasons for failures.
        sentences = str(warning).removesuffix(REASONS_IN_RESULTS)
        yield sentences if isinstance(warning, SearchWarning) else f"K = {selection.n_components_}: {sentences}"
    table = selection.results_
    ended = zip(table["structure"], table["n_components"], table["converged"], table["failure"], strict=True)
    slow = [(structure, k) for structure, k, converged, failure in ended if not converged and failure is None]
    if not slow:
        return
    if len(set(table["structure"])) == 1:
        which = f"K = {', '.join(str(k) for _, k in slow)}"
    else:
        named = ", ".join(f"{structure} {k}" for structure, k in slow[:3])
        which = f"{counted(len(slow), 'fit')} ({named}{' …' * (len(slow) > 3)})"
    advice = "raise --max-iter or --tol" if selection.max_time is None else "raise --max-time, --max-iter or --tol"
    yield f"{which}: not converged; {advice}."


def fit_as_json(selection: GaussianMixtureIC, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a model selection for JSON; `about` is the same as in `show_fit`."""
    rows = zip(*selection.results_.values(), strict=True)
    return {
        **about,
        "criterion": selection.criterion,
        "candidates": [_candidate_as_json(dict(zip(selection.results_, row, strict=True))) for row in rows],
        "chosen": _mixture_as_json(selection.mixture_, n_components=selection.n_components_),
        "outcome": {key: json_value(each) for key, each in asdict(selection.outcome_).items() if key not in RUN_FIELDS},
    }


def _candidate_as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table of results for JSON; columns that do not apply to the candidate are left out."""
    if row["failure"] is not None:
        named = {key: row[key] for key in ("structure", "n_components", "n_factors") if row.get(key) is not None}
        return {**named, "failed": row["failure"]}
    named = {"n_iter": "n_steps", "converged": "has_converged"}
    shown = {named.get(key, key): value for key, value in row.items() if key not in ("failure", "seconds")}
    return {key: json_value(value) for key, value in shown.items()}


def _mixture_as_json(mixture: Mixture, **sizes: int) -> dict[str, Any]:
    noise = None
    if mixture.noise is not None:
        box = None if mixture.noise.bounds is None else mixture.noise.bounds.tolist()
        noise = {"weight": mixture.noise.weight, "log_volume": mixture.noise.log_volume, "box": box}
    return {
        "structure": mixture.family.name,
        "options": mixture.family.non_default_params,
        **sizes,
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
        "noise": noise,
    }


def show_groups(mixtures: Mixtures, about: Mapping[str, Any]) -> None:
    """Print how many groups were fitted, as text.

    `about` has the path of the table or of the file of mixtures (`data`). After a fit, `about` also has the name of the
    column of groups (`by`), `n_rows`, `seconds`, and the path of the model file (`model`) or None.
    """
    by, n_rows, seconds, model = (about.get(name) for name in ("by", "n_rows", "seconds", "model"))
    errors, screen = mixtures.errors, console(stderr=model == STANDARD)
    features = f" ({first_names(mixtures.feature_names)})" if mixtures.feature_names else ""
    n_features, fitted = mixtures.means.shape[2], mixtures.n_components[mixtures.n_components > 0]
    n_components = (
        " to ".join(map(str, sorted({fitted.min(), fitted.max()}))) if len(fitted) else mixtures.means.shape[1]
    )
    rows = "" if n_rows is None else f"{counted(n_rows, 'row')}, "
    column = "" if by is None else f" by {by!r}"
    size = f"{rows}{counted(n_features, 'feature')}{features}, {counted(len(mixtures), 'group')}{column}"
    screen.print(f"{_display_name(about['data'])}: {size}", soft_wrap=True)
    n_fitted, took = len(mixtures) - len(errors), "" if seconds is None else f" in {seconds:.3g} s"
    screen.print(f"K = {n_components}, {covariances_text(mixtures.family)}: {n_fitted:,} fitted{took}", soft_wrap=True)
    n_slow = n_fitted - int(mixtures.converged.sum())
    if n_slow:
        screen.print(f"{n_slow:,} not converged; raise --max-iter or --tol.", soft_wrap=True)
    for key, sentence in list(errors.items())[:_MAX_NAMES]:
        screen.print(f"Without a mixture: {key!r:.40}: {sentence}", soft_wrap=True)
    if len(errors) > _MAX_NAMES:
        screen.print(f"… and {len(errors) - _MAX_NAMES:,} more without a mixture", soft_wrap=True)
    if by is not None:
        screen.print(_written("Mixtures", model, "MANY.gmm"), soft_wrap=True)


def groups_as_json(mixtures: Mixtures, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mixtures of many groups for JSON; `about` is the same as in `show_groups`."""
    groups = list[dict[str, Any]]()
    for index, key in enumerate(mixtures.keys):
        if key in mixtures.errors:
            groups.append({"key": key, "failed": mixtures.errors[key]})
        else:
            ended = {"has_converged": bool(mixtures.converged[index]), "n_steps": int(mixtures.n_iter[index])}
            n_components = int(mixtures.n_components[index])
            groups.append({"key": key, **ended, **_mixture_as_json(mixtures[index], n_components=n_components)})
    return {
        **dict.fromkeys(("data", "by", "n_rows", "seconds", "model")),
        **about,
        "feature_names": None if mixtures.feature_names is None else list(mixtures.feature_names),
        "groups": groups,
    }


def show_model(model: ModelFile) -> None:
    """Print a model file as text."""
    screen, mixture = console(), model.mixture
    size = f"{counted(mixture.n_components, 'component')}, {counted(mixture.n_features, 'feature')}"
    screen.print(f"{model.name}: {size}, {covariances_text(mixture.family)}\n", soft_wrap=True)
    for heading, value in _headings(model):
        screen.print(f"{heading:<12}{value}", soft_wrap=True)
    screen.print("\nmean ± sd:\n")
    components = make_summary("", FitResult(mixture._model), names=model.names)
    screen.print(components.table(screen.width), soft_wrap=True)
    if model.details.feature_names is None:
        screen.print("\nThe features have no names.")


def inference_as_json(estimates: MixtureEstimates) -> dict[str, Any]:
    """Return standard errors and intervals for JSON, with null for unknown values."""
    columns = {name: [json_value(value) for value in values] for name, values in estimates._columns().items()}
    return {"method": estimates.method, **columns, "notes": list(estimates.notes)}


def model_as_json(model: ModelFile) -> dict[str, Any]:
    """Return a whole model file for JSON."""
    mixture = model.mixture
    return {
        "model": model.name,
        "layout": model.layout,
        "n_features": mixture.n_features,
        "n_components": mixture.n_components,
        "n_parameters": model.n_parameters,
        **asdict(model.details),
        **_mixture_as_json(mixture),
    }


def _headings(model: ModelFile) -> list[tuple[str, str]]:
    """Return headings and values of the details that a model file contains in addition to the mixture."""
    details, fit, estimator = model.details, model.details.fit, model.details.estimator
    lines = [("written by", f"gaussmix {details.package_version}, layout {model.layout}")]
    if details.feature_names is not None:
        names = [shorten(name) for name in details.feature_names]
        more = f", … {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
        lines.append(("features", ", ".join(names[:_MAX_NAMES]) + more))
    attributes = {} if estimator is None else estimator.attributes
    summary = row_summary(details)
    if summary is not None:
        weighted = "" if summary.row_weight == summary.n_rows else f" of total weight {summary.row_weight:g}"
        lines.append(("fitted to", f"{counted(summary.n_rows, 'row')}{weighted}, {details.dtype or 'unknown type'}"))
    lines += _steps_line(fit, attributes, None if summary is None else summary.log_likelihood)
    if model.posterior is not None:
        lines.append(("components", components_used(model.posterior)))
        lines.append(("lower bound", f"{model.posterior.lower_bound_:.2f} nats"))
    if "_outcome_table" in attributes:
        outcome = _record(Outcome, attributes, "_outcome_table")
        sentences = ["unknown"] if outcome is None else filter(None, [outcome.reason, outcome.certificate])
        lines += [("ended", each if fit is None else in_options(each)) for each in sentences]
    settings = fit.settings if fit is not None else estimator.parameters if estimator is not None else {}
    plain = {name: value for name, value in settings.items() if value is not None and not isinstance(value, dict)}
    texts = [f"{name}={value}" for name, value in plain.items() if name not in _NOT_SETTINGS]
    if texts:
        lines.append(("settings", ", ".join(texts)))
    return lines


def _steps_line(
    fit: FitRecord | None, attributes: Mapping[str, Any], log_likelihood: float | None
) -> list[tuple[str, str]]:
    """Return a heading and the number of EM steps, with the log-likelihood if it is known; empty for an unknown fit."""
    n_steps, has_converged = attributes.get("n_iter_", 0), attributes.get("converged_")
    if fit is not None:
        n_steps, has_converged = fit.n_steps, fit.has_converged
    if has_converged is None:
        return []
    steps = f"{counted(n_steps, 'step')}, {'' if has_converged else 'not '}converged"
    if log_likelihood is None:
        return [("fitted in", steps)]
    return [("log-lik.", f"{log_likelihood:.2f} nats after {steps}")]


def row_summary(details: Details) -> FitRecord | RowSummary | None:
    """Return the summary of the rows of a fit, which a command or an estimator stored; None if it is missing."""
    attributes = {} if details.estimator is None else details.estimator.attributes
    return details.fit or _record(RowSummary, attributes, "_row_summary_table")


def _record(cls: type[_Record], attributes: Mapping[str, Any], key: str) -> _Record | None:
    """Return the record that an estimator in a file stores under a key; None if the record is missing or damaged."""
    try:
        return read_records(cls, from_json(key, attributes[key]))[0]
    except (IndexError, KeyError, TypeError, ValueError, Damaged):
        return None


def show_scores(data: str, scores: dict[str, Any]) -> None:
    """Print the scores of a table as text."""
    weighted = "" if scores["row_weight"] == scores["n_rows"] else f" of total weight {scores['row_weight']:g}"
    click.echo(f"{_display_name(data)}: {counted(scores['n_rows'], 'row')}{weighted}\n")
    click.echo(f"mean log-likelihood  {scores['mean_log_likelihood']:.6f}")
    for name in ("bic", "aic") if "bic" in scores else ():
        click.echo(f"{name.upper()}                  {scores[name]:.2f}")


def _display_name(path: str) -> str:
    return "standard input" if path == STANDARD else path
