"""Accounts and transfers, with SQLAlchemy on the database that keeps the jobs, too."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Engine, Integer, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.exc import IntegrityError

from .receipts import app, receipt

tables = MetaData()
accounts = Table(
    "account",
    tables,
    Column("name", String, primary_key=True),
    Column("cents", Integer, CheckConstraint("cents >= 0", name="no_debts"), nullable=False),
)
transfers = Table(
    "transfer",
    tables,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("source", String, nullable=False),
    Column("target", String, nullable=False),
    Column("cents", Integer, nullable=False),
)


def opened(url: str) -> Engine:
    """The database at the URL of the jobs, with its tables."""
    app.backend.stats()  # jobs first: a SQLite file becomes theirs while it is empty
    if url.startswith("sqlite:"):
        engine = create_engine(url, connect_args={"timeout": 30})
    else:
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    tables.create_all(engine)
    return engine


def open_accounts(engine: Engine, balances: dict[str, int]) -> None:
    """Make the accounts that are not there yet."""
    with engine.begin() as connection:
        there = set(connection.scalars(select(accounts.c.name)))
        new = [{"name": name, "cents": cents} for name, cents in balances.items() if name not in there]
        if new:
            connection.execute(insert(accounts), new)


def transfer(engine: Engine, number: int, source: str, target: str, cents: int) -> bool:
    """Move money and have a receipt made: both, or nothing. False: it was made before, or there is too little money.

    number: given by whoever asks, who may ask again with it when no answer came.
    """
    try:
        with engine.begin() as connection:
            connection.execute(insert(transfers).values(number=number, source=source, target=target, cents=cents))
            for name, change in sorted(
                [(source, -cents), (target, cents)]
            ):  # in one order, so that none block each other
                changed = accounts.c.cents + change
                connection.execute(accounts.update().where(accounts.c.name == name).values(cents=changed))
            receipt.using(connection=connection).enqueue(number, source, target, cents)
    except IntegrityError:
        return False
    return True


def balances(engine: Engine) -> dict[str, int]:
    """What everybody has, in cents."""
    with engine.connect() as connection:
        return dict(connection.execute(select(accounts.c.name, accounts.c.cents)).all())


def done(engine: Engine) -> list[int]:
    """The numbers of all transfers."""
    with engine.connect() as connection:
        return list(connection.scalars(select(transfers.c.number).order_by(transfers.c.number)))
