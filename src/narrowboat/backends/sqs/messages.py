"""From notices to messages, which are text of the kind that XML can carry, and back."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ...core.errors import PayloadTooLarge
from ..transport import Notice
from .service import MOST_BYTES, Entry

LARGEST = MOST_BYTES - 512  # of a body; the rest is for what says how it is written
_ENCODING = {"encoding": {"DataType": "String", "StringValue": "base64"}}
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def entry_for(notice: Notice) -> Entry:
    """JSON travels as it is; what SQS would refuse or change travels as base64. Raises PayloadTooLarge."""
    text = _as_text(notice.body)
    entry: Entry = {"MessageBody": text}
    if text is None:
        entry = {"MessageBody": base64.b64encode(notice.body).decode(), "MessageAttributes": _ENCODING}
    size = len(entry["MessageBody"].encode())
    if size > LARGEST:
        raise PayloadTooLarge(f"a message of job {notice.id} has {size} bytes; SQS is given at most {LARGEST}")
    return entry


def body_of(message: Mapping[str, Any]) -> bytes:
    """The bytes that were published, or what another program has sent."""
    body: str = message["Body"]
    encoding = message.get("MessageAttributes", {}).get("encoding", {}).get("StringValue")
    if encoding == "base64":
        try:
            return base64.b64decode(body, validate=True)
        except ValueError:  # it only says so
            pass
    return body.encode()


def _as_text(body: bytes) -> str | None:
    """None for what is no text that XML can carry unchanged."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _NOT_XML.search(text) else text
