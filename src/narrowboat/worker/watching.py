"""For `--reload`: tells the main loop when Python files below a folder have changed."""

from __future__ import annotations

import threading

from ..core.errors import ConfigError
from .mail import CodeChanged, Mailbox


class Watcher(threading.Thread):
    """Ends with the process. Raises ConfigError where watchfiles is not installed."""

    def __init__(self, folder: str, mailbox: Mailbox) -> None:
        super().__init__(name="narrowboat-reload", daemon=True)
        try:
            import watchfiles
        except ImportError as error:
            raise ConfigError("--reload needs watchfiles: pip install 'narrowboat[dev]'") from error
        self._watch, self._filter = watchfiles.watch, watchfiles.PythonFilter()
        self._folder, self._mailbox = folder, mailbox

    def run(self) -> None:
        """Until the process ends."""
        for changes in self._watch(self._folder, watch_filter=self._filter, raise_interrupt=False, debounce=300):
            self._mailbox.post(CodeChanged(sorted(path for _, path in changes)))
