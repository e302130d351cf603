"""Notices by way of Amazon SQS, or of a service that speaks like it."""

from __future__ import annotations

from ...core.errors import ConfigError
from .address import Address, address_of

try:
    from .transport import SqsTransport
except ModuleNotFoundError as error:
    if error.name not in ("boto3", "botocore"):
        raise
    raise ConfigError(f"sqs:// needs {error.name}: pip install 'narrowboat[sqs]'") from error

__all__ = ["Address", "SqsTransport", "address_of", "open_transport"]


def open_transport(url: str) -> SqsTransport:
    """`sqs://[region]?prefix=&endpoint_url=&visibility=`; credentials and region by the usual AWS chain.

    Raises ConfigError for a URL that cannot be understood. Nothing connects before it is used.
    """
    return SqsTransport(address_of(url))
