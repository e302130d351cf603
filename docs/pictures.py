"""Takes the pictures of the docs: `make pictures` runs each one's commands in a terminal, and draws what it showed.

Every picture is data: what is typed, and the words that must be seen, which a test runs too.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

from .terminal import Terminal

HERE = Path(__file__).resolve().parent
SHOWN_AT = "/srv/shop"  # as long as the real folder's name, so that columns and line ends are those that were printed

PROJECT = """\
[tool.narrowboat]
app = "shop:app"
slots = 4
"""
SHOP = """\
from narrowboat import App, Needs, Retry

app = App("shop")


@app.task(queue="images", untrusted=True, memory="256MB", timeout="30s")
def thumbnail(photo: str, width: int = 320) -> str:
    return f"{photo}, {width} pixels wide"


@app.task(queue="email", needs=Needs(network=[587], secrets=["SMTP_PASSWORD"]))
def send(to: str) -> str:
    return f"sent to {to}"


@app.task(queue="email", needs=Needs(enqueue=[send]))
def newsletter(readers: list[str]) -> int:
    for reader in readers:
        send.enqueue(reader)
    return len(readers)


@app.task(retry=Retry(attempts=3, delay=0.1))
def charge(order: int, cents: int) -> int:
    print(f"charging order {order}")
    if cents < 0:
        raise ValueError(f"{cents} cents cannot be charged")
    return cents
"""
OLD = """

@app.task(needs=Needs.trusted())
def import_orders() -> None: ...
"""
RESTOCK = """

@app.task
def restock(book: str) -> None: ...
"""


class Type(NamedTuple):
    """A command in the picture. shows: it goes on running when it has shown this. $JOB: the newest job's id."""

    command: str
    shows: str | None = None


class Aside(NamedTuple):
    """A command in another terminal, out of the picture; then this is seen in the picture."""

    command: str
    shows: str | None = None


class Write(NamedTuple):
    """Somebody saves a file; then this is seen in the picture."""

    file: str
    text: str
    shows: str | None = None


class Served(NamedTuple):
    """A worker in another terminal until the picture is taken."""

    app: str = "shop:app"


Step = Type | Aside | Write | Served


class Picture(NamedTuple):
    """A picture: docs/pictures/NAME.svg. words: what must be seen in it; they are what does not change each time."""

    name: str
    title: str
    steps: Sequence[Step]
    words: Sequence[str]


LOSING = "narrowboat enqueue shop.charge order=7 cents=-500 --wait 20s || true"
PICTURES = (
    Picture(
        "worker",
        "a worker and a few jobs",
        [
            Type("narrowboat worker", "drains for"),
            Aside("narrowboat enqueue shop.thumbnail photo=cat.jpg", "thumbnail:"),
            Aside("narrowboat enqueue shop.newsletter 'readers=[\"ann\",\"bob\"]' --wait 20s", "send:"),
            Aside(LOSING, "is dead after attempt 3"),
        ],
        ["app shop", "slots    4", "sandbox", "succeeded in", "attempt 1 failed; again in", "is dead"],
    ),
    Picture(
        "dev",
        "narrowboat dev",
        [
            Type('narrowboat dev --web "python -m http.server 0"', "drains for"),
            Aside("narrowboat enqueue shop.thumbnail photo=cat.jpg", "succeeded in"),
            Write("shop.py", SHOP + RESTOCK, "moved over to the new code"),
            Aside("narrowboat enqueue shop.restock --queue default book=Emma", "shop.restock:"),
        ],
        ["worker |", "web    |", "changed: /srv/shop/shop.py", "moved over to the new code: 5 tasks", "succeeded in"],
    ),
    Picture(
        "syntax-error",
        "narrowboat dev, and a slip of the pen",
        [
            Type("narrowboat dev", "drains for"),
            Write("shop.py", SHOP + RESTOCK.replace(")", ""), "SyntaxError"),
            Aside("narrowboat enqueue shop.thumbnail photo=cat.jpg", "succeeded in"),
        ],
        ["the new code cannot be imported; the old code stays", "SyntaxError", "restock", "succeeded in"],
    ),
    Picture(
        "config",
        "narrowboat config",
        [Type("export NARROWBOAT_DRAIN=10s"), Type("narrowboat config")],
        ["SETTING", "FROM", "pyproject.toml", "environment", "default", "10s"],
    ),
    Picture(
        "dead-job",
        "a dead job",
        [Served(), Aside(LOSING), Type("narrowboat job $JOB"), Type("narrowboat why $JOB")],
        ["dead", "attempt 1 failed", "attempt 3 failed", "-500 cents cannot be charged", "| charging order 7", "spent"],
    ),
    Picture(
        "queues",
        "narrowboat queues, jobs and why",
        [
            Served(),
            Aside(LOSING),
            Aside("narrowboat enqueue shop.newsletter 'readers=[\"ann\",\"bob\"]' --wait 20s"),
            Aside("narrowboat enqueue shop.thumbnail photo=cat.jpg --wait 20s"),
            Aside("narrowboat enqueue shop.restock --queue stock book=Emma"),
            Type("narrowboat queues"),
            Type("narrowboat jobs --limit 3"),
            Type("narrowboat why $JOB"),
        ],
        ["QUEUE", "SUCCEEDED", "no worker consumes it", "no live worker knows the task shop.restock"],
    ),
    Picture(
        "doctor",
        "narrowboat doctor",
        [Type("narrowboat doctor")],
        ["layers:", "PROPERTY", "secrets", "files read", "network", "clean-up", "enforced"],
    ),
    Picture(
        "needs",
        "narrowboat needs",
        [Write("shop.py", SHOP + OLD), Type("narrowboat needs")],
        ["MAY TOUCH", "network 587; secrets SMTP_PASSWORD", "nothing", "fresh each time", "debt: shop.import_orders"],
    ),
    Picture(
        "misspelt",
        "what was probably meant",
        [
            Served(),
            Type("narrowboat enqueue shop.thumbnial photo=cat.jpg"),
            Type("narrowboat wroker"),
            Type("narrowboat worker --slotz 2"),
        ],
        ["did you mean shop.thumbnail?", "did you mean worker?", "Did you mean '--slots'?"],
    ),
)  # fmt: skip


