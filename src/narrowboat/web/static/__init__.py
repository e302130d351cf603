"""What browsers load. It is written to be read; on its way out it loses comments and indentation, and is compressed."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from pathlib import Path

from ..answer import Answer, Ask, not_found

HERE = Path(__file__).parent
TYPES = {"job-status.js": "text/javascript; charset=utf-8", "status.css": "text/css; charset=utf-8"}
_IDLE = re.compile(rb"^\s*//.*\n|(?<=[;}]) // .*$|^\s+", re.MULTILINE)


def asset(name: str, ask: Ask) -> Answer:
    """The element, or the style of the plain pages."""
    if name not in TYPES:
        return not_found()
    content, packed, etag = _read(name)
    headers = [
        ("Content-Type", TYPES[name]),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "public, max-age=3600"),
        ("ETag", etag),
        ("Vary", "Accept-Encoding"),
    ]
    if ask.headers.get("if-none-match") == etag:
        return Answer(304, headers)
    if "gzip" in ask.headers.get("accept-encoding", ""):
        return Answer(200, [*headers, ("Content-Encoding", "gzip")], packed)
    return Answer(200, headers, content)


@functools.cache
def _read(name: str) -> tuple[bytes, bytes, str]:
    content = _IDLE.sub(b"", (HERE / name).read_bytes())
    return content, gzip.compress(content, 9, mtime=0), f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'
