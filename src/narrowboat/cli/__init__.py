"""The command line. Each command is a file of its own, loaded when it is used."""

from __future__ import annotations

import importlib
import sys

import click

COMMANDS = {
    "worker": "Run a worker for an app.",
    "dev": "Run a worker that reloads, and your web server, in one terminal.",
    "enqueue": "Enqueue a job by the name of its task.",
    "jobs": "List jobs, newest first.",
    "job": "Show one job with its attempts.",
    "why": "Say why a job is not running.",
    "retry": "Queue dead or cancelled jobs again.",
    "cancel": "Cancel jobs, also running ones.",
    "pause": "Pause a queue, a task or a breaker everywhere.",
    "resume": "End a pause, or close a breaker.",
    "batches": "Show how the jobs of batches stand.",
    "schedules": "Show what runs by itself, and when.",
    "controls": "Show rates, limits and breakers, and how they stand.",
    "adjust": "Set other numbers of a rate or a limit.",
    "queues": "Show every queue in numbers.",
    "needs": "Show what each task of an app may touch.",
    "doctor": "Say what the sandbox enforces on this machine.",
    "acl": "Print users for a Redis server, each with no more than it needs.",
    "migrate": "Bring the tables in PostgreSQL up to date.",
    "health": "Say how the workers on this machine are.",
    "config": "Show every setting and where it comes from.",
    "completion": "Print a completion script for a shell.",
    "demo": "Watch jobs survive a kill -9, in a temporary folder.",
    "version": "Print the version.",
}
EXIT_CODES = """\b
Exit status: 0 well, 1 failed, 2 wrong usage or setting, 3 backend out of reach,
4 no such job, batch or task, 130 interrupted."""


class LazyGroup(click.Group):
    """Knows its commands by name, and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A misspelt name is answered with the nearest one, which click looks for among loaded commands only."""
        if args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if close:
                ctx.fail(f"No such command {args[0]!r}; did you mean {close[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, so that --help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Narrowboat: background workers for Python web applications."""


def main() -> None:
    """The entry point of the `narrowboat` script."""
    from ..core.errors import BackendError, ConfigError, NarrowboatError, UnknownBatch, UnknownJob, UnknownTask

    try:
        sys.exit(
            cli(standalone_mode=False, complete_var="_NARROWBOAT_COMPLETE", prog_name="narrowboat") or 0
        )  # a command that ends by ctx.exit returns its status here
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NarrowboatError as error:
        from ..core.codec import printable

        click.echo(printable(f"narrowboat: {error}"), err=True)  # it may quote what a task raised
        code = 1
        if isinstance(error, BackendError):
            code = 3
        elif isinstance(error, UnknownBatch | UnknownJob | UnknownTask):
            code = 4
        elif isinstance(error, ConfigError):
            code = 2
        sys.exit(code)
