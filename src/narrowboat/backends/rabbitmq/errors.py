"""What the server and pika say, in our words."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from ...core.errors import BackendError, BackendUnavailable, ConfigError, NarrowboatError
from .address import Address

REFUSED, NOT_FOUND, LOCKED, PRECONDITION = 403, 404, 405, 406
GRANT = "rabbitmqctl set_permissions, see docs/rabbitmq.md"


def in_our_words(error: BaseException, address: Address, blocked: str = "") -> NarrowboatError:
    """blocked: why the server takes no messages on this line, if it does not."""
    if isinstance(error, NarrowboatError):
        return error
    where, parts = address.location, list(_parts(error))
    texts = " ".join(repr(part) for part in parts)
    if blocked:
        return BackendUnavailable(
            f"{where}: RabbitMQ takes no messages at the moment ({blocked}), and has not for {address.timeout_s:g} s; "
            "it goes on when its consumers, or people, have made room: `rabbitmqctl status` shows alarms and watermarks"
        )
    if "CERTIFICATE_VERIFY_FAILED" in texts:
        return ConfigError(f"{where}: the server could not show who it is: {_last(parts)}")
    if isinstance(error, NackError):
        return BackendUnavailable(
            f"{where}: RabbitMQ refused a message; a policy with max-length and reject-publish does that, and so does "
            "a quorum queue that has lost most of its nodes"
        )
    for part in parts:
        # pika takes every end at this point for a refusal, also that of a node which is killed.
        is_said = ConnectionClosedByBroker.__name__ in str(part)
        if isinstance(part, ProbableAuthenticationError) and is_said:
            return ConfigError(f"{where}: the server refused user or password")
        if isinstance(part, ProbableAccessDeniedError) and is_said:
            return ConfigError(f"{where}: {_vhost(str(part), address)}")
        if isinstance(part, ConnectionClosedByBroker | ChannelClosedByBroker):
            if part.reply_code == REFUSED:
                return BackendError(f"{where}: the user of this URL may not do that ({GRANT}): {part.reply_text}")
            if part.reply_code in (LOCKED, PRECONDITION):
                return BackendError(f"{where}: {part.reply_text}")
    return BackendUnavailable(f"{where}: no answer within {address.timeout_s:g} s: {_last(parts)}")


def otherwise(queue: str, text: str, address: Address) -> ConfigError:
    """For a queue that is there, and is not as we would have made it."""
    return ConfigError(
        f"{address.location}: there is a queue {queue} of another kind ({text}). Narrowboat uses durable quorum "
        f"queues: once it is empty, rabbitmqctl delete_queue {queue}, and it is made anew; or use another ?prefix="
    )


def absent(queue: str, address: Address) -> BackendError:
    """For a queue that is not there, and that this user may not make."""
    return BackendError(
        f"{address.location}: there is no queue {queue}, and the user of this URL may not make it: let a worker make "
        f"it first, or give this user the right to configure ^{address.prefix}\\. ({GRANT})"
    )


def _vhost(text: str, address: Address) -> str:
    name = address.vhost
    if "not found" in text:
        return f"there is no virtual host {name!r}: rabbitmqctl add_vhost {name}, or name another after the host"
    return f"the user of this URL may not use the virtual host {name!r} ({GRANT}): {text}"


def _parts(error: BaseException) -> Iterator[BaseException]:
    """It, and what is wrapped in it."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, list | tuple):
            waiting += list(cast("Any", found))
        elif isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            inner = [getattr(found, name, None) for name in ("args", "exceptions", "exception", "__cause__")]
            waiting += inner


def _last(parts: list[BaseException]) -> str:
    last = parts[-1]
    return str(last) or type(last).__name__
