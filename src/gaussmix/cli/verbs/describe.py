"""`gaussmix describe`: what a model file holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from gaussmix.cli.models import Model
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.show.display import NARROWEST, covariances_of, shorten, show_components
from gaussmix.errors import counted

_MOST_NAMES = 20
_UNSAID = ("covariance_type", "n_components", "verbose", "verbose_interval")  # said elsewhere, or of no effect


@click.command(short_help="Print what a model file holds.")
@click.argument("model", metavar="MODEL.gmm")
@json_option
def describe(model: str, as_json: bool) -> None:
    """Print what a model file holds: its components, and how they were fitted.

    MODEL.gmm may be "-", standard input.
    """
    opened = Model.open(model)
    if as_json:
        click.echo(json.dumps(for_programs(opened), ensure_ascii=False))
    else:
        show(opened)


def for_programs(model: Model) -> dict[str, Any]:
    """The whole file for programs."""
    mixture, details = model.mixture, model.details
    return {
        "model": model.name,
        "layout": model.layout,
        "n_features": mixture.n_features,
        "n_components": mixture.n_components,
        "n_parameters": mixture.n_parameters,
        **asdict(details),
        "structure": mixture.family.name,
        **mixture.family.options,
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
    }


def show(model: Model) -> None:
    """Print it for people."""
    console = Console(highlight=False, markup=False, emoji=False)  # names are text
    console.width = max(console.width, NARROWEST)
    mixture, details = model.mixture, model.details
    size = f"{counted(mixture.n_components, 'component')}, {counted(mixture.n_features, 'feature')}"
    console.print(f"{model.name}: {size}, {covariances_of(mixture.family)}\n", soft_wrap=True)
    for heading, value in header(model):
        console.print(f"{heading:<12}{value}", soft_wrap=True)
    console.print("\nmean ± sd:\n")
    show_components(console, mixture, model.names)
    if details.feature_names is None:
        console.print("\nThe features have no names.")


def header(model: Model) -> list[tuple[str, str]]:
    """What the file says beside the numbers, as headings and values."""
    details, fit, estimator = model.details, model.details.fit, model.details.estimator
    lines = [("written by", f"gaussmix {details.package_version}, layout {model.layout}")]
    if details.feature_names is not None:
        names = [shorten(name) for name in details.feature_names]
        more = f", … {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
        lines.append(("features", ", ".join(names[:_MOST_NAMES]) + more))
    if fit is not None:
        weighted = "" if fit.row_weight == fit.n_rows else f" of total weight {fit.row_weight:g}"
        end = "converged" if fit.has_converged else "not converged"
        lines.append(("fitted to", f"{counted(fit.n_rows, 'row')}{weighted}, {details.dtype or 'unknown type'}"))
        lines.append(("log-lik.", f"{fit.log_likelihood:.2f} nats after {counted(fit.n_steps, 'step')}, {end}"))
    elif estimator is not None and "converged_" in estimator.attributes:
        found = estimator.attributes
        end = "converged" if found["converged_"] else "not converged"
        lines.append(("fitted", f"{counted(found.get('n_iter_', 0), 'step')}, {end}, {details.dtype}"))
    settings = fit.settings if fit is not None else estimator.parameters if estimator is not None else {}
    said = {name: value for name, value in settings.items() if name not in _UNSAID and value is not None}
    shown = [f"{name}={value}" for name, value in said.items() if not isinstance(value, dict)]
    if shown:
        lines.append(("settings", ", ".join(shown)))
    return lines
