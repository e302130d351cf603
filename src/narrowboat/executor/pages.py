"""Memory that forks share, in large pages.

For each page of its zygote a fork copies an entry, and at its end gives it up again: 3,000 times for an app that
imports nothing. A page of 2 MiB is one entry, or at least is counted at once where a fork has parted it by writing to
it, which makes forks and their ends a quarter cheaper. But pymalloc takes memory by the MiB as it goes along, with
libraries mapped in between. So what Narrowboat's own imports will take is taken at once, before them, in one piece.
"""

from __future__ import annotations

_PIECES, _PIECE = 10_000, 470  # bytes: with their heads nearly 5 MiB, in blocks of pymalloc's next to largest size
_APART = 2_000  # pieces; somewhat less than an arena holds


def gather() -> list[bytes]:
    """Take the memory. What is returned must be kept for as long: a piece of each arena, or it would be given back."""
    return [bytes(_PIECE) for _ in range(_PIECES)][::_APART]
