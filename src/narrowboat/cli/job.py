"""narrowboat job"""

from __future__ import annotations

import time

import click

from ..app.handle import unknown_job
from ..core.codec import printable
from ..core.job import Attempt, Job
from ..core.units import bytes_in_words, in_words
from .common import ago, backend_of, checked_id, json_option, say, say_json, url_option, write
from .layout import state


@click.command("job")
@click.argument("job_id", metavar="ID")
@click.option("--full", is_flag=True, help="Do not shorten arguments, result and tracebacks.")
@url_option
@json_option
def command(job_id: str, full: bool, url: str | None, as_json: bool) -> None:
    """Show one job: its state, arguments, progress, result, and every attempt with its error and log."""
    [job] = backend_of(url).get([checked_id(job_id)])
    if job is None:
        raise unknown_job(job_id)
    if as_json:
        say_json(job)
        return
    write(click.style(printable(job.id), bold=True))
    for name, value in _facts(job, full):
        text = printable(value)
        write(f"  {name:<10} {state(job.state, text) if name == 'state' else text}")
    for attempt in job.history:
        _show(attempt, full)


def _facts(job: Job, full: bool) -> list[tuple[str, str]]:
    facts = [("state", job.state + (f": {job.reason}" if job.reason else ""))]
    if job.is_cancel_asked and not job.is_finished:
        facts.append(("cancel", "asked for"))
    facts.append(("queue", job.queue + (f", priority {job.priority}" if job.priority else "")))
    if job.summary:
        facts.append(("summary", job.summary))
    facts.append(("arguments", _short(job.args, full)))
    facts.append(("attempts", _attempts(job)))
    facts.append(("enqueued", ago(job.enqueued_at)))
    if job.due_at is not None:
        facts.append(("due", f"in {in_words(max(0.0, job.due_at - time.time()))}"))
    if job.started_at is not None:
        facts.append(("started", f"{ago(job.started_at)} on {job.worker}"))
    if job.finished_at is not None:
        took = f", ran {in_words(job.finished_at - job.started_at)}" if job.started_at is not None else ""
        facts.append(("finished", ago(job.finished_at) + took))
    if job.progress is not None:
        total = f" of {job.progress.total:g}" if job.progress.total else ""
        facts.append(("progress", f"{job.progress.done:g}{total} {job.progress.message}"))
    if job.key is not None:
        facts.append(("key", job.key))
    if job.batch:
        facts.append(("batch", job.batch))
    if job.client:
        facts.append(("client", job.client))
    if job.tags:
        facts.append(("tags", ", ".join(job.tags)))
    if job.result:
        facts.append(("result", _short(job.result, full)))
    return facts


def _attempts(job: Job) -> str:
    kinds = ((job.errors, "error", "errors"), (job.crashes, "crash", "crashes"), (job.snoozes, "snooze", "snoozes"))
    counts = [f"{count} {one if count == 1 else more}" for count, one, more in kinds if count]
    return f"{job.attempts}" + (f" ({', '.join(counts)})" if counts else "")


def _show(attempt: Attempt, full: bool) -> None:
    ran = in_words(max(0.0, attempt.ended_at - attempt.started_at))
    when = f"{ago(attempt.ended_at)}, after {ran}, on {attempt.worker}"
    write(f"\n  {click.style(f'attempt {attempt.number} {attempt.outcome}', bold=True)} {printable(when)}")
    if attempt.error:
        lines = (attempt.error.traceback or attempt.error.in_one_line()).rstrip().splitlines()
        hidden = 0 if full else max(0, len(lines) - 8)
        if attempt.outcome == "crashed":
            say(f"    {attempt.error.message}")
        if hidden:
            say(f"    ... {hidden} lines (--full)")
        for line in lines[hidden:]:
            say(f"    {line}")
    for line in attempt.logs:
        say(f"    | {line}")


def _short(data: bytes, full: bool) -> str:
    text = data.decode(errors="replace")
    return text if full or len(text) <= 400 else f"{text[:400]}... ({bytes_in_words(len(data))}, --full shows all)"
