"""The app of the tests with old programs: what all of them can run."""

import time

import narrowboat

app = narrowboat.App("ferry")


@app.task
def cross() -> str:
    """Tells which program runs it."""
    return narrowboat.__file__


@app.task
def tow() -> str:
    """Takes so long that no worker claims more of them than it has executors."""
    time.sleep(0.1)
    return narrowboat.__file__
