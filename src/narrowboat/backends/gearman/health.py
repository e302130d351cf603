"""What the servers say of themselves, and what they cannot say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence

from ...core.errors import BackendUnavailable
from ...core.units import many
from .client import Connection
from .server import Server, in_turn

LOOK_S = 6.0  # for all servers together

Status = dict[str, tuple[int, int, int]]  # function -> jobs waiting and running together, running, workers

NO_GUARD = (
    "Gearman asks nobody for a password, and Narrowboat's own connections are not encrypted: who reaches the port can "
    "read, add and take messages. Let only trusted hosts reach it"
)
UNTIL_BACK = "messages go to the other servers; where there is none, workers look for jobs until it is back"
FORGETS = (
    "gearmand keeps messages in memory only, unless it was started with a queue that is not `builtin`, which it does "
    "not tell: killed or restarted, it has forgotten them. Notices are sent again; messages of other programs are lost"
)


def statuses(servers: Sequence[Server]) -> list[Status]:
    """What each server that is there has. Raises BackendUnavailable when none is."""
    found: list[Status] = []
    troubles: list[str] = []
    for server, until in in_turn(servers, time.monotonic() + LOOK_S):
        try:
            found.append(_status(server, until))
        except BackendUnavailable as error:
            troubles.append(str(error))
    if not found:
        raise BackendUnavailable(f"Gearman does not answer: {'; '.join(troubles)}")
    return found


def doubts(servers: Sequence[Server]) -> list[str]:
    """What holds of every gearmand, and which of ours are not there."""
    away: list[str] = []
    for server, until in in_turn(servers, time.monotonic() + LOOK_S):
        try:
            _version(server, until)
        except BackendUnavailable as error:
            away.append(f"Gearman, {error}")
    return [NO_GUARD, FORGETS, *away]


def setup(servers: Sequence[Server], prefix: str) -> list[tuple[str, str, str]]:
    """Server by server. How a queue is limited (`maxqueue`), and where it is kept, it does not tell."""
    found: list[tuple[str, str, str]] = []
    for server, until in in_turn(servers, time.monotonic() + LOOK_S):
        try:
            version, status = _version(server, until), _status(server, until)
        except BackendUnavailable as error:
            found.append((server.name, "away", f"{UNTIL_BACK}: {error}"))
            continue
        found.append((server.name, f"gearmand {version}", "no passwords; may forget everything when it ends"))
        ours = {name: figures for name, figures in status.items() if name.startswith(prefix)}
        waiting = sum(total - held for total, held, _ in ours.values())
        held = sum(held for _, held, _ in ours.values())
        idle = sorted(name for name, figures in ours.items() if figures[0] and not figures[2])
        what = f"no worker for {', '.join(idle[:5])}" if idle else "each channel with messages has a worker"
        found.append((f"{server.name} queues", f"{many(waiting, 'message')} waiting, {held:,} held", what))
    return found


def _status(server: Server, until: float) -> Status:
    with _connected(server, until) as connection:
        lines = connection.listing("status", until)
    found: Status = {}
    for line in lines:
        name, *figures = line.rsplit("\t", 3)
        if len(figures) != 3 or not all(figure.isdecimal() and figure.isascii() for figure in figures):
            raise BackendUnavailable(f"{server.name}: its status has a line that cannot be read: {line[:100]!r}")
        total, held, workers = (int(figure[:12]) for figure in figures)
        found[name] = (total, held, workers)
    return found


def _version(server: Server, until: float) -> str:
    with _connected(server, until) as connection:
        answer = connection.line("version", until)
    if not answer.startswith("OK "):
        raise BackendUnavailable(f"{server.name}: it does not speak Gearman, but says {answer[:40]!r}")
    return answer[3:40]


@contextlib.contextmanager
def _connected(server: Server, until: float) -> Generator[Connection]:
    connection = Connection(server.name, server.place, until)
    try:
        yield connection
    finally:
        connection.hang_up()
