"""`gaussmix describe`: print what a model file holds."""

from __future__ import annotations

import json

import click

from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.show.reports import model_as_json, show_model


@click.command()
@click.argument("model", metavar="MODEL.gmm")
@json_option
def describe(model: str, as_json: bool) -> None:
    """Print what a model file holds: its components, and how they were fitted.

    MODEL.gmm may be "-", standard input.
    """
    opened = ModelFile.open(model)
    if as_json:
        click.echo(json.dumps(model_as_json(opened), ensure_ascii=False))
    else:
        show_model(opened)
