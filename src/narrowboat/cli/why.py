"""narrowboat why"""

from __future__ import annotations

import click

from .common import backend_of, checked_id, json_option, say_json, url_option
from .layout import paragraph


@click.command("why")
@click.argument("job_id", metavar="ID")
@url_option
@json_option
def command(job_id: str, url: str | None, as_json: bool) -> None:
    """Say why a job is not running: paused, scheduled, unknown to all workers, in line at which place..."""
    from ..app.why import why

    reason = why(backend_of(url), checked_id(job_id))
    if as_json:
        say_json(reason)
    else:
        paragraph(f"{reason.state}: {reason.text}")
