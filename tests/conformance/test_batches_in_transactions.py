"""A batch in a transaction of the caller's on PostgreSQL: all of it with the commit, nothing without."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from narrowboat import App, UnknownBatch
from tests.support import postgres_server


@pytest.fixture
def app() -> Iterator[App]:
    server, schema = postgres_server.shared_server(), postgres_server.new_schema()
    app = App("mine", url=f"{server.url}&schema={schema}")
    app.task(name="t.mine")(lambda: None)
    yield app
    assert app.backend.audit() == []
    app.close()
    postgres_server.drop(server, [schema])


def test_it_is_there_exactly_when_the_caller_commits(app: App) -> None:
    work = app.runnables()["t.mine"]
    with psycopg.connect(postgres_server.shared_server().url) as connection:
        lost = app.batch([work.job() for _ in range(3)], then=work.job(), connection=connection)
        connection.rollback()
        kept = app.batch([work.job() for _ in range(3)], then=work.job(), connection=connection)
        empty = app.batch([], then=work.job(), connection=connection)
        one = work.using(then=work.job(), connection=connection).enqueue()
        with pytest.raises(UnknownBatch):
            kept.refresh()
        connection.commit()
    with pytest.raises(UnknownBatch):
        lost.refresh()
    assert (kept.refresh().total, kept.record.is_sealed, kept.is_finished) == (3, True, False)
    assert empty.refresh().is_finished
    assert one.record.batch


def test_it_is_so_for_async_code(app: App) -> None:
    work = app.runnables()["t.mine"]

    async def make(commits: bool) -> str:
        async with await psycopg.AsyncConnection.connect(postgres_server.shared_server().url) as connection:
            batch = await app.abatch([work.job()], then=work.job(), connection=connection)
            await (connection.commit() if commits else connection.rollback())
        return batch.id

    assert app.get_batch(asyncio.run(make(commits=True))).total == 1
    with pytest.raises(UnknownBatch):
        app.get_batch(asyncio.run(make(commits=False)))
