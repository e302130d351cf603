"""From a URL to a file store; without one, a folder beside the database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..core.errors import ConfigError
from .store import FileStore


def open_files(url: str | None, beside: str) -> FileStore:
    """The store that a URL names. beside: the database, where there is no URL. Raises ConfigError."""
    if not url:
        from .folder import FolderStore

        return FolderStore(f"{beside}-files")
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        from .folder import FolderStore

        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        from .s3 import S3Store

        return S3Store(url)
    raise ConfigError(f"{url!r} does not name a file store; write file:///srv/files or s3://bucket/prefix")
