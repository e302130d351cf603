"""A connection to the server, turned by whoever waits for something on it.

pika's connections belong to one thread at a time. So a line is driven by the thread that has it: in a web process,
which starts no thread to enqueue, by the one that publishes.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Generator
from typing import Any, cast

from pika import ConnectionParameters, PlainCredentials, SelectConnection, SSLOptions
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel as Session
from pika.exceptions import AMQPError, ConnectionWrongStateError

from .address import Address

__all__ = ["GOODBYE_S", "HEARTBEAT_S", "AMQPError", "Line", "NoAnswer", "Session", "visiting"]

HEARTBEAT_S = 20  # of a line that is always driven
GOODBYE_S = 1.0  # for the server to take leave; what it does not hear by then, it sees by the end of the connection


# It reports each step of a failure as an error of its own; what has failed is raised here, once.
if logging.getLogger("pika").level == logging.NOTSET:
    logging.getLogger("pika").setLevel(logging.CRITICAL)


class NoAnswer(AMQPError):
    """The time was up."""


class NoLine(AMQPError):
    """No connection came about; the cause says why."""


class Line:
    """One connection. A session is what AMQP calls a channel, since that word means something else here.

    heartbeat_s: after which each side asks itself whether the other is still there.
    blocked: why the server takes no messages on this line, or empty. Raises AMQPError, OSError.
    """

    def __init__(self, address: Address, deadline: float, heartbeat_s: int) -> None:
        self.blocked = ""
        self.lost: BaseException | None = None
        self.on_loss: Callable[[], None] = self._turn
        self._is_open = False
        self.loop = IOLoop()
        self._connection = SelectConnection(
            _parameters(address, deadline, heartbeat_s),
            on_open_callback=self._opened,
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
            custom_ioloop=self.loop,
        )
        self._connection.add_on_connection_blocked_callback(self._block)
        self._connection.add_on_connection_unblocked_callback(self._unblock)
        try:
            self.until(lambda: self._is_open, deadline)
        except BaseException:
            self.hang_up()
            raise

    @property
    def version(self) -> str:
        """The server's, such as "4.0.5"; empty if it does not say."""
        told = cast("dict[str, Any]", self._connection.server_properties or {})
        return str(told.get("version", ""))

    def until(self, is_done: Callable[[], bool], deadline: float) -> None:
        """Drive the line. Raises NoAnswer at the deadline, and what has ended the connection."""
        while not is_done():
            if self.lost is not None:
                raise self.lost
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise NoAnswer("the server did not answer in time")
            alarm = cast("Any", self.loop.call_later(left_s, self.loop.stop))
            self.loop.start()
            self.loop.remove_timeout(alarm)

    def turn(self) -> None:
        """Drive it for as long as it lasts: the work of a thread."""
        try:
            while self.lost is None:
                self.loop.start()
        except Exception as error:
            self._ended(None, error)
            raise
        finally:
            self.loop.close()

    def do(self, act: Callable[[], object]) -> None:
        """Have the thread that drives this line do something; nothing if the line is lost."""
        self.loop.add_callback_threadsafe(act)

    def session(self, deadline: float) -> Session:
        """A new one, which is open. Raises as `until`."""
        opened: list[Session] = []
        self.ask_session(lambda session: (opened.append(session), self.loop.stop()))
        self.until(lambda: bool(opened), deadline)
        return opened[0]

    def ask_session(self, opened: Callable[[Session], object]) -> None:
        """A new one, which will be told of when it is open."""
        self._connection.channel(on_open_callback=opened)

    def hang_up(self, takes_leave: bool = True) -> None:
        """End it. takes_leave: with a word to the server, which is given a moment to answer."""
        if takes_leave and self.lost is None and self._is_open:
            try:
                self.leave()
                self.until(lambda: self.lost is not None, time.monotonic() + GOODBYE_S)
            except (AMQPError, OSError):
                pass
        if self.lost is None:
            self.cut()
            with contextlib.suppress(Exception):
                self.until(lambda: self.lost is not None, time.monotonic() + GOODBYE_S)
        self.loop.close()

    def cut(self) -> None:
        """Begin to end it without a word: pika has no public verb for that, and a garbage collector would complain."""
        with contextlib.suppress(Exception):
            cast("Any", self._connection)._terminate_stream(ConnectionWrongStateError("it was given up"))

    def leave(self) -> None:
        """Begin to take leave."""
        if self._connection.is_open:
            self._connection.close()

    def _opened(self, _: object) -> None:
        self._is_open = True
        self._turn()

    def _ended(self, _: object, why: BaseException) -> None:
        if not isinstance(why, AMQPError | OSError):  # not all of pika's have its own root
            no_line = NoLine(str(why))
            no_line.__cause__ = why
            why = no_line
        self.lost = why
        self.on_loss()
        self._turn()

    def _turn(self) -> None:
        self.loop.stop()

    def _block(self, _: object, frame: Any) -> None:
        self.blocked = str(frame.method.reason) or "it does not say why"

    def _unblock(self, _: object, __: object) -> None:
        self.blocked = ""
        self._turn()


@contextlib.contextmanager
def visiting(address: Address, deadline: float) -> Generator[Line]:
    """A line for some questions."""
    line = Line(address, deadline, HEARTBEAT_S)
    try:
        yield line
    finally:
        line.hang_up()


def _parameters(address: Address, deadline: float, heartbeat_s: int) -> ConnectionParameters:
    left_s = max(0.1, deadline - time.monotonic())
    return ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=PlainCredentials(address.user, address.password),
        heartbeat=heartbeat_s,
        socket_timeout=left_s,
        stack_timeout=left_s,
        ssl_options=SSLOptions(address.tls, address.host) if address.tls is not None else None,
        client_properties={"connection_name": f"narrowboat, pid {os.getpid()}", "product": "Narrowboat"},
    )
