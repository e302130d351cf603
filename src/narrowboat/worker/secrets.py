"""Where secrets come from, and who gets which: exactly the zygotes of tasks that name them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..core.errors import ConfigError
from ..core.needs import Reach
from .zygote import clean_environment

FOLDERS = ("/run/secrets",)  # Docker and Kubernetes; systemd names its own in CREDENTIALS_DIRECTORY


class Secrets:
    """Looks in the environment first, then for a file of that name.

    backend_urls: what nobody is to get. variables: what goes only to tasks that name it, trusted ones included, since
    the worker's own services find their credentials there.
    """

    def __init__(
        self, backend_urls: Sequence[str] = (), folders: Sequence[str] = FOLDERS, variables: Sequence[str] = ()
    ) -> None:
        self._backend_urls, self._variables = backend_urls, variables
        self.folders = [*filter(None, [os.environ.get("CREDENTIALS_DIRECTORY")]), *folders]

    def environment_for(self, reach: Reach) -> dict[str, str]:
        """All that the zygote of these tasks has in its environment. Raises ConfigError for a missing secret."""
        everything: dict[str, str] = {}
        if reach.trusted:
            everything = {name: value for name, value in os.environ.items() if not self._is_backend(name, value)}
        return everything | clean_environment() | {name: self.value_of(name) for name in reach.secrets}

    def value_of(self, name: str) -> str:
        """One secret. Raises ConfigError."""
        if name in os.environ:
            return os.environ[name]
        for folder in self.folders:
            path = Path(folder, name)
            try:
                return path.read_text().rstrip("\n")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise ConfigError(f"the secret {name} cannot be read from {path}: {error.strerror}") from None
        raise ConfigError(
            f"a task needs the secret {name}, which is neither in the worker's environment nor a file in "
            f"{' or '.join(self.folders)}"
        )

    def _is_backend(self, name: str, value: str) -> bool:
        if name.startswith("NARROWBOAT_") or name in self._variables or any(url in value for url in self._backend_urls):
            return True
        return any(password in value for url in self._backend_urls for password in _passwords(url))


def _passwords(url: str) -> set[str]:
    """The one of a URL, before its host or among its options, as it is written there and as it is meant."""
    parts = urlsplit(url)
    written = {parts.password or "", *(text[9:] for text in parts.query.split("&") if text.startswith("password="))}
    return {*written, *map(unquote, written)} - {""}
