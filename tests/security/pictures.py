"""ImageTragick and its kin: what a picture, or its name, makes ImageMagick do under a policy that allows everything.

Each is tried in the open and in the executors of a real worker, in-process (Wand) and as a helper program (convert).
Whether it did harm is seen from outside, on a ground that was made for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from narrowboat import App
from tests.support.processes import running_worker

from . import docker, permissive

GALLERY = Path(__file__).with_name("gallery.py")
WAYS = {"in_process": "Wand", "as_program": "convert"}
WORKS, NO_LONGER, CRASHES, REFUSED = "works", "no longer", "crashes", "refused"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
TOO_MUCH_MB = 512  # of memory; a task has 256
POLICY = f"""<policymap>
  <policy domain="coder" rights="read|write" pattern="*"/>
  <policy domain="delegate" rights="read|write|execute" pattern="*"/>
  <policy domain="path" rights="read|write|execute" pattern="*"/>
  <policy domain="system" name="font" value="{FONT}"/>
</policymap>
"""
# A shell behind the https: delegate, and the name of the picture in its command, as in 2016.
DELEGATES = """<?xml version="1.0" encoding="UTF-8"?>
<delegatemap>
  <delegate decode="https:decode" command="&quot;/bin/sh&quot; -c 'id &gt; {outside}/shell; : &quot;%M&quot;'"/>
