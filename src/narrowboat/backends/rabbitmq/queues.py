"""Our queues: made, and looked at, one after another on a line that this thread drives."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

from typing import Any, NamedTuple

from pika.exceptions import ChannelClosedByBroker

from .address import Address
from .errors import NOT_FOUND, PRECONDITION, REFUSED, absent, otherwise
from .line import Line, Session

LIMITED_SINCE = 4  # from this version on, a queue drops what came back 20 times, unless it is told not to
NO_LIMIT = -1


class Counted(NamedTuple):
    """waiting: not held by anyone."""

    waiting: int
    consumers: int


class Desk:
    """Asks about queues. Raises AMQPError, OSError."""

    def __init__(self, line: Line, address: Address, deadline: float) -> None:
        self._line, self._address, self._deadline = line, address, deadline
        self._session: Session | None = None
        self._refusal: BaseException | None = None

    def make(self, queue: str) -> None:
        """Make it, unless it is there. Raises ConfigError if it is of another kind, BackendError without the right."""
        try:
            self._declare(queue, durable=True, arguments=arguments(self._line.version))
        except ChannelClosedByBroker as refusal:
            if refusal.reply_code == REFUSED:
                if self.look(queue) is None:
                    raise absent(queue, self._address) from refusal
            elif refusal.reply_code == PRECONDITION and "x-delivery-limit" in refusal.reply_text:
                return  # made before the server was upgraded, or by people: `doctor` says what that means
            elif refusal.reply_code == PRECONDITION:
                raise otherwise(queue, refusal.reply_text, self._address) from refusal
            else:
                raise

    def look(self, queue: str) -> Counted | None:
        """None: it is not there. Takes no permission but that of the virtual host."""
        try:
            answer = self._declare(queue, passive=True)
        except ChannelClosedByBroker as refusal:
            if refusal.reply_code == NOT_FOUND:
                return None
            raise
        return Counted(answer.message_count, answer.consumer_count)

    def _declare(self, queue: str, **options: Any) -> Any:
        session = self._session
        if session is None or not session.is_open:
            self._refusal = None
            session = self._session = self._line.session(self._deadline)
            session.add_on_close_callback(self._closed)
        answers: list[Any] = []
        session.queue_declare(queue, callback=lambda frame: (answers.append(frame), self._line.loop.stop()), **options)
        self._line.until(lambda: bool(answers) or self._refusal is not None, self._deadline)
        if self._refusal is not None:
            raise self._refusal
        return answers[0].method

    def _closed(self, _: object, why: BaseException) -> None:
        self._refusal = why
        self._line.loop.stop()


def arguments(version: str) -> dict[str, Any]:
    """Of a queue on a server of this version. What other programs put there is nowhere else, so it is never dropped."""
    major = version.partition(".")[0]
    limit = {"x-delivery-limit": NO_LIMIT} if major.isdigit() and int(major) >= LIMITED_SINCE else {}
    return {"x-queue-type": "quorum", **limit}
