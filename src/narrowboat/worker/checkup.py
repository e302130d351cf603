"""An app without tasks, for `narrowboat doctor`."""

from __future__ import annotations

from ..app.app import App

app = App("checkup")
