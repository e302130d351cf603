"""Gearman as a transport: it carries notices between machines, and forgets them when it is killed."""

from __future__ import annotations

from .address import address_of
from .transport import GearmanTransport

__all__ = ["GearmanTransport", "open_transport"]


def open_transport(url: str) -> GearmanTransport:
    """`gearman://host[:port][,host2[:port]...]`; `?prefix=` is what its functions begin with. Raises ConfigError."""
    return GearmanTransport(address_of(url))
