"""The app of test_controls.py: tasks that call services which fail, or cannot keep up."""

import contextlib
import fcntl
import json
import smtplib
import time
import urllib.error
import urllib.request
from email.message import EmailMessage
from pathlib import Path

from narrowboat import App, Breaker, Limit, Needs, Rate, Retry, SlowDown

app = App("mailroom")
FAILURES = 5
SERVICE = Needs(network=True)


@app.task(
    needs=SERVICE,
    retry=Retry(attempts=3, delay=0.05),
    breaker=Breaker("smtp", failures=FAILURES, within="10s", retry_after="500ms", on=OSError),
)
def mail(number: int, port: int) -> int:
    """Send one letter, whose number is in its subject."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "us@example.com", "you@example.com", str(number)
    letter.set_content("Hello")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as server:
        server.send_message(letter)
    return number


@app.task(needs=SERVICE, retry=Retry(attempts=1), rate=Rate("20/s", burst=80, key="api"))
def call(number: int, port: int) -> int:
    """Ask a service that answers 429 when it is asked too often."""
    return _asked(number, port)


@app.task(needs=SERVICE, retry=Retry(attempts=1))
def ask(number: int, port: int) -> int:
    """The same, by a task that has no rate: only the service says when it is too much."""
    return _asked(number, port)


def _asked(number: int, port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=10) as answer:
            return int(json.load(answer))
    except urllib.error.HTTPError as error:
        if error.code == 429:
            raise SlowDown(error.headers["Retry-After"]) from None
        raise


@app.task(
    needs=Needs(write=[Path(__file__).parent]),
    limit=Limit(2, key="press"),
    retry=Retry(attempts=20, crashes=20, delay=0.01, never=AssertionError),
)
def press(folder: str, seconds: float) -> int:
    """Takes one of two seats, which the kernel frees when a process ends in whatever way."""
    until = time.monotonic() + 10  # for one that is being killed with its worker
    while True:
        for seat in range(2):
            with open(Path(folder) / f"seat{seat}", "w") as file, contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                time.sleep(seconds)
                return seat
        assert time.monotonic() < until, "more than two at a time"
        time.sleep(0.005)
