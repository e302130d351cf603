"""What only Redis has: its URLs, servers that are refused, processes that fork, keys as people read them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis import Redis

from narrowboat.backends.base import Backend, Filter, Step, Want, WorkerInfo
from narrowboat.backends.redis import health
from narrowboat.backends.urls import open_backend
from narrowboat.core.controls import Controls, LimitSpec
from narrowboat.core.errors import BackendUnavailable, ConfigError, SchemaTooNew
from narrowboat.core.job import NewJob
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from tests.support.processes import wait_for
from tests.support.servers import RedisServer, free_port, shared_redis


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = open_backend(shared_redis().namespace())
    yield backend
    backend.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--unixsocket", str(tmp_path / "redis.sock"))
    yield server
    server.stop()


TENANT = "tenant:{tenant}"
ONE_EACH = Controls(limit=LimitSpec(key=TENANT, most=1), per=TENANT)


def add(backend: Backend, job_id: str = "t:1") -> None:
    backend.enqueue([NewJob(id=job_id, task="t")])


def publish(backend: Backend, controls: Controls) -> None:
    info = WorkerInfo(id="w", host="box", pid=1)
    backend.publish(info, Manifest(app="a", tasks=(TaskSpec(name="t", controls=controls),)))


def step(backend: Backend, seq: int, n: int) -> list[str]:
    """The ids of the jobs that were claimed."""
    reply = backend.step(Step(worker="w", seq=seq, wants=(Want("default", frozenset({"t"}), n),)))
    return [claim.id for claim in reply.claimed]


def test_namespaces_of_one_server_know_nothing_of_each_other(backend: Backend) -> None:
    other = open_backend(shared_redis().namespace())
    add(backend)
    assert other.get(["t:1"]) == [None]
    assert other.stats() == []
    other.close()


def test_every_key_of_a_namespace_is_in_one_slot_of_a_cluster(server: RedisServer) -> None:
    backend = open_backend(f"{server.url}?namespace=my-app.2")
    add(backend)
    keys = backend._connections.call("KEYS", "*")  # type: ignore[attr-defined]
    assert len(keys) > 5
    assert all(key.startswith(b"nb:{my-app.2}:") for key in keys)
    backend.close()


def test_a_socket_is_reached_by_its_path_and_hidden_from_tasks(server: RedisServer) -> None:
    backend = open_backend(f"unix://{server.folder}/redis.sock?db=1")
    add(backend)
    assert backend.hidden == (os.path.realpath(server.folder / "redis.sock"),)
    assert server.says("EXISTS", "nb:{nb}:job:t:1") == ":0", "it went to another database"
    backend.close()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redis://localhost?namespace=a{b}", "namespace"),
        ("redis://localhost?decode_responses=yes", "no setting 'decode_responses'"),
        ("redis://localhost:port", "cannot be read"),
        ("redis://:hush@localhost?x=1", r"redis://:\*\*\*@localhost"),
        ("unix://", "names no socket"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_reason(url: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        open_backend(url)
    assert "hush" not in str(caught.value)


def test_a_password_is_shown_nowhere(server: RedisServer) -> None:
    server.says("CONFIG", "SET", "requirepass", "hush")
    url = f"redis://:hush@127.0.0.1:{server.port}"
    backend = open_backend(url)
    add(backend)
    assert (backend.location, backend.url) == (f"redis://:***@127.0.0.1:{server.port}", url)
    backend.close()
    for wrong in (server.url, url.replace("hush", "hash")):
        with pytest.raises(ConfigError, match="user or password") as caught:
            open_backend(wrong)
        assert "hash" not in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable_within_a_bounded_time() -> None:
    with pytest.raises(BackendUnavailable, match="Connection refused"):
        open_backend(f"redis://127.0.0.1:{free_port()}")


def test_a_server_that_throws_keys_away_is_refused(server: RedisServer) -> None:
    server.says("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    open_backend(server.url).close()  # it has no limit to its memory
    server.says("CONFIG", "SET", "maxmemory", "100mb")
    with pytest.raises(ConfigError, match="noeviction"):
        open_backend(server.url)
    server.says("CONFIG", "SET", "maxmemory-policy", "noeviction")
    open_backend(server.url).close()


def test_a_server_that_keeps_no_log_is_doubted(server: RedisServer) -> None:
    backend = open_backend(server.url)
    [doubt] = backend.doubts()
    assert "append-only file" in doubt
    server.says("CONFIG", "SET", "appendonly", "yes")
    assert backend.doubts() == []
    backend.close()


def doctor(url: str) -> str:
    """What it prints of a server, each run of spaces as one."""
    command = [sys.executable, "-m", "narrowboat.cli", "doctor", "--url", url]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    return re.sub(r" +", " ", said)


def test_doctor_says_what_a_server_keeps_and_when_it_forgets(server: RedisServer) -> None:
    said = doctor(server.url)
    assert f"memory no limit, noeviction {health.NO_LIMIT}" in said
    assert f"append-only file OFF {health.NO_AOF}" in said
    assert f"replicas none {health.NO_REPLICAS}" in said
    server.says("CONFIG", "SET", "appendonly", "yes")
    server.says("CONFIG", "SET", "maxmemory", "100mb")
    said = doctor(server.url)
    assert (
        "memory 100.0 MiB, noeviction when it is full, enqueue says so (BackendUnavailable) and workers go on" in said
    )
    assert "append-only file on kill -9 of it loses nothing; a power cut up to a second" in said


def test_a_replica_is_refused_and_told_of(server: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(server.port))
    try:
        with pytest.raises(ConfigError, match="this server is a replica"):
            open_backend(replica.url)
        wait_for("the server to know it", lambda: ("replicas 1 " + health.REPLICAS) in doctor(server.url))
    finally:
        replica.stop()


def test_who_may_not_ask_is_told_so(server: RedisServer) -> None:
    assert server.says("ACL", "SETUSER", "modest", "on", ">hush", "~*", "&*", "+@all", "-info") == "+OK"
    backend = open_backend(server.url.replace("redis://", "redis://modest:hush@"))
    [doubt] = backend.doubts()
    assert "may not ask Redis how it is set up" in doubt
    backend.close()


def test_an_old_server_is_refused(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "OLDEST", (99, 0))
    with pytest.raises(ConfigError, match=r"Redis \d+\.\d+\.\d+ is too old"):
        open_backend(server.url)


LUA = Path(health.__file__).parent / "lua"
BOUNDED_BY = {  # each loop, and what ends it; a `for` ends by itself
    "audit.lua: repeat": "the lanes of a queue, a thousand at a time; nothing but tests calls it",
    "controls.lua: while wanted < room and back < BACK do": "BACK",
    "controls.lua: while true do": "is_tired",
    "ended.lua: while at < tonumber(ARGV[3]) do": "ARGV[3]",
    "find.lua: while looked < looks do": "looks",
    "moves.lua: repeat": "the lanes of a queue, a thousand at a time, when a gate is shut or opened",
    "moves.lua: while at < LOOKED do": "LOOKED",
    "step.lua: while at <= #jobs do": "the jobs that a step carries",
    "step.lua: while taken < left do": "is_tired",
    "step.lua: while line[place] and line[place][1] < at do": "the lanes at hand",
}


def test_every_script_has_a_header_and_every_loop_an_end_that_is_known() -> None:
    loops: list[str] = []
    for path in sorted(LUA.glob("*.lua")):
        lines = path.read_text().splitlines()
        assert next(line for line in lines if not line.startswith("#!")).startswith("-- "), f"{path.name}: no header"
        loops += [f"{path.name}: {line.strip()}" for line in lines if re.match(r"\s*(while|repeat)\b", line)]
    assert loops == list(BOUNDED_BY)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_process_has_connections_of_its_own(backend: Backend) -> None:
    add(backend, "t:0")  # there is an idle connection now
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        for n in range(50):
            add(backend, f"t:child-{n}")
        os._exit(0)
    for n in range(50):
        add(backend, f"t:parent-{n}")
    assert os.waitpid(child, 0)[1] == 0
    names = ["t:0", *(f"t:{who}-{n}" for who in ("parent", "child") for n in range(50))]
    assert [job and job.id for job in backend.get(names)] == names


def test_scripts_that_the_server_forgot_are_sent_again(server: RedisServer) -> None:
    backend = open_backend(server.url)
    for n in range(3):
        add(backend, f"t:{n}")
        assert server.says("SCRIPT", "FLUSH") == "+OK"
    assert len([job for job in backend.get(["t:0", "t:1", "t:2"]) if job]) == 3
    backend.close()


def test_keys_that_a_newer_version_laid_out_are_left_alone(server: RedisServer) -> None:
    open_backend(server.url).close()
    assert server.value("HGET", "nb:{nb}:about", "layout") == "1"
    server.says("HSET", "nb:{nb}:about", "layout", "2")
    with pytest.raises(SchemaTooNew, match="upgrade"):
        open_backend(server.url)


def test_jobs_of_a_rare_state_are_paged_newest_first_among_many(backend: Backend) -> None:
    ids = [f"t:{n}" for n in range(3000)]
    for start in range(0, 3000, 1000):
        backend.enqueue([NewJob(id=job_id, task="t") for job_id in ids[start : start + 1000]])
    rare = [*ids[5:2900:290], "t:2999"]
    backend.cancel(rare)
    cancelled = Filter(states=frozenset({State.CANCELLED}))
    found, after = [], None
    for _ in range(4):
        page = backend.find(cancelled, after, 3)
        found += [job.id for job in page.jobs]
        after = page.next
    assert after is None
    assert found == rare[::-1]
    assert backend.find(replace(cancelled, queue="other")).jobs == ()
    assert backend.find(replace(cancelled, tag="x")).jobs == ()


def test_a_message_waits_under_the_key_that_its_arguments_name(server: RedisServer) -> None:
    backend = open_backend(server.url)
    publish(backend, ONE_EACH)
    for message in ('{"tenant": 7}', '{"tenant": 7, "n": 2}', '{"tenant": "b"}', '{"n": 4}', '{"tenant": ""}'):
        server.says("RPUSH", "nb:{nb}:inbox:t", message)
    assert backend.wait("w", [Want("default", frozenset({"t"}), 9)], 5.0).work
    jobs = [job for job in backend.get(step(backend, 1, 9)) if job]
    assert sorted(job.lane_key for job in jobs) == ["tenant:", "tenant:7", "tenant:b"]
    [dead] = backend.find(Filter(states=frozenset({State.DEAD}))).jobs
    assert TENANT in dead.reason
    assert "arguments: n" in dead.reason
    assert backend.audit() == []
    backend.close()


def test_keys_that_are_exhausted_cost_a_claim_no_command(server: RedisServer) -> None:
    client = Redis.from_url(server.url)

    def commands() -> int:
        return sum(stat["calls"] for stat in client.info("commandstats").values())

    def costs(keys: int) -> int:
        """Of a step that claims one job, while so many other keys are exhausted."""
        client.flushdb()
        backend = open_backend(server.url)
        publish(backend, ONE_EACH)
        jobs = [NewJob(id=f"t:{n}-{k}", task="t", lane_key=f"tenant:{k}") for k in range(keys) for n in range(2)]
        backend.enqueue(jobs)
        assert len(step(backend, 1, 2 * keys)) == keys
        backend.enqueue([NewJob(id=f"t:free{n}", task="t", lane_key=f"tenant:free{n}") for n in range(2)])
        assert step(backend, 2, 1) == ["t:free0"]
        before = commands()
        assert step(backend, 3, 1) == ["t:free1"]
        cost = commands() - before
        assert backend.audit() == []
        backend.close()
        return cost

    assert costs(500) == costs(5)


def test_where_no_task_has_controls_their_keys_are_not_there(server: RedisServer) -> None:
    backend = open_backend(server.url)
    publish(backend, ONE_EACH)
    publish(backend, Controls())
    add(backend)
    assert step(backend, 1, 1) == ["t:1"]
    for name in ("controls", "meters", "held", "due-gates", "breakers"):
        assert server.says("EXISTS", f"nb:{{nb}}:{name}") == ":0"
    backend.close()
