"""What a URL says: where the service is, and what our queues are called there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from ...core.errors import ConfigError
from ..urls import redacted

PREFIX = "nb-"
VISIBILITY_S = 60  # a message is held for as long as a claim takes, which is moments
LONGEST_VISIBILITY_S = 43_200  # 12 hours, the service's limit
KNOWN = ("prefix", "endpoint_url", "visibility")


@dataclass(frozen=True, slots=True)
class Address:
    """region, endpoint_url: None where the URL leaves that to the usual AWS settings.

    visibility_s: for how long a message that was received is held back from others.
    """

    url: str
    region: str | None
    prefix: str
    endpoint_url: str | None
    visibility_s: int

    @property
    def location(self) -> str:
        """The URL, with the password removed that an endpoint may have."""
        return redacted(self.url)


def address_of(url: str) -> Address:
    """Raises ConfigError for what cannot be understood."""
    parts = urlsplit(url)
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    shown = redacted(url)
    for name in settings:
        if name not in KNOWN:
            raise ConfigError(f"{shown!r}: there is no setting {name!r}; known: {', '.join(KNOWN)}")
    if parts.path.strip("/") or not re.fullmatch(r"[a-z0-9-]*", parts.netloc):
        raise ConfigError(f"{shown!r}: write sqs://eu-west-1, or sqs:// where AWS_REGION or a profile names the region")
    prefix = settings.get("prefix", PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", prefix):
        raise ConfigError(f"{shown!r}: a prefix has 1 to 40 letters, digits or any of _ -")
    endpoint_url = settings.get("endpoint_url")
    if endpoint_url is not None and not re.match(r"https?://[^/]", endpoint_url):
        raise ConfigError(f"{shown!r}: an endpoint_url begins with https:// or http://")
    visibility = settings.get("visibility", str(VISIBILITY_S))
    if not visibility.isdecimal() or not 1 <= int(visibility) <= LONGEST_VISIBILITY_S:
        raise ConfigError(f"{shown!r}: visibility is a number of seconds, 1 to {LONGEST_VISIBILITY_S}")
    return Address(url, parts.netloc or None, prefix, endpoint_url, int(visibility))
