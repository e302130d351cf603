"""A transport joined to a backend: the one delivers, the other keeps the record and is the truth."""

from __future__ import annotations

from .backend import RelayBackend

__all__ = ["RelayBackend"]
