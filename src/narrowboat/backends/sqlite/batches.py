"""Batches: their numbers, and the final job of one that is finished, which the caller writes at once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ...core import codec
from ...core.batch import Batch, BatchPart, final_job
from ...core.job import NewJob
from ..base import Retention
from .queries import sql

Ends = Counter[tuple[str, str]]  # (batch, "total" or a final state) -> by how many
_then = msgspec.json.Decoder(NewJob).decode


def make(connection: sqlite3.Connection, parts: Iterable[BatchPart], now: float) -> None:
    """Those that are not there yet."""
    rows = [
        {
            "id": part.id,
            "waits_for": part.when,
            "now": now,
            "final": codec.encode(part.then).decode() if part.then else None,
            "final_id": part.then.id if part.then else "",
            "summary": part.summary,
            "kept": part.is_kept,
        }
        for part in parts
    ]
    connection.executemany(sql("batch_make"), rows)


def end(connection: sqlite3.Connection, parts: Iterable[BatchPart], now: float) -> list[NewJob]:
    """Their jobs are written; the final jobs that are to be written now."""
    finals: list[NewJob] = []
    for part in parts:
        if part.is_last:
            connection.execute(sql("batch_drop"), {"id": part.id, "kept": part.is_kept})
            finals += _finish(connection, connection.execute(sql("batch_seal"), {"id": part.id, "now": now}), now)
    return finals


def count(connection: sqlite3.Connection, ends: Ends, now: float) -> list[NewJob]:
    """Jobs were added or have ended, or no longer; the final jobs that are to be written now."""
    finals: list[NewJob] = []
    for batch in sorted({batch for batch, _ in ends if batch}):
        fields = {field: ends[batch, field] for field in ("total", "succeeded", "dead", "cancelled")}
        rows = connection.execute(sql("batch_count"), {"id": batch, "now": now, **fields})
        finals += _finish(connection, rows, now)
    return finals


def read(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Batch | None]:
    """By id, in order."""
    rows = connection.execute(sql("batches"), {"ids": codec.encode(list(ids)).decode()})
    found = {row[0]: _batch(row) for row in rows}
    return [found.get(id_) for id_ in ids]


def latest(connection: sqlite3.Connection, limit: int) -> list[Batch]:
    """Newest first."""
    return [_batch(row) for row in connection.execute(sql("batches_latest"), {"n": limit})]


def purge(connection: sqlite3.Connection, retention: Retention, now: float) -> None:
    """Those past their retention."""
    named = {"finished": now - retention.keep_s, "held": now - retention.dead_s}
    connection.execute(sql("batches_purge"), named)


def _finish(connection: sqlite3.Connection, rows: sqlite3.Cursor, now: float) -> list[NewJob]:
    finals: list[NewJob] = []
    for row in rows.fetchall():
        batch, final = _batch(row), row[-1]
        if not batch.is_due:
            continue
        connection.execute(sql("batch_finish" if batch.is_kept else "batch_forget"), {"id": batch.id, "now": now})
        if final is not None:
            finals.append(final_job(_then(final), batch))
    return finals


def _batch(row: tuple[Any, ...]) -> Batch:
    id_, total, succeeded, dead, cancelled, when, is_sealed, created_at, changed_at, finished_at, then = row[:11]
    return Batch(
        id=id_,
        total=total,
        succeeded=succeeded,
        dead=dead,
        cancelled=cancelled,
        when=when,
        is_sealed=bool(is_sealed),
        created_at=created_at,
        changed_at=changed_at,
        finished_at=finished_at,
        then=then,
        summary=row[11],
        is_kept=bool(row[12]),
    )
