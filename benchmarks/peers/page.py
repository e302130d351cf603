"""docs/benchmarks/peers.md and its plots, from a results.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import charts, medians
from .charts import number_in_words
from .medians import System, Value


class Column(NamedTuple):
    """One measure. plot: the name of its file, where it has one. is_compared: more, or less, of it is better."""

    title: str
    unit: str
    value: Value
    is_less_better: bool = False
    plot: str = ""
    is_compared: bool = True

    def best(self, systems: Sequence[System]) -> System | None:
        """Who has the best figure, if that means anything."""
        return medians.best(systems, self.value, self.is_less_better) if self.is_compared else None


class Table(NamedTuple):
    """Measures that belong together, with what must be said about them."""

    title: str
    columns: Sequence[Column]
    notes: str


def _tables(plan: dict[str, Any]) -> list[Table]:
    fleets: list[int] = plan["fleets"]
    return [
        Table(
            "Jobs a second, with two worker processes",
            (
                Column("does nothing", "jobs/s", medians.of_rounds("nothing"), plot="nothing"),
                Column("5 ms of processor", "jobs/s", medians.of_rounds("busy"), plot="busy"),
                Column("100 ms of waiting", "jobs/s", medians.of_rounds("wait"), plot="waiting"),
                Column("most of these at a time", "jobs", medians.of_rounds("wait_peak"), is_compared=False),
            ),
            "Jobs are written before the workers start; the clock runs from the end of the first tenth, when all "
            "workers are up, to the end of the last job. Two processors can do 400 of the jobs of 5 ms. Jobs that wait "
            "are run asynchronously, or in greenlets, up to 1,000 in each of the two processes, where the system can "
            "do that; the clock starts when as many have ended.",
        ),
        Table(
            "Processor seconds for 1,000 jobs that do nothing",
            (
                Column("workers", "s", medians.of_rounds("nothing_cpu_ms"), True),
                Column("server", "s", medians.of_rounds("nothing_server_ms"), True),
                Column("together", "s", medians.together("nothing_cpu_ms", "nothing_server_ms"), True, "processor"),
            ),
            "Of whole process trees, in the same runs as above.",
        ),
        Table(
            "Enqueueing",
            (
                Column("one by one", "jobs/s", medians.of_rounds("enqueue_one"), plot="enqueue-one"),
                Column("many", "jobs/s", medians.of_rounds("enqueue_many"), plot="enqueue-many"),
                Column("kept for a waiting job", "bytes", medians.of_rounds("waiting_bytes"), True),
                Column("kept for a finished one", "bytes", medians.of_rounds("finished_bytes"), True),
            ),
            "One producer, without workers beside it. Many: in calls of 1,000 where the system has such a call, else "
            "as its documentation shows (asynchronous ones: a hundred calls at a time). Bytes are what the server "
            "keeps: "
            "of Redis its memory without clients' buffers, of PostgreSQL its files.",
        ),
        Table(
            "From the call that enqueues to the first line of the job",
            (
                Column("idle, p50", "ms", medians.percentile("idle_ms", 50), True, "latency"),
                Column("idle, p99", "ms", medians.percentile("idle_ms", 99), True),
                Column("half load, p50", "ms", medians.percentile("half_ms", 50), True),
                Column("half load, p99", "ms", medians.percentile("half_ms", 99), True, "latency-half"),
                Column("at", "jobs/s", medians.of_rounds("half_rate"), is_compared=False),
            ),
            "Idle: one job after the other, with a pause of 2 to 20 ms between. Half load: half of what the system "
            "itself did in the first table, or as much as one producer can write; it shares the two processors.",
        ),
        Table(
            "Memory of waiting workers (PSS, whole trees)",
            (
                *(
                    Column(
                        f"{size} workers", "MiB", medians.of_fleet(size), True, f"memory-{size}" * (size == max(fleets))
                    )
                    for size in fleets
                ),
                Column(f"{min(fleets)} idle", "% of a core", medians.idle, True),
            ),
            "Processes, each of which has run a job. An asynchronous system needs fewer of them for jobs that wait. "
            "Idle includes the server.",
        ),
    ]


def write(data: dict[str, Any], folder: Path) -> None:
    """The page and one plot for each measure that has one; what is there is overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    systems: list[System] = data["systems"]
    parts = [_head(data)]
    for table in _tables(data["plan"]):
        columns = [column for column in table.columns if any(column.value(system) is not None for system in systems)]
        if not columns:
            continue
        parts.append(f"\n## {table.title}\n\n{table.notes}\n\n{_table(columns, systems)}")
        for column in columns:
            if column.plot:
                title = f"{table.title}: {column.title}"
                (folder / f"{column.plot}.svg").write_text(charts.draw(title, column.unit, _bars(column, systems)))
                parts.append(f"\n![{title}, {column.unit}; the figures are in the table]({column.plot}.svg)\n")
    parts += [_ahead(data), _again(systems, data["plan"]["killed_s"]), _settings(systems), _failures(data)]
    (folder / "peers.md").write_text("".join(parts))


