"""Tokens: what a browser must show to see a job. Each is for one job, for a while, and says whether it may cancel.

A token is base64url of: version (1 byte), rights (1), end (4, seconds since 1970), HMAC-SHA256 of all else cut to
128 bits (16), job id. The cut is what RFC 2104 section 5 allows.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..core.errors import ConfigError
from ..core.ids import task_of

VARIABLE = "NARROWBOAT_WEB_KEY"
LEAST_KEY = 32  # characters
LONGEST = 600  # characters of a token; longer texts are not looked at
_HEAD = struct.Struct(">BBI")
_MAC = 16
_VERSION, _CANCEL = 1, 1
_PURPOSE = b"narrowboat job token\0"  # the same key signs nothing else alike


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows: to see this job, and perhaps to cancel it, until `ends_at` (seconds since 1970)."""

    job: str
    may_cancel: bool
    ends_at: int
    token: str


class Signer:
    """Makes and reads tokens. The first key signs; all verify, so that a key can be replaced without a gap."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or any(len(key) < LEAST_KEY for key in keys):
            raise ConfigError(
                f"{VARIABLE}: give a secret text of at least {LEAST_KEY} characters without a comma, "
                "the same to all web processes; "
                'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        self._keys = [key.encode() for key in keys]

    @classmethod
    def of(cls, key: str | None) -> Signer:
        """From a setting: keys between commas, the new one first; None reads the environment. Raises ConfigError."""
        found = os.environ.get(VARIABLE, "") if key is None else key
        return cls([part.strip() for part in found.split(",") if part.strip()])

    def sign(self, job: str, now: float, ttl_s: float, *, may_cancel: bool = False) -> str:
        """A token for a job, good for `ttl_s` seconds."""
        head = _HEAD.pack(_VERSION, _CANCEL if may_cancel else 0, min(int(now + ttl_s), 0xFFFF_FFFF))
        name = job.encode()
        return base64.urlsafe_b64encode(head + _mac(self._keys[0], head + name) + name).decode().rstrip("=")

    def read(self, token: str, now: float) -> Grant | None:
        """What a token allows, or None for one that is wrong, forged or over."""
        if not token.isascii() or len(token) > LONGEST:
            return None
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            version, rights, ends_at = _HEAD.unpack_from(data)
            job = data[_HEAD.size + _MAC :].decode()
        except (binascii.Error, struct.error, UnicodeDecodeError):
            return None
        mac = data[_HEAD.size : _HEAD.size + _MAC]
        signed = data[: _HEAD.size] + job.encode()
        # Every key is tried, so that the time taken says nothing of which one it was.
        matches = [hmac.compare_digest(mac, _mac(key, signed)) for key in self._keys]
        if True not in matches or version != _VERSION or ends_at <= now or task_of(job) is None:
            return None
        return Grant(job, bool(rights & _CANCEL), ends_at, token)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + data, sha256)[:_MAC]