def take(picture: Picture) -> str:
    """What the terminal shows, with its colours. Fails if a word is not seen."""
    with _folder() as folder:
        shown = _show(picture, folder).replace(str(folder), SHOWN_AT)
    shown = re.sub(rf"\b{re.escape(socket.gethostname()[:40])}:(?=\d+:)", "box:", shown)
    release = platform.release()
    shown = shown.replace(release, release.partition("-")[0])  # without the name of a machine's own build
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    missing = [word for word in picture.words if word not in plain]
    if missing:
        raise AssertionError(f"{picture.name} should show {missing}, but showed\n{plain}")
    return shown


def _show(picture: Picture, folder: Path) -> str:
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "shop.py").write_text(SHOP)
    env = _environment()
    with contextlib.ExitStack() as until_taken:
        terminal = Terminal(folder, env)
        until_taken.callback(terminal.close)
        for step in picture.steps:
            match step:
                case Type(command, shows):
                    terminal.type(_with_job(command, folder, env), shows)
                case Aside(command, shows):
                    mark = terminal.mark()
                    _aside(command, folder, env)
                    terminal.see(shows, mark)
                case Write(file, text, shows):
                    mark = terminal.mark()
                    (folder / file).write_text(text)
                    terminal.see(shows, mark)
                case Served(app):
                    other = Terminal(folder, env)
                    until_taken.callback(other.close)
                    other.type(f"narrowboat worker {app}", "drains for")
        for word in picture.words:  # a program beside another may say it a moment later
            terminal.see(word.replace(SHOWN_AT, str(folder)), 0)
        return terminal.screen()


def _aside(command: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _with_job(command: str, folder: Path, env: dict[str, str]) -> str:
    if "$JOB" not in command:
        return command
    newest = _aside("narrowboat jobs --limit 1", folder, env).splitlines()[1]
    return command.replace("$JOB", newest.split()[0])


def _environment() -> dict[str, str]:
    """As a person's, with the programs of this Python, and without what would show in the picture."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "NARROWBOAT_PORTABLE") if name in os.environ}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": programs, "PYTHONPATH": f"{HERE.parent / 'src'}", "SMTP_PASSWORD": "swordfish"}


@contextlib.contextmanager
def _folder() -> Generator[Path]:
    """A new folder with a name as long as SHOWN_AT."""
    length = len(SHOWN_AT) - len("/tmp/")
    while True:
        folder = Path("/tmp") / os.urandom(length).hex()[:length]
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o755)  # executors of a worker that is root have a user of their own
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(names: Sequence[str]) -> None:
    """Take all, or these, and draw them."""
    from .drawing import draw

    (HERE / "pictures").mkdir(exist_ok=True)
    for picture in PICTURES:
        if not names or picture.name in names:
            svg = draw(take(picture), picture.title, picture.name)
            (HERE / "pictures" / f"{picture.name}.svg").write_text(svg)


if __name__ == "__main__":
    main(sys.argv[1:])
