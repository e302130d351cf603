"""How the server is set up: what it would forget, what slows it down, and what people should know."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.units import in_words
from . import schema
from .pool import Line
from .queries import Queries

LONG_S = 300.0  # that a transaction may take without a word about it

FSYNC = "a power cut, or a crash of the machine, may destroy the database, and the jobs with it"
COMMIT = "a crash of the server loses the jobs that were accepted in the second before"
PAGES = "a power cut may leave pages half written, of which nobody knows"
AUTOVACUUM = "nothing clears up behind the queue, and claims become slower and slower"
HELD = "VACUUM cannot clear up behind the queue meanwhile, and claims become slower"
HIDDEN = "this role may not look at the sessions of others: GRANT pg_read_all_stats TO it"
POOLED = (
    "neither LISTEN nor prepared statements are used, and work is found by looking, mostly within a fifth of a second; "
    "connect workers directly, or say listen=yes&prepare=yes if the pooler is in session mode, or listen=no"
)
FAR = "a fail-over forgets what had not reached the standby yet, unless synchronous_standby_names makes commits wait"
NEAR = "each commit waits for a standby, so a fail-over forgets nothing"
ALONE = "while its machine is down, nothing is enqueued and nothing runs"


@dataclass(frozen=True, slots=True)
class Setup:
    """What the server says of itself. holder_s: for how long; None: not known."""

    schema: str
    schema_version: int
    is_pooled: bool
    version: str
    fsync: bool
    synchronous_commit: str
    full_page_writes: bool
    autovacuum: bool
    standbys: int
    synchronous_standbys: str
    hidden: int
    holder: str | None
    holder_s: float | None

    @property
    def is_held(self) -> bool:
        """Whether somebody holds back VACUUM for long."""
        return self.holder is not None and (self.holder_s is None or self.holder_s > LONG_S)


def setup_of(line: Line, queries: Queries) -> Setup:
    """Raises psycopg.Error, SchemaTooNew."""
    row = line.execute(queries("health")).fetchone()
    assert row is not None
    return Setup(queries.schema, schema.version_of(line, queries), line.is_pooled, *row)


def doubts(setup: Setup, is_pooler_known: bool) -> list[str]:
    """What this server would forget, and what slows it down, one sentence each.

    is_pooler_known: somebody has said how to deal with it.
    """
    found = [
        (not setup.fsync, f"PostgreSQL runs with fsync off: {FSYNC}"),
        (setup.synchronous_commit == "off", f"PostgreSQL runs with synchronous_commit off: {COMMIT}"),
        (not setup.full_page_writes, f"PostgreSQL runs with full_page_writes off: {PAGES}"),
        (not setup.autovacuum, f"PostgreSQL runs with autovacuum off: {AUTOVACUUM}"),
        (setup.is_held, f"{_held(setup)} keeps old rows alive: {HELD}"),
        (setup.is_pooled and not is_pooler_known, f"PostgreSQL is reached through a pooler: {POOLED}"),
    ]
    return [sentence for holds, sentence in found if holds]


def explained(setup: Setup) -> list[tuple[str, str, str]]:
    """How it is, and what that means."""
    commit = COMMIT if setup.synchronous_commit == "off" else "an accepted job survives a crash of the server"
    return [
        ("version", setup.version, ""),
        ("schema", f"{setup.schema}, {_version(setup.schema_version)}", _way(setup)),
        ("fsync", _on(setup.fsync), "a power cut loses nothing that was accepted" if setup.fsync else FSYNC),
        ("synchronous_commit", _loud(setup.synchronous_commit), commit),
        ("full_page_writes", _on(setup.full_page_writes), "" if setup.full_page_writes else PAGES),
        ("autovacuum", _on(setup.autovacuum), "" if setup.autovacuum else AUTOVACUUM),
        ("oldest transaction", *_oldest(setup)),
        ("pooler", "in between" if setup.is_pooled else "none", POOLED if setup.is_pooled else ""),
        ("standbys", str(setup.standbys) if setup.standbys else "none", _standbys(setup)),
    ]


def _version(version: int) -> str:
    return f"version {version}" if version else "NOT THERE"


def _way(setup: Setup) -> str:
    if setup.schema_version == 0:
        return "the first worker or enqueue makes it, if the role may; else let one that may run `narrowboat migrate`"
    if setup.schema_version < schema.VERSION:
        return f"this Narrowboat needs version {schema.VERSION}: run `narrowboat migrate`; workers may go on meanwhile"
    return ""


def _oldest(setup: Setup) -> tuple[str, str]:
    if setup.is_held:
        return _held(setup), HELD
    return "none that is old", HIDDEN if setup.hidden else ""


def _held(setup: Setup) -> str:
    since = "" if setup.holder_s is None else f", for {in_words(setup.holder_s)}"
    return f"{setup.holder}{since}"


def _standbys(setup: Setup) -> str:
    if not setup.standbys:
        return ALONE
    return NEAR if setup.synchronous_standbys else FAR


def _on(value: bool) -> str:
    return "on" if value else "OFF"


def _loud(value: str) -> str:
    return "OFF" if value == "off" else value
