"""`make demo`: starts web, worker and a practice mail server, sends work through them, and checks what comes back."""

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
from urllib.parse import urlencode

from PIL import Image, ImageChops, ImageStat

from .app import DATA
from .crowd import form_with
from .hostile import ATTACKS
from .inbox import letters
from .samples import samples

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
READERS = 40
DONE = ("succeeded",)
FORM = "application/x-www-form-urlencoded"
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
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, words in programs(port).items():
            children[name] = start(name, [sys.executable, "-m", *words], url)
        until(lambda: is_up(port), children, "the web server")
        until(lambda: "drains for" in (DATA / "worker.log").read_text(), children, "the worker")
        until(lambda: "practice mail server on" in (DATA / "mail.log").read_text(), children, "the mail server")
        print(f"web, worker and a practice mail server are up: http://127.0.0.1:{port}/\n")
        for photo in photos:
            send_photo(photo, port, is_shown)
        send_invoice(port, is_shown)
        send_newsletter(port, is_shown)
        send_attacks(port, is_shown)
        print(f"\nall came back right; logs and results are in {DATA.relative_to(ROOT)}")
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


def programs(port: int) -> dict[str, list[str]]:
    """What runs: name -> module and its words."""
    return {
        "web": [
            "uvicorn",
            "examples.studio.web:web",
            "--port",
            str(port),
            "--log-level",
            "warning",
            "--timeout-graceful-shutdown",
            "5",
        ],
        "worker": ["narrowboat.cli", "worker", "examples.studio:app", "--log-format", "human"],
        "mail": ["examples.studio.inbox"],
    }


def send_photo(photo: Path, port: int, is_shown: bool) -> None:
    """Upload one photo and check its results. Raises Failed."""
    kind, body = form_with(photo)
    job = follow(photo.name, port, "/photos", body, kind, is_shown)
    for result in results_of(job):
        path = fetch(port, result, f"{photo.stem}-{result['label'].replace(' ', '')}".lower())
        check(photo, path, result)
        print(f"    {path.relative_to(ROOT)}  {result['width']} x {result['height']}  {result['size'] // 1024} KB")
    if {result["label"] for result in results_of(job)} != set(EXPECTED):
        raise Failed(f"{photo.name}: results are missing")


def send_invoice(port: int, is_shown: bool) -> None:
    """Order something and check the PDF. Raises Failed."""
    order = {"customer": "Ada Lovelace", "what": "A week on the canal", "quantity": "2", "price": "640"}
    job = follow("invoice", port, "/invoices", urlencode(order).encode(), FORM, is_shown)
    [result] = results_of(job)
    path = fetch(port, result, result["label"].replace(" ", "-").lower())
    content = path.read_bytes()
    if not content.startswith(b"%PDF-") or b"pdfuaid:part" not in content or result["label"].encode() not in content:
        raise Failed(f"{path.name} is no accessible PDF with the title {result['label']}")
    print(f"    {path.relative_to(ROOT)}  {result['detail']}")


def send_newsletter(port: int, is_shown: bool) -> None:
    """Write to forty readers and count the letters that come in. Raises Failed."""
    subject = f"The locks are open again ({secrets.token_hex(3)})"
    news = {"subject": subject, "text": "Spring is here.", "readers": str(READERS)}
    began = time.monotonic()
    follow("newsletter", port, "/newsletters", urlencode(news).encode(), FORM, is_shown)
    expected = sorted(f"reader-{number:03}@example.com" for number in range(1, READERS + 1))
    while (taken := sorted(to for found in letters() if found["subject"] == subject for to in found["to"])) != expected:
        if time.monotonic() - began > LIMIT_S:
            raise Failed(f"{len(taken)} of {READERS} letters came in in {LIMIT_S:.0f} s")
        time.sleep(0.05)
    print(f"    {READERS} letters in the practice inbox after {time.monotonic() - began:.2f} s, one for each reader")


def send_attacks(port: int, is_shown: bool) -> None:
    """Try everything in the hostile corner, and say what became of it."""
    print("\n  a stranger's code, in the executor:")
    for name, attack in ATTACKS.items():
        body, ends = urlencode({"attack": name}).encode(), ("dead", "succeeded")
        job = follow(attack.title, port, "/attacks", body, FORM, is_shown, ends)
        what, words = ("held back", job["error"]) if job["state"] == "dead" else ("GOT THROUGH", job["words"])
        print(f"    {what:<11} {attack.title}: {words[:110]}")


def results_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What the page draws of the files that a job made."""
    drawn = (job["extra"] or {}).get("results", [])
    return [{**result, "url": file["url"]} for result, file in zip(drawn, job["files"], strict=True)]


def fetch(port: int, result: dict[str, Any], name: str) -> Path:
    """Download a result, as a browser would, to where it can be looked at. Raises Failed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", result["url"])
        response = connection.getresponse()
        kind, content = response.getheader("content-type", ""), response.read()
    finally:
        connection.close()
    if response.status != 200 or len(content) != result["size"]:
        raise Failed(f"{result['url']}: status {response.status}, {len(content)} bytes")
    path = DATA / "results" / f"{name}.{kind.rpartition('/')[2]}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def follow(
    name: str,
    port: int,
    path: str,
    body: bytes,
    kind: str,
    is_shown: bool,
    ends: tuple[str, ...] = DONE,
) -> dict[str, Any]:
    """Send a form and follow its job to its end, which must be one of `ends`. Raises Failed."""
    began = time.monotonic()
    status, answer = ask(port, "POST", path, body, {"Content-Type": kind})
    answered = time.monotonic() - began
    if status != 202:
        raise Failed(f"{name}: status {status}, {answer}")
    while True:
        _, job = ask(port, "GET", answer["status"])
        bar(name, job, is_shown)
        if job["finished"]:
            break
        if time.monotonic() - began > LIMIT_S:
            raise Failed(f"{name} did not end in {LIMIT_S:.0f} s; see `narrowboat why {job['id']}`")
        time.sleep(0.05)
    if job["state"] not in ends:
        raise Failed(f"{name}: {job['error'] or job['words']}")
    if ends == DONE:
        print(f"  {name}: answered after {answered:.2f} s, ready after {time.monotonic() - began:.2f} s")
    return job


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
        progress = job["progress"]
        part = progress["done"] / progress["total"] if progress and progress["total"] else 0
        full = width if job["finished"] else int(width * part)
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


def start(name: str, command: list[str], url: str) -> subprocess.Popen[bytes]:
    """A child process that writes into a log file, in a session of its own so that Ctrl-C is ours to handle."""
    with (DATA / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={"NARROWBOAT_FILES": f"file://{DATA / 'files'}", **os.environ, "NARROWBOAT_URL": url},
            start_new_session=True,
        )


def stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """End what was started, kindly first."""
    for child in children.values():
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in children.values():
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until(
    condition: Callable[[], bool], children: dict[str, subprocess.Popen[bytes]], what: str, limit_s: float = 30.0
) -> None:
    """Wait for a condition while every child is alive. Raises Failed."""
    began = time.monotonic()
    while not condition():
        for name, child in children.items():
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
