"""One of the systems that are compared: how it is installed, started, and what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv" / "peers"
APPS = "benchmarks.peers.apps"

Work = Literal["short", "waiting"]
"""short: jobs that use the processor, if anything; waiting: jobs that wait, as many at a time as a system can take."""


@dataclass(frozen=True)
class Again:
    """Whether the job of a killed worker is run again, as its documentation has it. after: in words."""

    is_run: bool
    after: str
    source: str


@dataclass(frozen=True)
class Command:
    """What starts workers, after the name of the interpreter; {n} is their number, {at_once} that of jobs at a time.

    is_for_each: it starts one worker, and is given once for each. at_once: for each worker.
    """

    words: tuple[str, ...]
    at_once: int = 1
    is_for_each: bool = False


@dataclass(frozen=True)
class System:
    """One system at one setting.

    packages: pinned, for a virtual environment of its own; without any it is Narrowboat, which runs where this runs.
    short, waiting: see Work. prepare: commands that make an empty server ready. env: for workers and producers.
    rough, rough_waiting: jobs a second, to choose how many to measure with at first.
    settings: in words, what differs from the defaults. kept: of a finished job, by default.
    """

    name: str
    app: str
    server: str
    again: Again
    short: Command
    waiting: Command
    settings: str
    kept: str
    rough: int
    rough_waiting: int
    packages: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_ours(self) -> bool:
        """Whether it is Narrowboat."""
        return not self.packages

    def python(self) -> Path:
        """The interpreter of its virtual environment, which is made on demand and anew when the packages change."""
        if self.is_ours:
            return Path(sys.executable)
        folder = ENVIRONMENTS / self.app.removesuffix("_app")
        stamp, wanted = folder / "packages", "\n".join(self.packages)
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"  setting up: {folder.name}", flush=True)
            checked([sys.executable, "-m", "venv", "--clear", folder])
            pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            checked([*pip, *self.packages])
            stamp.write_text(wanted)
        return folder / "bin" / "python"

    def versions(self) -> str:
        """What was installed of the packages whose version is given."""
        names = [package.partition("==")[0].partition("[")[0] for package in self.packages if "==" in package]
        names = names or ["narrowboat"]
        code = "import sys; from importlib.metadata import version; print(*(f'{n} {version(n)}' for n in sys.argv[1:]))"
        return checked([self.python(), "-c", code, *names]).strip()

    def environment(self, url: str, work: Work) -> dict[str, str]:
        """Of its workers and producers."""
        command = self.short if work == "short" else self.waiting
        more = {"BENCH_URL": url, "NARROWBOAT_URL": url, "BENCH_WORK": work, "BENCH_AT_ONCE": str(command.at_once)}
        return {**os.environ, **more, **self.env}

    def commands(self, url: str, work: Work, workers: int) -> list[list[str | Path]]:
        """What to start for so many worker processes."""
        command = self.short if work == "short" else self.waiting
        return [
            [self.python(), *self._filled(command.words, url, command.at_once, n, name)]
            for name, n in ([(str(name), 1) for name in range(workers)] if command.is_for_each else [("0", workers)])
        ]

    def make_ready(self, url: str) -> None:
        """Whatever it wants to find in an empty server."""
        for words in self.prepare:
            checked([self.python(), *self._filled(words, url, 1, 1, "0")], self.environment(url, "short"))

    def _filled(self, words: tuple[str, ...], url: str, at_once: int, n: int, name: str) -> list[str]:
        values = {"n": n, "at_once": at_once, "url": url, "name": name, "bin": self.python().parent, "apps": APPS}
        return [word.format(**values) for word in words]


def checked(command: list[str | Path], env: Mapping[str, str] | None = None) -> str:
    """What a command prints; if it fails, an error that shows it."""
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout.strip()}")
    return done.stdout
