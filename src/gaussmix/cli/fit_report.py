"""What `gaussmix fit` says: to people, to programs, and in the model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from gaussmix.cli.candidates import Candidate, Failed, Fitted, rises_further
from gaussmix.cli.display import NARROWEST, shorten, show_candidates, show_components
from gaussmix.cli.inputs import STANDARD
from gaussmix.cli.tables import Numbers
from gaussmix.cli.wording import counted
from gaussmix.facade.files import details_of
from gaussmix.formats import Details, FitRecord

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


def details(
    numbers: Numbers,
    chosen: Fitted,
    settings: Mapping[str, Any],
    row_weight: Weight,
    *,
    has_names: bool,
) -> Details:
    """What the model file says beside the mixture; names that were invented are not kept."""
    estimator, n_rows = chosen.estimator, len(numbers.rows)
    total = _total(numbers, row_weight)
    steps, converged = int(estimator.n_iter_), bool(estimator.converged_)
    kept = {**settings, "init_params": estimator.init_params}
    record = FitRecord(n_rows, total, chosen.log_likelihood, steps, converged, kept)
    return details_of(estimator, numbers.names if has_names else None, record)


def show(wish: Wish, numbers: Numbers, candidates: Sequence[Candidate], chosen: Fitted, row_weight: Weight) -> None:
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
    show_candidates(console, candidates, chosen)
    if rises_further(candidates, chosen):
        console.print(f"K = {chosen.n_components} is the largest tried; a larger one may be better still.")
    console.print(f"\nK = {chosen.n_components}, {chosen.estimator.covariance_type} covariances, mean ± sd:\n")
    show_components(console, chosen.estimator.mixture_, numbers.names)
    target = "standard output" if wish.model == STANDARD else wish.model
    written = f"Model written to {target}" if target is not None else "Not saved: add -o MODEL.gmm"
    console.print(f"\n{written}", soft_wrap=True)


def as_json(
    wish: Wish, numbers: Numbers, candidates: Sequence[Candidate], chosen: Fitted, row_weight: Weight
) -> dict[str, Any]:
    """The result for programs."""
    mixture = chosen.estimator.mixture_
    return {
        "data": wish.data,
        "n_rows": len(numbers.rows),
        "weights": wish.weights,
        "row_weight": _total(numbers, row_weight),
        "feature_names": list(numbers.names),
        "structure": mixture.family.name,
        "candidates": [_candidate_json(candidate) for candidate in candidates],
        "chosen": {
            "n_components": mixture.n_components,
            "weights": mixture.weights.tolist(),
            "means": mixture.means.tolist(),
            "covariances": mixture.covariances.tolist(),
        },
        "model": wish.model,
    }


def _total(numbers: Numbers, row_weight: Weight) -> float:
    return float(len(numbers.rows) if row_weight is None else row_weight.sum())


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    if isinstance(candidate, Failed):
        return {"n_components": candidate.n_components, "failed": candidate.reason}
    return {
        "n_components": candidate.n_components,
        "log_likelihood": candidate.log_likelihood,
        "bic": candidate.bic,
        "n_steps": int(candidate.estimator.n_iter_),
        "has_converged": bool(candidate.estimator.converged_),
        "notices": list(candidate.notices),
    }
