"""The tasks that measure the sandbox: nothing at all, the time, and a thumbnail of a photo that comes with the job."""

from __future__ import annotations

import base64
import io
import os
import time

from PIL import Image

from narrowboat import App, progress

app = App("sandbox")
Image.init()  # loads every format once, in the zygote; else each executor would load its own, of about 2 MB


@app.task
def nothing() -> None:
    """Does nothing, in an executor that is used again."""


@app.task(untrusted=True)
def nothing_fresh() -> None:
    """Does nothing, in an executor of its own."""


@app.task
def when() -> float:
    """When it began."""
    return time.time()


@app.task(untrusted=True)
def when_fresh() -> float:
    """The same in an executor of its own."""
    return time.time()


@app.task
def thumbnail(photo: str, until: float) -> int:
    """Makes one, and keeps its executor busy until that time, so that others are started; returns its process."""
    return _thumbnail(photo, until)


@app.task(untrusted=True, memory="512MB")
def thumbnail_fresh(photo: str, until: float) -> int:
    """The same in an executor of its own."""
    return _thumbnail(photo, until)


def _thumbnail(photo: str, until: float) -> int:
    picture = Image.open(io.BytesIO(base64.b64decode(photo)))
    picture.thumbnail((320, 320))
    picture.save("thumbnail.jpg")
    progress(1, 1, "made")
    time.sleep(max(0.0, until - time.time()))
    return os.getpid()


def photo() -> str:
    """A JPEG of 1600 x 1200 pixels, in base64: clouds of colour with some noise, as cameras make."""
    small = Image.frombytes("RGB", (40, 30), os.urandom(3600)).resize((1600, 1200), Image.Resampling.BICUBIC)
    noise = Image.effect_noise((1600, 1200), 24).convert("RGB")
    file = io.BytesIO()
    Image.blend(small, noise, 0.1).save(file, "JPEG", quality=70)
    return base64.b64encode(file.getvalue()).decode()
