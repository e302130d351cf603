"""One run: every system in turn, round after round, and everything that was seen."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import measure, postgres_server, redis_server
from ..postgres_server import Postgres
from ..redis_server import Redis
from . import fleet, killed
from .places import Places
from .session import Figures, Plan, Session
from .system import System, checked

ON_ONE_START = ("throughput", "latency", "half", "busy")
MEASURES = (*ON_ONE_START, "waiting", "fleet", "killed")
_NUMBERS = re.compile(r"\[\s+((?:-?[\d.]+,\s+)*-?[\d.]+)\s+\]")
VERSIONS = {"redis": redis_server.version, "postgresql": postgres_server.version}


@dataclass
class Found:
    """What was seen of one system. rounds: the figures of each; fleets: memory by size; errors: whatever failed."""

    system: System
    versions: str = ""
    rounds: list[Figures] = field(default_factory=list[Figures])
    fleets: dict[str, float] = field(default_factory=dict[str, float])
    idle_percent: float | None = None
    again_s: float | str | None = None
    errors: list[str] = field(default_factory=list[str])


class Run:
    """Measures until all is done or the time is over; `is_complete` says which, and whether anything failed."""

    def __init__(self, systems: Sequence[System], measures: Collection[str], plan: Plan, folder: Path) -> None:
        self._plan, self._measures, self._folder = plan, measures, folder
        self._rates: dict[str, dict[str, float]] = {system.name: {} for system in systems}
        self._found = {system.name: Found(system) for system in systems}
        self._skipped: list[str] = []
        self._bare: dict[str, float] = {}
        self._began = time.monotonic()

    @property
    def is_complete(self) -> bool:
        """Whether everything that was asked for was measured."""
        return not self._skipped and not any(found.errors for found in self._found.values())

    def measure(self, until: float) -> None:
        """All of it, unless the clock (monotonic) says so first: then the rest is left out, and said."""
        with Places(self._folder) as places:
            for found in list(self._found.values()):
                self._try(found, "set up", lambda found=found: self._set_up(found, places))
            ready = [found for found in self._found.values() if not found.errors]
            for number in range(self._plan.rounds if {*ON_ONE_START, "waiting"} & {*self._measures} else 0):
                turn = number % max(1, len(ready))
                for found in (*ready[turn:], *ready[:turn]):
                    if self._is_late(until, f"round {number + 1} of {found.system.name}"):
                        continue
                    self._one_round(found, places, number)
            if "fleet" in self._measures:
                for size in self._plan.fleets:
                    for found in ready:
                        if not self._is_late(until, f"{size} workers of {found.system.name}"):
                            self._fleet(found, places, size)
            self._bare_round_trips(places)
        if "killed" in self._measures and ready and not self._is_late(until - self._plan.killed_s, "killed workers"):
            self._killed(ready)

    def as_data(self) -> dict[str, Any]:
        """For results.json."""
        kinds = {found.system.server for found in self._found.values()}
        return {
            "machine": measure.machine(),
            "day": time.strftime("%Y-%m-%d"),
            "commit": checked(["git", "describe", "--always", "--dirty"]).strip(),
            "servers": {kind: VERSIONS[kind]() for kind in sorted(kinds) if kind in VERSIONS},
            "plan": asdict(self._plan),
            "measures": list(self._measures),
            "minutes": round((time.monotonic() - self._began) / 60, 1),
            "bare_round_trip_ms": self._bare,
            "skipped": self._skipped,
            "systems": [_as_data(found) for found in self._found.values()],
        }

    @staticmethod
    def _set_up(found: Found, places: Places) -> None:
        """Install it, and let it make an empty server ready: what is not there is said once, before the rounds."""
        found.system.python()
        found.versions = found.system.versions()
        found.system.make_ready(places.get(found.system.server).fresh())

    def _one_round(self, found: Found, places: Places, number: int) -> None:
        began, system = time.monotonic(), found.system
        figures: Figures = {}

        def session() -> Session:
            place = places.get(system.server)
            return Session(system, place, self._plan, self._folder, self._rates[system.name], figures)

        steps = [step for step in ON_ONE_START if step in self._measures]
        if steps:
            self._try(found, f"round {number + 1}, {', '.join(steps)}", lambda: session().short(steps))
        if "waiting" in self._measures:
            self._try(found, f"round {number + 1}, waiting", lambda: session().waiting())
        if figures:
            found.rounds.append(figures)
        seen = ", ".join(f"{name} {figures[name]:,.0f}/s" for name in ("nothing", "busy", "wait") if name in figures)
        print(f"  {number + 1}  {system.name:<24}{time.monotonic() - began:>6.1f} s   {seen}", flush=True)

    def _fleet(self, found: Found, places: Places, size: int) -> None:
        def look() -> None:
            place, seconds = places.get(found.system.server), self._plan.idle_s
            seen = fleet.at_rest(
                found.system, place, size, seconds if size == self._plan.fleets[0] else 0, self._folder
            )
            found.fleets[str(size)] = seen.pss_mib
            if size == self._plan.fleets[0]:
                found.idle_percent = seen.idle_percent
            print(f"  {size:>2} workers  {found.system.name:<24}{seen.pss_mib:>8,.0f} MiB", flush=True)

        self._try(found, f"{size} workers", look)

    def _killed(self, ready: list[Found]) -> None:
        seen = killed.all_at_once([found.system for found in ready], self._plan.killed_s, self._folder)
        for found in ready:
            found.again_s = again = seen[found.system.name]
            if isinstance(again, str):
                found.again_s = None
                found.errors.append(f"killed worker: {again}")
            text = again if isinstance(again, str) else "no" if again is None else f"after {again:.1f} s"
            print(f"  killed  {found.system.name:<24} run again: {text}", flush=True)

    def _bare_round_trips(self, places: Places) -> None:
        for kind in {found.system.server for found in self._found.values() if found.rounds}:
            place = places.get(kind)
            if isinstance(place, Redis | Postgres):
                self._bare[kind] = place.round_trip_ms()

    def _is_late(self, until: float, what: str) -> bool:
        if time.monotonic() < until:
            return False
        self._skipped.append(what)
        return True

    @staticmethod
    def _try(found: Found, what: str, work: Callable[[], None]) -> None:
        """A system that fails is named, with what it said; the others go on."""
        try:
            work()
        except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as error:
            found.errors.append(f"{what}: {str(error).strip()}")
            print(f"  FAILED {found.system.name}, {what}: {str(error).strip()}", flush=True)


def _as_data(found: Found) -> dict[str, Any]:
    system = found.system
    described = {name: getattr(system, name) for name in ("name", "server", "settings", "kept", "is_ours")}
    seen = {name: value for name, value in vars(found).items() if name != "system"}
    return {**described, "again": asdict(system.again), "packages": list(system.packages), **seen}


def write(data: dict[str, Any], file: Path) -> None:
    """As JSON that reads well in a diff: a list of numbers is one line."""
    text = json.dumps(data, indent=1)
    file.write_text(_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")