HEAD = """\
# Beside the peers

Generated by `make bench-peers` from `results.json`, which has every round. Your numbers will differ, and the
ratios with them, though less: on a slower machine peers that wait more than they work lose less.

- Machine: {machine}
- Servers, private, on the same machine: {servers}. Redis keeps everything in memory alone (no AOF, no RDB),
  PostgreSQL is as durable as by default. {trips}
- {day}, commit {commit}: medians of {rounds} rounds in which the systems took turns; {minutes} minutes.
- Every count was checked: each job noted that it ran, and a system is named below if one ran twice or not at all.
- Again, on a machine that does nothing else: `make bench-peers ARGS=--publish`; `ARGS=--help` tells of parts of it.

**Bold** is the best of a column on the same kind of server. † marks systems at settings at which the job of a killed
worker is lost or failed: they promise less.
"""


def _head(data: dict[str, Any]) -> str:
    trips = [f"A bare round trip to {kind}: {ms:.3f} ms." for kind, ms in data["bare_round_trip_ms"].items()]
    return HEAD.format(
        machine=data["machine"],
        servers=", ".join(data["servers"].values()),
        trips=" ".join(trips),
        day=data["day"],
        commit=data["commit"],
        rounds=data["plan"]["rounds"],
        minutes=data["minutes"],
    )


def _table(columns: Sequence[Column], systems: Sequence[System]) -> str:
    titles = [f"{column.title} ({column.unit})" for column in columns]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(columns)]
    for kind in dict.fromkeys(system["server"] for system in systems):
        there = [system for system in systems if system["server"] == kind]
        best = [column.best(there) for column in columns]
        for system in there:
            cells = [_cell(column.value(system), first is system) for column, first in zip(columns, best, strict=True)]
            lines.append(f"| {_name(system)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, is_best: bool) -> str:
    if value is None:
        return "–"
    return f"**{number_in_words(value)}**" if is_best else number_in_words(value)


def _name(system: System) -> str:
    return system["name"] + ("" if system["again"]["is_run"] else " †")


def _bars(column: Column, systems: Sequence[System]) -> list[charts.Bar]:
    return [
        charts.Bar(
            system["name"], value, "ours" if system["is_ours"] else "again" if system["again"]["is_run"] else "lost"
        )
        for system in systems
        if (value := column.value(system)) is not None
    ]


def _ahead(data: dict[str, Any]) -> str:
    """Where peers beat Narrowboat, and by how much; nothing is left out."""
    lines = list[str]()
    systems: list[System] = data["systems"]
    columns = [(table, column) for table in _tables(data["plan"]) for column in table.columns if column.is_compared]
    for ours in (system for system in systems if system["is_ours"]):
        peers = [system for system in systems if system["server"] == ours["server"] and not system["is_ours"]]
        for table, column in columns:
            mine, first = column.value(ours), column.best(peers)
            theirs = None if first is None else column.value(first)
            if first is None or theirs is None:
                continue
            what = f"- {table.title}, {column.title}: "
            if mine is None:
                lines.append(f"{what}{ours['name']} was not measured\n")
            elif (theirs < mine) if column.is_less_better else (theirs > mine):
                figures = f"{number_in_words(theirs)} against {number_in_words(mine)} {column.unit}"
                lines.append(f"{what}{_name(first)} is ahead of {ours['name']}, {figures}\n")
    return "\n## Where a peer is ahead\n\n" + ("".join(lines) or "Nowhere in this run.\n")


def _again(systems: Sequence[System], killed_s: float) -> str:
    lines = ["\n## The job of a killed worker\n\n| | runs again | as documented | seen: after |\n|---|---|---|---|\n"]
    for system in systems:
        again, seen = system["again"], system["again_s"]
        text = "–" if seen is None else f"{seen:.1f} s"
        word = "yes" if again["is_run"] else "no"
        lines.append(
            f"| {system['name']} | {word} | {again['after']} ([source]({_link(again['source'])})) | {text} |\n"
        )
    return "".join(lines) + (
        "\nSeen: one of two workers was killed (`kill -9` of its whole tree) in the middle of a job; – means that the "
        f"job had not begun again {killed_s:.0f} s later.\n"
    )


def _link(source: str) -> str:
    return f"../{source.removeprefix('docs/')}" if source.startswith("docs/") else source


def _settings(systems: Sequence[System]) -> str:
    lines = ["\n## Versions and settings\n\n| | versions | settings | keeps of a finished job |\n|---|---|---|---|\n"]
    lines += [
        f"| {system['name']} | {system['versions']} | {system['settings']} | {system['kept']} |\n" for system in systems
    ]
    return "".join(lines)


def _failures(data: dict[str, Any]) -> str:
    lines = [f"- {system['name']}, {_short(error)}\n" for system in data["systems"] for error in system["errors"]]
    lines += [f"- left out, for the time was over: {what}\n" for what in data["skipped"]]
    return "\n## What failed or was left out\n\n" + ("".join(lines) or "Nothing.\n")


def _short(error: str) -> str:
    """Its first line, and the last one, where a traceback has its point."""
    lines = error.splitlines()
    return lines[0] if len(lines) == 1 or lines[-1] in lines[0] else f"{lines[0]}: {lines[-1]}"
