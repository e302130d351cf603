"""narrowboat completion"""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for a shell: put `eval "$(narrowboat completion bash)"` into ~/.bashrc."""
    from click.shell_completion import get_completion_class

    from . import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "narrowboat", "_NARROWBOAT_COMPLETE").source())
