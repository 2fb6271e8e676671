"""`gaussmix describe`: print what a model file holds."""

from __future__ import annotations

import click

from gaussmix.cli import options
from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.show.reports import echo_json, many_as_json, model_as_json, show_many, show_model
from gaussmix.formats import holds_many
from gaussmix.mixture.mixtures import Mixtures
from gaussmix.sources.tables.base import STANDARD


@click.command()
@click.argument("model", metavar="MODEL.gmm", type=click.Path())
@options.as_json
@options.quiet
def describe(model: str, as_json: bool) -> None:
    """Print what a model file holds: its components, and how they were fitted.

    MODEL.gmm may be "-", standard input. Of a file with the mixtures of many groups it says how many there are.
    """
    if model != STANDARD and holds_many(model):
        groups = Mixtures.load(model)
        if as_json:
            echo_json(many_as_json(groups, {"data": model}))
        else:
            show_many(groups, {"data": model})
        return
    opened = ModelFile.open(model)
    if as_json:
        echo_json(model_as_json(opened))
    else:
        show_model(opened)
