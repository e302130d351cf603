"""A Django project that enqueues inside `atomic`; it ends well if all is as its docs say.

python -m tests.support.django_caller URL DATABASE, the latter as JSON for settings.DATABASES["default"]. A process of
its own, since Django can be set up once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, transaction
from django.db.transaction import TransactionManagementError

from narrowboat import App, ConfigError, Queue, QueueFull
from narrowboat.backends.base import Filter

app = App("shop", url=sys.argv[1], queues=[Queue("few", waiting=1)])


@app.task(name="shop.receipt")
def receipt(number: int) -> int:
    return number


def raises(expected: type[Exception], call: Any, words: str = "") -> None:
    """Whether it does, as pytest would."""
    try:
        call()
    except expected as error:
        assert words in str(error), str(error)
        return
    raise AssertionError(f"{expected.__name__} was not raised")


def ids() -> set[str]:
    """Of all jobs that anybody else can see."""
    return {job.id for job in app.backend.find(Filter()).jobs}


def main() -> None:
    """All of it, one thing after another."""
    assert ids() == set()
    default: Any = json.loads(sys.argv[2])
    settings.configure(
        DATABASES={"default": default, "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    )
    django.setup()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE django_orders (number integer PRIMARY KEY)")
    kept: set[str] = set()

    with transaction.atomic():
        kept.add(receipt.using(connection="default").enqueue(1).id)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO django_orders VALUES (1)")
        kept.add(receipt.using(connection=connection).enqueue(2).id)
        assert ids() == set()
    assert ids() == kept

    def rolled_back() -> None:
        with transaction.atomic():
            receipt.using(connection="default").enqueue(3)
            raise ZeroDivisionError

    raises(ZeroDivisionError, rolled_back)
    assert ids() == kept

    with transaction.atomic():
        kept.add(receipt.using(connection="default").enqueue(4).id)
        raises(ZeroDivisionError, rolled_back)  # in a savepoint
        kept.add(receipt.using(connection="default", queue="few").enqueue(5).id)
        raises(QueueFull, lambda: receipt.using(connection="default", queue="few").enqueue(6))
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO django_orders VALUES (2)")
    assert ids() == kept

    kept.add(receipt.using(connection="default").enqueue(7).id)  # Django's autocommit
    assert ids() == kept

    def broken() -> None:
        with transaction.atomic():
            try:
                with transaction.atomic(savepoint=False), connection.cursor() as cursor:
                    cursor.execute("INSERT INTO django_orders VALUES (1)")
            except DatabaseError:
                pass
            receipt.using(connection="default").enqueue(8)

    raises(TransactionManagementError, broken)
    assert ids() == kept

    raises(ConfigError, lambda: receipt.using(connection="nowhere").enqueue(9), "it has default, other")
    raises(ConfigError, lambda: receipt.using(connection="other").enqueue(10), "jobs are in")
    raises(SynchronousOnlyOperation, lambda: asyncio.run(receipt.using(connection="default").aenqueue(11)))
    assert ids() == kept
    assert app.backend.audit() == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM django_orders ORDER BY number")
        assert cursor.fetchall() == [(1,), (2,)]
        cursor.execute("DROP TABLE django_orders")
    connection.close()
    app.close()


if __name__ == "__main__":
    main()
