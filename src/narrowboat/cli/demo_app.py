"""The app of `narrowboat demo`."""

import time

from .. import App, progress

app = App("demo")


@app.task(queue="demo")
def work(seconds: float) -> float:
    """Takes its time."""
    for tenth in range(10):
        progress(tenth, 10, "working")
        time.sleep(seconds / 10)
    return seconds
