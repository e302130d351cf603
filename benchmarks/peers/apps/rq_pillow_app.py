"""The same jobs on RQ, in an app that works on pictures: the library is imported before the worker forks, too."""

from __future__ import annotations

from PIL import Image

from .rq_app import *  # noqa: F403
from .rq_app import Worker  # noqa: F401

Image.init()  # as benchmarks/sandbox_app.py does
