"""`make demo`: starts web and worker, sends the sample photos through them, and checks what comes back."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageStat

from .app import DATA
from .samples import samples

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
EXPECTED = {"160 px": (160, "JPEG"), "480 px": (480, "JPEG"), "1080 px": (1080, "JPEG"), "WebP": (1600, "WEBP")}


class Failed(Exception):
    """The demo did not come right; the text says why."""


def main() -> int:
    """Run the demo. 0 only if every sample came back right."""
    is_shown = sys.stdout.isatty()
    stays = is_shown and os.environ.get("ONCE") != "1"
    print(
        "drawing the sample photos (once)" if not (DATA / "samples").exists() else "sample photos are there", flush=True
    )
    photos = samples(DATA / "samples")
    port = int(os.environ.get("PORT", "0")) or free_port()
    url = os.environ.get("NARROWBOAT_URL") or f"sqlite:///{DATA / 'studio.db'}"
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.append(
            start(
                "web",
                [
                    sys.executable,
                    "-m",
                    "uvicorn",
                    "examples.studio.web:web",
                    "--port",
                    str(port),
                    "--log-level",
                    "warning",
                ],
                url,
            )
        )
        children.append(start("worker", [sys.executable, "-m", "narrowboat.cli", "worker", "examples.studio:app"], url))
        until(lambda: is_up(port), children, "the web server")
        until(lambda: "drains for" in (DATA / "worker.log").read_text(), children, "the worker")
        print(f"web and worker are up: http://127.0.0.1:{port}/\n")
        for photo in photos:
            send(photo, port, is_shown)
        print(f"\nall {len(photos)} photos came back right; logs and results are in {DATA.relative_to(ROOT)}")
        if stays:
            print(f"open http://127.0.0.1:{port}/ and try your own; Ctrl-C ends it")
            until(lambda: False, children, "Ctrl-C", limit_s=float("inf"))
    except KeyboardInterrupt:
        print("\nstopping")
    except Failed as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    finally:
        stop(children)
    return 0


def send(photo: Path, port: int, is_shown: bool) -> None:
    """Upload one photo, follow it to its end, and check its results. Raises Failed."""
    began = time.monotonic()
    kind, body = form_with(photo)
    status, answer = ask(port, "POST", "/photos", body, {"Content-Type": kind})
    answered = time.monotonic() - began
    if status != 202:
        raise Failed(f"{photo.name}: status {status}, {answer}")
    while True:
        _, job = ask(port, "GET", answer["status"])
        bar(photo.name, job, is_shown)
        if job["finished"]:
            break
        if time.monotonic() - began > LIMIT_S:
            raise Failed(f"{photo.name} did not end in {LIMIT_S:.0f} s; see `narrowboat why {job['id']}`")
        time.sleep(0.05)
    if job["state"] != "succeeded":
        raise Failed(f"{photo.name}: {job['words']}")
    print(f"  {photo.name}: answered after {answered:.2f} s, ready after {time.monotonic() - began:.2f} s")
    for result in job["results"]:
        path = DATA / "results" / Path(result["url"]).name
        check(photo, path, result)
        print(f"    {path.relative_to(ROOT)}  {result['width']} x {result['height']}  {result['size'] // 1024} KB")
    if {result["label"] for result in job["results"]} != set(EXPECTED):
        raise Failed(f"{photo.name}: results are missing")


def check(photo: Path, path: Path, result: dict[str, Any]) -> None:
    """Whether a result has the size and kind it should, and is a picture of the photo. Raises Failed."""
    width, kind = EXPECTED[result["label"]]
    with Image.open(path) as made, Image.open(photo) as original:
        if (made.width, made.format) != (width, kind):
            raise Failed(f"{path.name} is {made.width} wide and {made.format}, not {width} and {kind}")
        original.draft("RGB", (500, 500))
        small = (64, 48)
        difference = ImageChops.difference(made.convert("RGB").resize(small), original.convert("RGB").resize(small))
        if max(ImageStat.Stat(difference).mean) > 12:
            raise Failed(f"{path.name} is not a picture of {photo.name}")


def bar(name: str, job: dict[str, Any], is_shown: bool) -> None:
    """Draw the progress over itself on a terminal."""
    if is_shown:
        width = 30
        full = width if job["finished"] else int(width * job["done"] / job["total"])
        end = "\r" + " " * 100 + "\r" if job["finished"] else ""
        print(f"\r  {name:18} [{'#' * full}{'.' * (width - full)}] {job['words']:40}{end}", end="", flush=True)


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """One request to the web process, answered as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Accept": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def form_with(photo: Path) -> tuple[str, bytes]:
    """(content type, body) of the form as a browser sends it."""
    boundary = secrets.token_hex(16)
    disposition = f'form-data; name="photo"; filename="{photo.name}"'
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/jpeg\r\n\r\n"
    body = head.encode() + photo.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


def start(name: str, command: list[str], url: str) -> subprocess.Popen[bytes]:
    """A child process that writes into a log file, in a session of its own so that Ctrl-C is ours to handle."""
    with (DATA / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NARROWBOAT_URL": url},
            start_new_session=True,
        )


def stop(children: list[subprocess.Popen[bytes]]) -> None:
    """End what was started, kindly first."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in children:
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until(
    condition: Callable[[], bool], children: list[subprocess.Popen[bytes]], what: str, limit_s: float = 30.0
) -> None:
    """Wait for a condition while every child is alive. Raises Failed."""
    began = time.monotonic()
    while not condition():
        for child, name in zip(children, ("web", "worker"), strict=False):
            if child.poll() is not None:
                raise Failed(f"{name} ended:\n{(DATA / f'{name}.log').read_text()}")
        if time.monotonic() - began > limit_s:
            raise Failed(f"{what} did not come up in {limit_s:.0f} s")
        time.sleep(0.05)


def is_up(port: int) -> bool:
    """Whether the web server answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.2):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