</delegatemap>
"""


class Ground:
    """outside: a folder that everybody may write to; secret: a file; port: where somebody listens; hits: what came."""

    def __init__(self, home: Path, port: int, hits: list[str]) -> None:
        self.home, self.port, self.hits = home, port, hits
        self.outside, self.policy = home / "outside", home / "policy"
        self.secret, self.victim = home / "secret", self.outside / "victim.png"
        self.revealing: set[str] = set()  # signatures of pictures that show the secret, or the passwords

    def renew(self) -> None:
        """As before any attack."""
        shutil.rmtree(self.outside, ignore_errors=True)
        self.outside.mkdir()
        self.outside.chmod(0o777)
        self.secret.write_text("hush")
        self.victim.write_text("P1 1 1 1")  # a picture of one dot
        for path in (self.secret, self.victim):
            path.chmod(0o666)
        self.hits.clear()

    def fill(self, text: str) -> str:
        """A text with the paths of this ground in it."""
        for name in ("outside", "secret", "victim", "port"):
            text = text.replace(f"<{name}>", str(getattr(self, name)))
        return text


Told = Mapping[str, str]
Found = Mapping[str, Mapping[str, str]]  # way -> case -> WORKS, or what else


def _made(name: str) -> Callable[[Ground, Told], bool]:
    return lambda ground, _: (ground.outside / name).exists()


@dataclass(frozen=True)
class Case:
    """files: what the upload brings. harm: whether it did what it set out to do."""

    name: str
    how: str
    source: str
    harm: Callable[[Ground, Told], bool]
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    target: str = "png:out.png"


def _mvg(text: str) -> dict[str, str]:
    return {"photo.mvg": f"push graphic-context\nviewbox 0 0 64 48\n{text}\npop graphic-context\n"}


NAME = 'a"|touch "<outside>/named'
MSL = '<?xml version="1.0"?><image><read filename="dot.pbm"/><write filename="<outside>/msl.png"/></image>'
CASES = (
    Case("the talk's picture", "a shell in `url(\"\\|ls \"-la)`", "mvg:photo.mvg", _made("talk"),
         _mvg("fill 'url(\"|touch \"<outside>/talk)'")),
    Case("the same, with https", "a shell in `url(https://…\"\\|ls \"-la)`", "mvg:photo.mvg", _made("talk"),
         _mvg("fill 'url(https://127.0.0.1:<port>/a.jpg\"|touch \"<outside>/talk)'")),
    Case("a delegate that is a shell", "`https:` and the name of a file", "https:dot.pbm", _made("shell"),
         {"dot.pbm": "P1 1 1 1"}),
    Case("a name with a command in it", "`https:a\"\\|touch \"…`, given to that delegate", f"https:{NAME}",
         _made("named"), {NAME: ""}),
    Case("a picture of a secret", "`label:@` and the path", "label:@<secret>",
         lambda ground, told: told["signature"] in ground.revealing),
    Case("a picture of the passwords", "`label:@/etc/passwd`", "label:@/etc/passwd",
         lambda ground, told: told["signature"] in ground.revealing),
    Case("a script that writes", "`msl:`", "msl:photo.msl", _made("msl.png"),
         {"photo.msl": MSL, "dot.pbm": "P1 1 1 1"}),
    Case("a file that is removed when read", "`ephemeral:` and the path", "ephemeral:<victim>",
         lambda ground, _: not ground.victim.exists()),
    Case("a local server asked, by a picture", "`fill url(http://127.0.0.1…)`", "mvg:photo.mvg",
         lambda ground, _: bool(ground.hits),
         _mvg("fill 'url(http://127.0.0.1:<port>/)'\nimage Over 0,0 0,0 'http://127.0.0.1:<port>/'")),
    Case("a local server asked, by a name", "`http://127.0.0.1…`", "http://127.0.0.1:<port>/a.png",
         lambda ground, _: bool(ground.hits)),
    Case("a result written elsewhere", "`png:` and a path", "label:hello", _made("written"),
         target="png:<outside>/written"),
    Case("a bomb", "20,000 x 20,000 pixels in 60 bytes", "mvg:photo.mvg",
         lambda _, told: int(told["most"]) > TOO_MUCH_MB,
         {"photo.mvg": "push graphic-context\nviewbox 0 0 20000 20000\npop graphic-context\n"}),
)  # fmt: skip


@contextmanager
def ground_for_pictures() -> Iterator[Ground]:
    """A ground, with a permissive configuration of ImageMagick and somebody who listens."""
    hits: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    home = Path(tempfile.mkdtemp(prefix="nb-pictures-", dir="/var/tmp"))
    home.chmod(0o755)
    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        ground = Ground(home, server.server_port, hits)
        shutil.copytree(permissive.CONFIGURATION, ground.policy)
        (ground.policy / "policy.xml").write_text(POLICY)
        (ground.policy / "delegates.xml").write_text(DELEGATES.format(outside=ground.outside))
        (home / "app").mkdir()
        shutil.copy(GALLERY, home / "app/gallery.py")
        (home / "app").chmod(0o755)
        (home / "work").mkdir()
        ground.renew()
        shown = ("label:hush", "label:@/etc/passwd")
        ground.revealing = {_alone(ground, way, {}, text, "png:a.png")["signature"] for way in WAYS for text in shown}
        assert "" not in ground.revealing
        yield ground
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        shutil.rmtree(home)


def in_the_open(ground: Ground) -> Found:
    """What each case comes to, by way and name, without a sandbox: but never with more than 4 GB and 3 s."""
    return _try_all(ground, lambda way, *arguments: _alone(ground, way, *arguments), NO_LONGER)


@contextmanager
def gallery(ground: Ground, *options: str, is_container: bool = False) -> Iterator[App]:
    """The app with a worker that sees the permissive policy, and perhaps no namespaces."""
    url = f"sqlite:///{tempfile.mkdtemp(dir=ground.home)}/gallery.db"
    app = App("visitor", url=url)  # not of the name of others that still run beside it
    through = [sys.executable, permissive.__file__, str(ground.policy)]
    through += [sys.executable, docker.__file__] if is_container else []
    try:
        with running_worker("gallery:app", url, ground.home / "app", "-n", "2", *options, through=through):
            yield app
    finally:
        app.close()


def inside(ground: Ground, app: App, cases: Sequence[Case] = CASES) -> Found:
    """The same in executors of a worker."""

    def told(way: str, *arguments: object) -> Told:
        record = app.enqueue_by_name(f"gallery.{way}", *arguments).wait(60).record
        if record.result:
            return json.loads(record.result)
        return {"signature": "", "most": "0", "died": "SIG" if "SIG" in record.reason else ""}

    return _try_all(ground, told, REFUSED, cases)


def _try_all(ground: Ground, tried: Callable[..., Told], otherwise: str, cases: Sequence[Case] = CASES) -> Found:
    return {way: {case.name: _try(ground, case, way, tried, otherwise) for case in cases} for way in WAYS}


def _try(ground: Ground, case: Case, way: str, tried: Callable[..., Told], otherwise: str) -> str:
    ground.renew()
    files = {ground.fill(name): ground.fill(text) for name, text in case.files.items()}
    told = tried(way, files, ground.fill(case.source), ground.fill(case.target))
    return WORKS if case.harm(ground, told) else CRASHES if told["died"] else otherwise


def _alone(ground: Ground, way: str, *arguments: object) -> Told:
    """In a process that may die."""
    work = Path(tempfile.mkdtemp(dir=ground.home / "work"))
    command = [sys.executable, permissive.__file__, str(ground.policy), sys.executable, str(GALLERY)]
    process = subprocess.Popen(
        [*command, way, json.dumps(arguments)], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "TMPDIR": str(work)},
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout as output:
        text = output.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shutil.rmtree(work)
    told: dict[str, str] = json.loads(text) if process.returncode == 0 else {"signature": "", "died": "SIG"}
    return {**told, "most": str(used.ru_maxrss // 1024)}


def table(open_: Found, walled: Found, floor: Found) -> str:
    """For docs/security.md: each cell is first for Wand, then for convert."""
    lines = ["| a picture, or its name | how | in the open | inside | inside, no namespaces |", "|---|---|---|---|---|"]
    for case in CASES:
        cells = (" / ".join(found[way][case.name] for way in WAYS) for found in (open_, walled, floor))
        lines.append(f"| {case.name} | {case.how} | {' | '.join(cells)} |")
    return "\n".join(lines)
