"""A dozen people at once: each sends the same large photo to one of the two forms, and waits for the answer.

`python -m examples.studio.crowd --form 2 http://127.0.0.1:8000` · a process of its own, since a browser keeps at most
six connections to a server, so that a page cannot be a crowd. It prints one JSON object for each answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .app import DATA
from .samples import large

PEOPLE = 12
PATHS = {1: "/inside", 2: "/photos"}
PATIENCE_S = 60.0
Told = Callable[[dict[str, Any]], None]


def main() -> int:
    """Print each answer as it comes."""
    parser = argparse.ArgumentParser(description="Send people to a form of the studio, all at once.")
    parser.add_argument("url", help="where the studio is")
    parser.add_argument("--form", type=int, choices=(1, 2), required=True)
    parser.add_argument("--people", type=int, default=PEOPLE)
    options = parser.parse_args()
    send(
        options.url,
        options.form,
        large(DATA / "samples"),
        options.people,
        lambda said: print(json.dumps(said), flush=True),
    )
    return 0


def send(url: str, form: int, photo: Path, people: int, told: Told) -> None:
    """Let so many people send the photo at the same moment. `told` hears of one answer at a time."""
    kind, body = form_with(photo)
    together, one_at_a_time = threading.Barrier(people), threading.Lock()

    def person() -> None:
        together.wait()
        said = ask(url, PATHS[form], kind, body)
        with one_at_a_time:
            told(said)

    crowd = [threading.Thread(target=person, name=f"person-{number}") for number in range(people)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()


def ask(url: str, path: str, kind: str, body: bytes) -> dict[str, Any]:
    """One person's form. status: 0 if there was no answer. at: when it came. job: its id, if there is one."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE_S)
    began, status, job = time.monotonic(), 0, None
    try:
        connection.request("POST", path, body, {"Accept": "application/json", "Content-Type": kind})
        response = connection.getresponse()
        job, status = json.loads(response.read()).get("id"), response.status
    except (OSError, http.client.HTTPException, ValueError):
        pass  # no answer is what there is to tell
    finally:
        connection.close()
    return {"status": status, "seconds": round(time.monotonic() - began, 4), "at": time.time(), "job": job}


def form_with(photo: Path) -> tuple[str, bytes]:
    """(content type, body) of the form as a browser sends it."""
    boundary = secrets.token_hex(16)
    disposition = f'form-data; name="photo"; filename="{photo.name}"'
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/jpeg\r\n\r\n"
    body = head.encode() + photo.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


if __name__ == "__main__":
    sys.exit(main())
