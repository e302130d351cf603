"""narrowboat queues"""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import msgspec

from ..app.steering import KINDS, holding
from ..backends.base import Gate, QueueStats
from ..backends.transport import Depth
from ..core.moments import in_short
from ..core.states import State
from ..core.units import in_words
from .common import backend_of, json_option, say, say_json, url_option
from .layout import table


@click.command("queues")
@url_option
@json_option
def command(url: str | None, as_json: bool) -> None:
    """Show every queue: how many jobs in which state, how long the oldest waits, who works on it, what holds jobs."""
    backend, now = backend_of(url), time.time()
    held = holding(backend, now)
    found = [_with(queue, held.get(queue.queue, [])) for queue in backend.stats()]
    if as_json:
        for queue in found:
            say_json(queue)
        return
    say(backend.location)
    if not found:
        say("no queues yet")
        return
    states, delivers = list(State), any(queue.transport for queue in found)
    rows = [
        [
            queue.queue,
            *(str(queue.counts.get(state, 0)) for state in states),
            "-" if queue.oldest_waiting_s is None else in_words(queue.oldest_waiting_s),
            str(queue.workers),
            *([_depth(queue.transport)] if delivers else []),
            _notes(queue, now),
        ]
        for queue in found
    ]
    head = [
        "QUEUE",
        *(state.upper() for state in states),
        "OLDEST",
        "WORKERS",
        *(["TRANSPORT"] if delivers else []),
        "",
    ]
    table(rows, head)


def _depth(depth: Depth | None) -> str:
    """How much lies in the transport, by its own count."""
    if depth is None or depth.waiting is None:
        return "-"
    about = "" if depth.is_exact else "about "
    return f"{about}{depth.waiting}{f' + {depth.held} held' if depth.held else ''}"


def _with(queue: QueueStats, held: Sequence[Gate]) -> QueueStats:
    return msgspec.structs.replace(queue, gates=(*queue.gates, *held))


def _note(gate: Gate, now: float) -> str:
    scope, _, name = gate.scope.partition(":")
    if scope in KINDS:
        return f"{scope} {name}: {gate.reason}"
    subject = "" if scope == "queue" else f"{scope} {name} "
    end = f" until {in_short(gate.until, now)}" if gate.until else ""
    reason = f": {gate.reason}" if gate.reason else ""
    return f"{subject}{'held' if gate.kind == 'slow-down' else 'paused'}{end}{reason}"


def _notes(queue: QueueStats, now: float) -> str:
    notes = [_note(gate, now) for gate in queue.gates]
    if queue.counts.get(State.QUEUED) and not queue.workers:
        notes.append("no worker consumes it")
    notes += [f"no worker knows {task}" for task in queue.unknown_tasks[:3]]
    return "; ".join(notes)
