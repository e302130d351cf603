"""An executor of sync tasks in this process: what reaches it through its channel, and what it says."""

from __future__ import annotations

import signal
import time
from collections.abc import Generator

import pytest

from narrowboat import App
from narrowboat.core.outcome import Crashed, Outcome, Succeeded
from narrowboat.executor import wire
from narrowboat.executor.scratch import Scratch
from narrowboat.executor.serial import SerialExecutor

app = App("executor")


@app.task
def nap(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def outlast_the_timer() -> None:
    """Run until the timer of a job before has struck, and was set anew for this one."""
    while signal.getitimer(signal.ITIMER_REAL)[0] < 30:
        time.sleep(0.01)


@pytest.fixture
def executor() -> Generator[SerialExecutor]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGUSR1)}
    executor = SerialExecutor(app.runnables(), app.hooks)
    executor.arm()
    executor.settle_in(Scratch(""), None, is_fresh=False)
    yield executor
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def outcomes(executor: SerialExecutor, *jobs: tuple[float | None, float]) -> list[Outcome]:
    """Of jobs that wait in the channel together: (seconds, timeout) of naps, (None, timeout) to outlast the timer."""
    ours, theirs = wire.pair()
    for token, (seconds, timeout_s) in enumerate(jobs):
        name = outlast_the_timer.name if seconds is None else nap.name
        args = b"{}" if seconds is None else b'{"seconds":%g}' % seconds
        ours.send(wire.encode(wire.Run(token, f"{name}:{token}", name, "default", 1, args, timeout_s)))
    ours.shutdown(1)
    executor.serve(theirs)
    theirs.close()
    found: list[Outcome] = []
    while data := ours.recv(wire.MAX_FRAME):
        frame = wire.from_executor.decode(data)
        if isinstance(frame, wire.Ended):
            assert frame.token == len(found)
            found.append(frame.outcome)
    ours.close()
    return found


def test_the_timer_of_a_job_before_stops_no_later_one(executor: SerialExecutor) -> None:
    assert outcomes(executor, (0.0, 1.0), (None, 60.0), (0.0, 60.0)) == [Succeeded()] * 3


@pytest.mark.parametrize(("before_s", "timeout_s"), [(60.0, 0.2), (1.0, 1.3)], ids=["later", "earlier"])
def test_a_timeout_strikes_whatever_the_timer_was_set_for(
    executor: SerialExecutor, before_s: float, timeout_s: float
) -> None:
    began = time.monotonic()
    first, second = outcomes(executor, (0.0, before_s), (30.0, timeout_s))
    assert timeout_s <= time.monotonic() - began < 20
    assert first == Succeeded()
    assert isinstance(second, Crashed) and second.cause == "timeout"
