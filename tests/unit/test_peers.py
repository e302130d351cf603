"""The benchmark beside the peers: what it counts, what it says of who is ahead, and whom it names."""

from __future__ import annotations

import ast
import json
import string
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import charts, jobs, ledger, medians, page, run, systems
from benchmarks.peers.session import Plan
from benchmarks.peers.system import ROOT, Command, System

PEERS = [system for system in systems.ALL if not system.is_ours]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A ledger of the test's own."""
    for module in (jobs, ledger):
        monkeypatch.setattr(module, "LEDGER", tmp_path / "ledger")
    monkeypatch.setattr(jobs, "_descriptors", [])
    ledger.clear()
    yield
    ledger.clear()


@pytest.mark.usefixtures("notes")
def test_each_job_must_have_run_once() -> None:
    for number in range(3):
        jobs.nothing(number)
    ledger.verify(range(3))
    with pytest.raises(ledger.WrongCount, match="of 4 jobs 1 never ran, 0 runs"):
        ledger.verify(range(4))
    jobs.nothing(1)
    with pytest.raises(ledger.WrongCount, match="of 3 jobs 0 never ran, 1 runs"):
        ledger.verify(range(3))


@pytest.mark.usefixtures("notes")
def test_a_job_that_nobody_enqueued_is_noticed() -> None:
    jobs.nothing(0)
    jobs.nothing(77)
    with pytest.raises(ledger.WrongCount):
        ledger.verify(range(1))


@pytest.mark.usefixtures("notes")
def test_a_worker_that_ends_is_not_waited_for() -> None:
    with pytest.raises(ledger.WrongCount, match="the worker ended when 0 of 5 jobs had run"):
        ledger.until(5, lambda: False, 60)


def test_the_most_at_a_time_is_counted_from_the_notes() -> None:
    record = ledger.Record
    assert ledger.peak([record(0, 0.0, 2.0), record(1, 1.0, 3.0), record(2, 2.5, 4.0)]) == 2


@pytest.mark.parametrize("system", PEERS, ids=lambda system: system.name)
def test_each_peer_is_pinned_and_its_promise_has_a_source(system: System) -> None:
    assert all("==" in package for package in system.packages[:1]), "the peer itself has a version"
    assert system.again.source.startswith("https://")
    assert system.server in ("redis", "postgresql")


@pytest.mark.parametrize("system", systems.ALL, ids=lambda system: system.name)
def test_commands_name_nothing_that_is_not_filled_in(system: System) -> None:
    known = {"n", "at_once", "url", "name", "bin", "apps"}
    commands = [system.short, system.waiting, *(Command(words) for words in system.prepare)]
    fields = [
        field for command in commands for word in command.words for _, field, _, _ in string.Formatter().parse(word)
    ]
    assert {field for field in fields if field} <= known


