"""Calls that sleep in threads, and what is to wake them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")
PROMPT_S = 4.0  # waking takes milliseconds, on a busy machine more; below the 5 s after which some look by themselves


def is_asleep(future: Future[Any], after_s: float) -> bool:
    """Whether a call in a thread has still not returned after time enough to do so."""
    return not wait([future], timeout=after_s).done


def woken_by(
    deed: Callable[[], object],
    sleeper: Callable[[], T],
    meanwhile: Callable[[Callable[[], T]], Future[T]],
    after_s: float,
) -> T:
    """What a sleeping call returns, promptly, after a deed that must wake it.

    meanwhile: does something in a thread. after_s: a call that has not returned by then is asleep.
    """
    has_begun = threading.Event()

    def sleep() -> T:
        has_begun.set()
        return sleeper()

    future = meanwhile(sleep)
    assert has_begun.wait(60)
    assert is_asleep(future, after_s), f"it did not sleep, but answered {future.result()}"
    deed()
    return future.result(timeout=PROMPT_S)
