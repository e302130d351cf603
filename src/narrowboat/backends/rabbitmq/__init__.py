"""RabbitMQ delivers: a quorum queue for each channel, in one virtual host."""

from __future__ import annotations

from ...core.errors import ConfigError
from .address import Address, address_of

try:
    from .transport import RabbitTransport
except ModuleNotFoundError as error:
    if error.name != "pika":
        raise
    raise ConfigError("RabbitMQ needs pika: pip install 'narrowboat[rabbitmq]'") from error

__all__ = ["Address", "RabbitTransport", "address_of", "open_transport"]


def open_transport(url: str) -> RabbitTransport:
    """`amqp://[user:password@]host[:port][/vhost]`, `amqps://` for TLS; `?prefix=` for the names of the queues.

    Nothing connects yet. Raises ConfigError.
    """
    return RabbitTransport(address_of(url))
