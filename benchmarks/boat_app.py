"""The measured tasks, on Narrowboat."""

import time

from narrowboat import App

app = App("bench")


@app.task
def nothing() -> None:
    """Does nothing."""


@app.task
def when() -> float:
    """When it began."""
    return time.time()


@app.task
def hold(seconds: float) -> None:
    """Keeps an executor busy, so that more of them are started."""
    time.sleep(seconds)
