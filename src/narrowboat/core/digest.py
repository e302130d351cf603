"""SHA-256 of short things.

Python's own, without the OpenSSL that hashlib brings: half a megabyte in each zygote, of which each fork copies the
entries. For whole files hashlib is the quicker one.
"""

from __future__ import annotations

import importlib
from typing import Any


def _own() -> Any:
    for name in ("_sha2", "_sha256", "hashlib"):  # from Python 3.12 on, before, and where Python was built without
        try:
            return importlib.import_module(name).sha256
        except ImportError:
            pass
    raise ImportError("sha256")


_sha256 = _own()


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    digits: str = _sha256(content).hexdigest()
    return digits
