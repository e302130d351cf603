"""`make bench-peers`: Narrowboat beside the systems that do the same, in one run."""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import tempfile
import time
from pathlib import Path

from .. import measure
from . import page, run, systems
from .session import Plan
from .system import ENVIRONMENTS, ROOT, System

PUBLISHED, PRIVATE = ROOT / "docs" / "benchmarks", ENVIRONMENTS / "out"
QUICK = Plan(rounds=1, seconds=0.3, samples=20, fleets=(2,), idle_s=1.0, killed_s=20.0)


def main() -> None:
    """Measure, print and write; the exit status says whether all could be measured, never how fast it was."""
    options = _options()
    if options.page:
        page.write(json.loads(options.page.read_text()), options.page.parent)
        return
    plan = _plan(options)
    out: Path = PUBLISHED if options.publish else options.out
    out.mkdir(parents=True, exist_ok=True)
    chosen = _chosen(options.only)
    print(measure.machine(), flush=True)
    with _alone(), tempfile.TemporaryDirectory(prefix="narrowboat-peers-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # executors of a worker that is root have users of their own
        one_run = run.Run(chosen, options.measure, plan, folder)
        one_run.measure(time.monotonic() + 60 * options.minutes)
    data = one_run.as_data()
    run.write(data, out / "results.json")
    page.write(data, out)
    print(f"written: {out / 'peers.md'}", flush=True)
    sys.exit(0 if one_run.is_complete else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="systems whose name begins so; default: all")
    parser.add_argument("--measure", nargs="+", choices=run.MEASURES, default=run.MEASURES, help="default: all")
    parser.add_argument("--quick", action="store_true", help="one short round: whether it works, not how fast it is")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="about how long each run of jobs takes")
    parser.add_argument("--samples", type=int, help="jobs for the latency of an idle worker, in each round")
    parser.add_argument("--fleets", type=int, nargs="+", help="numbers of workers whose memory is looked at")
    parser.add_argument("--killed-s", type=float, help="how long to wait for the job of a killed worker")
    parser.add_argument("--minutes", type=float, default=25.0, help="after which the rest is left out, and named")
    parser.add_argument("--out", type=Path, default=PRIVATE, help="where results.json, the page and its plots go")
    parser.add_argument(
        "--publish", action="store_true", help="to docs/benchmarks/, from a machine that does nothing else"
    )
    parser.add_argument(
        "--page", type=Path, metavar="RESULTS_JSON", help="measure nothing; write the page beside it again"
    )
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else Plan()
    names = ("rounds", "seconds", "samples", "fleets", "killed_s")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if "fleets" in given:
        given["fleets"] = tuple(given["fleets"])
    return Plan(**{**vars(plan), **given})


def _chosen(prefixes: list[str] | None) -> list[System]:
    if prefixes is None:
        return list(systems.ALL)
    wanted = [prefix.lower() for prefix in prefixes]
    chosen = [one for one in (*systems.ALL, *systems.ON_DEMAND) if one.name.lower().startswith(tuple(wanted))]
    if not chosen:
        names = ", ".join(repr(one.name) for one in (*systems.ALL, *systems.ON_DEMAND))
        sys.exit(f"no system's name begins so; there are {names}")
    return chosen


class _alone:  # noqa: N801
    """One run in a checkout at a time: the jobs' notes have one file, and two runs would measure each other."""

    def __enter__(self) -> None:
        ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
        self._lock = (ENVIRONMENTS / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another run is under way in this checkout")

    def __exit__(self, *_: object) -> None:
        self._lock.close()


if __name__ == "__main__":
    main()
