"""`gaussmix completion`: print the script with which a shell completes commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script with which bash, zsh or fish completes commands, options and files.

    \b
      gaussmix completion bash >> ~/.bashrc
      gaussmix completion zsh >> ~/.zshrc
      gaussmix completion fish > ~/.config/fish/completions/gaussmix.fish
    """
    kind = get_completion_class(shell)
    program = click.get_current_context().find_root().command
    assert kind is not None  # click supports all three shells since version 8.0
    click.echo(kind(program, {}, "gaussmix", "_GAUSSMIX_COMPLETE").source())
