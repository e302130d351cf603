"""`using(connection=...)` where there is no transaction to join."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator

import pytest

from narrowboat import App, ConfigError, Needs, State
from narrowboat.backends import foreign
from narrowboat.backends.base import Filter
from narrowboat.core.errors import UnsupportedByBackend


@pytest.fixture
def app() -> App:
    return App("shop", url="memory://")


@pytest.fixture
def mine() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def test_a_backend_without_transactions_says_why_and_what_to_do(app: App, mine: sqlite3.Connection) -> None:
    @app.task(name="shop.receipt")
    def receipt(number: int) -> int:
        return number

    bound = receipt.using(connection=mine)
    with pytest.raises(UnsupportedByBackend, match=r"in memory, .* transaction of yours.*or enqueue after the commit"):
        bound.enqueue(1)
    with pytest.raises(UnsupportedByBackend, match="in memory"):
        asyncio.run(bound.aenqueue(1))
    assert app.backend.find(Filter()).jobs == ()
    assert not mine.in_transaction


def test_a_rehearsal_enqueues_at_once_and_leaves_the_connection_alone(app: App, mine: sqlite3.Connection) -> None:
    @app.task(name="shop.receipt")
    def receipt(number: int) -> int:
        return number

    with app.testing() as jobs:
        job = receipt.using(connection=mine).enqueue(1)
        other = asyncio.run(receipt.using(connection="default").aenqueue(2))
        assert [job, other] == jobs.enqueued(receipt)
        jobs.drain()
        assert (job.result, other.result) == (1, 2)
    with app.testing(inline=True):
        assert receipt.using(connection=mine).enqueue(3).state is State.SUCCEEDED
        assert asyncio.run(receipt.using(connection=mine).aenqueue(4)).state is State.SUCCEEDED
    assert not mine.in_transaction


def test_inside_a_task_jobs_go_with_its_success_only(app: App, mine: sqlite3.Connection) -> None:
    @app.task(name="shop.receipt")
    def receipt(number: int) -> int:
        return number

    @app.task(name="shop.order", needs=Needs(enqueue=[receipt]))
    def order(number: int) -> None:
        receipt.using(connection=mine).enqueue(number)

    with app.testing() as jobs:
        order.enqueue(1)
        with pytest.raises(ConfigError, match="leave out connection="):
            jobs.drain()
        jobs.assert_not_enqueued(receipt)


def test_an_alias_needs_django() -> None:
    with pytest.raises(ConfigError, match=r"'default': a text is the alias .* Django is not in use"):
        foreign.unwrap("default")


def test_other_drivers_are_named_by_what_they_are() -> None:
    kind = type("connection", (), {"__module__": "psycopg2.extensions"})
    assert foreign.unwrap(given := kind()) is given
    assert foreign.described(given) == "a psycopg2.extensions.connection"
    assert foreign.described(3) == "an int"