@pytest.mark.parametrize("system", systems.ALL, ids=lambda system: system.name)
def test_each_app_can_be_told_to_enqueue(system: System) -> None:
    tree = ast.parse((ROOT / "benchmarks" / "peers" / "apps" / f"{system.app}.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    names = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
             if isinstance(target, ast.Name)}  # fmt: skip
    assert {"one", "many"} <= functions and "IS_BULK" in names


def _system(name: str, rates: list[float], errors: list[str] | None = None, **more: Any) -> dict[str, Any]:
    again = {"is_run": True, "after": "soon", "source": "https://example.org"}
    rounds = [{"nothing": rate, "idle_ms": [1.0, 2.0, 50.0]} for rate in rates]
    return {
        "name": name,
        "server": "redis",
        "settings": "defaults",
        "kept": "nothing",
        "is_ours": False,
        "again": again,
        "packages": ["x==1"],
        "versions": "x 1",
        "rounds": rounds,
        "fleets": {"2": 30.0},
        "idle_percent": 0.1,
        "again_s": 12.5,
        "errors": errors or [],
        **more,
    }


@pytest.fixture
def results() -> dict[str, Any]:
    """A run in which a peer is ahead, another one failed, and time ran out."""
    return {
        "machine": "a machine",
        "day": "2026-01-01",
        "commit": "abc",
        "servers": {"redis": "Redis 7"},
        "plan": {"rounds": 3, "fleets": [2], "killed_s": 20.0},
        "measures": [],
        "minutes": 1.0,
        "bare_round_trip_ms": {"redis": 0.05},
        "skipped": ["round 3 of Slow"],
        "systems": [
            _system("Narrowboat, redis", [100.0, 900.0, 1000.0], is_ours=True),
            _system("Fast", [2000.0, 1.0, 1500.0]),
            _system("Broken", [], ["round 1, busy: the worker ended when 0 of 5 jobs had run\nTraceback\nKeyError: 7"]),
        ],
    }


def test_the_page_says_where_a_peer_is_ahead(results: dict[str, Any], tmp_path: Path) -> None:
    page.write(results, tmp_path)
    text = (tmp_path / "peers.md").read_text()
    assert "does nothing: Fast is ahead of Narrowboat, redis, 1,500 against 900 jobs/s" in text
    assert "| Fast | **1,500** |" in text and "| Narrowboat, redis | 900 |" in text


def test_the_page_names_what_failed_and_what_was_left_out(results: dict[str, Any], tmp_path: Path) -> None:
    page.write(results, tmp_path)
    text = (tmp_path / "peers.md").read_text()
    assert "- Broken, round 1, busy: the worker ended when 0 of 5 jobs had run: KeyError: 7" in text
    assert "- left out, for the time was over: round 3 of Slow" in text
    assert "| Broken | – |" in text


def test_the_page_says_when_narrowboat_was_not_measured(results: dict[str, Any], tmp_path: Path) -> None:
    results["systems"][0]["rounds"] = []
    page.write(results, tmp_path)
    assert "does nothing: Narrowboat, redis was not measured" in (tmp_path / "peers.md").read_text()


def test_a_p99_is_that_of_all_rounds_together(results: dict[str, Any]) -> None:
    assert medians.percentile("idle_ms", 99)(results["systems"][0]) == 50.0
    assert medians.percentile("idle_ms", 50)(results["systems"][0]) == 2.0


def test_a_plot_is_valid_and_has_every_figure() -> None:
    drawn = charts.draw("Speed <fast>", "jobs/s", [charts.Bar("a & b", 1234.5, "ours"), charts.Bar("c", 0.05, "lost")])
    texts = ["".join(node.itertext()) for node in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a & b", "c", "1,234", "0.05"} <= set(texts)


def test_a_system_that_cannot_be_set_up_is_named_and_the_run_is_incomplete(tmp_path: Path) -> None:
    system = System(
        **{**vars(systems.NARROWBOAT_SQLITE), "prepare": (("-c", "import sys; sys.exit('it is not installed')"),)}
    )
    one_run = run.Run([system], ["throughput"], Plan(rounds=1), tmp_path)
    one_run.measure(float("inf"))
    assert not one_run.is_complete
    [found] = one_run.as_data()["systems"]
    assert found["rounds"] == [] and "it is not installed" in found["errors"][0]


@pytest.mark.linux
def test_a_short_run_measures_and_counts_every_job(tmp_path: Path) -> None:
    options = ["--only", "narrowboat, sqlite", "--quick", "--rounds", "1", "--seconds", "0.02", "--samples", "3"]
    steps = ["--measure", "throughput", "latency", "half", "busy", "waiting", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", *options, *steps],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [system] = json.loads((tmp_path / "results.json").read_text())["systems"]
    [figures] = system["rounds"]
    assert system["errors"] == []
    assert {"enqueue_one", "enqueue_many", "nothing", "idle_ms", "half_ms", "busy", "wait"} <= set(figures)
