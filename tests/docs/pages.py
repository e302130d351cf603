"""Runs a page of the docs: writes its files, types its commands, and compares what is printed.

A fence says what is done with it: ```python file=shop.py (a file), ```python run (run as a program, must end
well), ```console (commands after `$`, each with what it prints; `...` stands for anything; a command that ends
in `&` runs until the page ends, `$!` is its pid). Other fences are for reading only.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT, wait_for

PATIENCE_S = 60.0
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fence."""

    language: str
    info: str
    text: str


class Typed(NamedTuple):
    """A command, and the lines that it should print."""

    command: str
    prints: list[str]


def blocks(page: Path) -> list[Block]:
    """The fences of a page, in order."""
    return [Block(language, info.strip(), text) for language, info, text in FENCE.findall(page.read_text())]


def is_run(block: Block) -> bool:
    """Whether a fence is more than for reading."""
    return block.language == "console" or block.info == "run" or block.info.startswith("file=")


class Session:
    """A folder and a terminal. more: what else is in its environment."""

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.background: list[tuple[subprocess.Popen[bytes], Path]] = []
        programs = Path(sys.executable).parent
        self.env = {name: value for name, value in os.environ.items() if name not in ("NARROWBOAT_URL", "CI")} | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'src'}",
            "NARROWBOAT_LOG_FORMAT": "human",
            "PYTHONWARNINGS": "error",
            **(more or {}),
        }
        (folder / "pyproject.toml").touch()

    def run(self, page: Path) -> int:
        """Do what the page says; returns how many things that was."""
        done = 0
        try:
            for block in blocks(page):
                if block.info.startswith("file="):
                    path = self.folder / block.info.removeprefix("file=")
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(block.text)
                elif block.info == "run":
                    self._must([sys.executable, "-c", block.text], block.text)
                elif block.language == "console":
                    for typed in commands(block.text):
                        self._type(typed)
                done += is_run(block)
        finally:
            self.end()
        return done

    def end(self) -> None:
        """Stop what still runs."""
        for process, _ in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process, log in self.background:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"it did not end on TERM:\n{log.read_text()}") from None

    def _type(self, typed: Typed) -> None:
        command = typed.command
        if "$!" in command:
            command = command.replace("$!", str(self.background[-1][0].pid))
        before = {log: len(log.read_bytes()) for _, log in self.background}
        if command.endswith("&"):
            self._start(command[:-1].strip(), typed)
            return
        out = self._must(["bash", "-c", command], command)

        def is_said() -> bool:
            new = [log.read_bytes()[start:].decode(errors="replace") for log, start in before.items()]
            return fits(typed.prints, out) or (bool(new) and any(contains(out + more, typed.prints) for more in new))

        try:
            wait_for(f"what `{command}` should print", is_said, PATIENCE_S if self.background else 0.0)
        except AssertionError:
            logs = "".join(log.read_text() for _, log in self.background)
            raise AssertionError(
                f"`{command}` should print\n" + "\n".join(typed.prints) + f"\nbut printed\n{out}\n{logs}"
            ) from None

    def _start(self, command: str, typed: Typed) -> None:
        log = self.folder / f"output-{time.monotonic_ns()}.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.background.append((process, log))
        try:
            wait_for(
                f"what `{command}` prints",
                lambda: contains(log.read_text(), typed.prints) or process.poll() is not None,
                PATIENCE_S,
            )
            assert contains(log.read_text(), typed.prints), "it ended"
        except AssertionError:
            raise AssertionError(
                f"`{command}` should print\n" + "\n".join(typed.prints) + f"\nbut printed\n{log.read_text()}"
            ) from None

    def _must(self, command: list[str], shown: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        status = 0
        if wanted := re.search(r"# status (\d)$", shown):
            status = int(wanted[1])
        assert done.returncode == status, f"{shown}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def commands(text: str) -> Iterator[Typed]:
    """The commands of a console fence."""
    current: Typed | None = None
    for line in text.splitlines():
        if line.startswith("$ "):
            if current:
                yield current
            current = Typed(line[2:].strip(), [])
        else:
            assert current is not None, f"{line!r} stands before any command"
            current.prints.append(line)
    if current:
        yield current


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in line.split("...")))


def fits(expected: list[str], output: str) -> bool:
    """Whether the output is these lines; a line `...` stands for any number of lines."""
    pattern = "".join(r"(?:.*\n)*" if line.strip() == "..." else _pattern(line).pattern + "\n" for line in expected)
    return re.fullmatch(pattern, output if not output or output.endswith("\n") else output + "\n") is not None


def contains(output: str, expected: list[str]) -> bool:
    """Whether these lines are in the output, in this order."""
    lines = iter(output.splitlines())
    wanted = [line for line in expected if line.strip() != "..."]
    return all(any(_pattern(line).fullmatch(found) for found in lines) for line in wanted)
