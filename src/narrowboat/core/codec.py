"""JSON in and out: typed, size-limited. Never pickle, never code.

What JSON alone does not have is written as msgspec does: dates as RFC 3339, UUID and Decimal as text,
bytes as base64, sets and tuples as arrays, dataclasses and Structs as objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .errors import PayloadTooLarge
from .job import MAX_PAYLOAD
from .units import bytes_in_words

_decoder = msgspec.json.Decoder()


def plain(value: Any) -> Any:
    """For what msgspec does not know: subclasses of text, such as Django's SafeString, as text. Raises TypeError."""
    if isinstance(value, str):
        return "".join((value, ""))  # str() would give the same object again
    raise TypeError(f"a {type(value).__name__} has none")


def encode(value: Any, hook: Callable[[Any], Any] = plain) -> bytes:
    """JSON bytes. hook: gives what stands for values that have no JSON form. Raises TypeError for the others."""
    if hook is plain:
        return _encoder.encode(value)
    return msgspec.json.Encoder(decimal_format="string", uuid_format="canonical", enc_hook=hook).encode(value)


_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical", enc_hook=plain)


# What decoding raises. msgspec's own errors are ValueErrors; of bytes that are no UTF-8 it raises UnicodeDecodeError.
UNREADABLE = (ValueError, RecursionError)


def decode(data: bytes) -> Any:
    """Plain dicts, lists, text and numbers. Raises one of UNREADABLE when it is not JSON."""
    return _decoder.decode(data)


def refuse_large(data: bytes, *what: str) -> None:
    """Raise PayloadTooLarge when the data is over MAX_PAYLOAD bytes."""
    if len(data) > MAX_PAYLOAD:
        raise PayloadTooLarge(
            f"{' '.join(what)}: {bytes_in_words(len(data))} of JSON, the limit is {bytes_in_words(MAX_PAYLOAD)}; "
            "pass it as a narrowboat.File, or put it into a database and pass its name"
        )


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters become their escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
