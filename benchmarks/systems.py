"""What is compared on asynchronous jobs, and how each is installed and started.

Each runs on one worker process (Narrowboat: one executor) with 1,000 jobs at a time, logs no line for each job, and
keeps results for as long as it does by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".venv" / "peers"


@dataclass(frozen=True)
class System:
    """One of them; without packages it is Narrowboat, which runs where this runs, on SQLite."""

    name: str
    module: str
    worker: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that says where the jobs are."""
        return "BENCH_REDIS" if self.packages else "NARROWBOAT_URL"

    def python(self) -> Path:
        """The interpreter of its own virtual environment, made on demand."""
        if not self.packages:
            return Path(sys.executable)
        folder = ENVIRONMENTS / self.name
        stamp, wanted = folder / "packages", "\n".join(self.packages)
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"  setting up: {self.name}", flush=True)
            _checked([sys.executable, "-m", "venv", "--clear", folder])
            pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _checked([*pip, *self.packages])
            stamp.write_text(wanted)
        return folder / "bin" / "python"

    def versions(self) -> str:
        """What was installed of the packages whose version is given."""
        names = [package.partition("==")[0].partition("[")[0] for package in self.packages if "==" in package]
        code = "import sys; from importlib.metadata import version; print(*(f'{n} {version(n)}' for n in sys.argv[1:]))"
        return _checked([self.python(), "-c", code, *names]).strip()

    def enqueue(self, url: str, folder: Path, count: int) -> None:
        """Write all jobs, in a process of its own."""
        code = f"from benchmarks.{self.module} import enqueue; enqueue({str(folder)!r}, {count})"
        _checked([self.python(), "-c", code], self._env(url))

    def start(self, url: str, log: Path) -> subprocess.Popen[bytes]:
        """Start its one worker, by its own command."""
        command = [self.python(), "-m", *self.worker]
        with log.open("wb") as output:
            return subprocess.Popen(command, cwd=ROOT, env=self._env(url), stdout=output, stderr=subprocess.STDOUT)

    def _env(self, url: str) -> dict[str, str]:
        return {**os.environ, self.variable: url}


def _checked(command: list[str | Path], env: dict[str, str] | None = None) -> str:
    """What a command prints; if it fails, an error that shows it."""
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


NARROWBOAT = System("narrowboat", "async_app", ("narrowboat.cli", "worker", "benchmarks.async_app:app", "-n", "1"))
PEERS = (
    System(
        "arq",
        "arq_app",
        ("arq", "benchmarks.arq_app.WorkerSettings", "--custom-log-dict", "benchmarks.arq_app.QUIET"),
        ("arq==0.28.*",),
    ),
    System(
        "saq", "saq_app", ("saq", "benchmarks.saq_app.settings"), ("saq[redis,hiredis]==0.26.*", "typing_extensions")
    ),
    System(
        "taskiq",
        "taskiq_app",
        (
            *("taskiq", "worker", "benchmarks.taskiq_app:broker", "--workers", "1", "--log-level", "WARNING"),
            *("--max-async-tasks", "1000", "--max-prefetch", "1000"),
        ),
        ("taskiq[uv,orjson]==0.13.*", "taskiq-redis==1.2.*", "redis[hiredis]"),
    ),
    System("streaq", "streaq_app", ("streaq", "run", "benchmarks.streaq_app:worker"), ("streaq==7.2.*", "uvloop")),
)
