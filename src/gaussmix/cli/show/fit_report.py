"""What `gaussmix fit` says: to people, to programs, and in the model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from gaussmix.cli.show.display import NARROWEST, covariances_of, shorten, show_components
from gaussmix.cli.show.search_tables import show_matrix, show_top
from gaussmix.errors import counted
from gaussmix.estimators.factors import FACTORS
from gaussmix.estimators.files import details_of
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix.formats import Details, FitRecord
from gaussmix.sources.tables.inputs import STANDARD
from gaussmix.sources.tables.tables import Numbers

Weight = NDArray[np.float64] | None  # of the rows; None where all are 1


@dataclass(frozen=True)
class Wish:
    """What the user asked for, beside the settings of the estimator."""

    data: str
    counts: tuple[int, ...]
    model: str | None
    columns: tuple[str, ...]
    weights: str | None
    format: str | None
    has_header: bool | None
    as_json: bool
    quiet: bool


def details(numbers: Numbers, chosen: GaussianMixtureIC, row_weight: Weight, *, has_names: bool) -> Details:
    """What the model file says beside the mixture; names that were invented are not kept.

    The estimator in the file is the `GaussianMixture` that ends with the same mixture.
    """
    settings = {key: value for key, value in chosen.get_params().items() if key in GaussianMixture._get_param_names()}
    settings |= {"n_components": chosen.n_components_, "covariance_type": chosen.covariance_type_, "n_jobs": None}
    settings |= FACTORS | dict(chosen.mixture_.family.options)
    same = GaussianMixture(**settings)
    found = ("mixture_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "collapsed_", "_dtype")
    same.__dict__.update({name: getattr(chosen, name) for name in found})
    log_likelihood = chosen.results_["log_likelihood"][chosen.best_index_]
    kept = {key: value for key, value in settings.items() if key not in ("n_components", "n_jobs")}
    total = _total(numbers, row_weight)
    record = FitRecord(len(numbers.rows), total, log_likelihood, chosen.n_iter_, chosen.converged_, kept)
    return details_of(same, numbers.names if has_names else None, record)


def show(wish: Wish, numbers: Numbers, chosen: GaussianMixtureIC, row_weight: Weight) -> None:
    """Print the result for people."""
    # Names are text; what the model file goes to is no place for words.
    console = Console(highlight=False, markup=False, emoji=False, stderr=wish.model == STANDARD)
    console.width = max(console.width, NARROWEST)
    features = ", ".join(map(shorten, numbers.names[:5])) + (", …" if len(numbers.names) > 5 else "")
    n_rows, n_features = numbers.rows.shape
    data = "standard input" if wish.data == STANDARD else wish.data
    weighted = "" if row_weight is None else f" of total weight {row_weight.sum():g} ({shorten(wish.weights or '')})"
    size = f"{counted(n_rows, 'row')}{weighted}, {counted(n_features, 'feature')}"
    console.print(f"{data}: {size} ({features})\n", soft_wrap=True)
    show_top(console, chosen)
    show_matrix(console, chosen)
    n_components = chosen.n_components_
    if len(wish.counts) > 1 and n_components == wish.counts[-1]:
        console.print(f"K = {n_components} is the largest tried; a larger one may be better still.")
    console.print(f"\nK = {n_components}, {covariances_of(chosen.mixture_.family)}, mean ± sd:\n")
    show_components(console, chosen.mixture_, numbers.names)
    target = "standard output" if wish.model == STANDARD else wish.model
    written = f"Model written to {target}" if target is not None else "Not saved: add -o MODEL.gmm"
    console.print(f"\n{written}", soft_wrap=True)


def as_json(wish: Wish, numbers: Numbers, chosen: GaussianMixtureIC, row_weight: Weight) -> dict[str, Any]:
    """The result for programs."""
    mixture, table = chosen.mixture_, chosen.results_
    return {
        "data": wish.data,
        "n_rows": len(numbers.rows),
        "weights": wish.weights,
        "row_weight": _total(numbers, row_weight),
        "feature_names": list(numbers.names),
        "criterion": chosen.criterion,
        "candidates": [
            _candidate_json({name: column[place] for name, column in table.items()})
            for place in range(len(table["structure"]))
        ],
        "chosen": {
            "structure": mixture.family.name,
            **mixture.family.options,
            "n_components": mixture.n_components,
            "weights": mixture.weights.tolist(),
            "means": mixture.means.tolist(),
            "covariances": mixture.covariances.tolist(),
        },
        "model": wish.model,
    }


def _total(numbers: Numbers, row_weight: Weight) -> float:
    return float(len(numbers.rows) if row_weight is None else row_weight.sum())


def _candidate_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table without what it lacks; JSON knows no NaN or infinity."""
    if row["failure"] is not None:
        named = {key: row[key] for key in ("structure", "n_components", "n_factors") if row.get(key) is not None}
        return {**named, "failed": row["failure"]}
    named = {"n_iter": "n_steps", "converged": "has_converged"}
    shown = {named.get(key, key): value for key, value in row.items() if key not in ("failure", "seconds")}
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in shown.items()}
