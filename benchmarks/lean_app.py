"""A task that does nothing, in an app that imports nothing: what a process for each job costs by itself."""

from __future__ import annotations

from narrowboat import App

app = App("lean")


@app.task(untrusted=True)
def nothing_fresh() -> None:
    """Does nothing, in an executor of its own."""
