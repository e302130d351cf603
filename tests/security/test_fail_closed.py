"""When a step on the way into the walls fails, the executor ends before it has seen a job, which another one runs."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from narrowboat import App
from tests.support.processes import running_worker

from .ground import USER, everyones_python
from .hosts import machine

pytestmark = pytest.mark.linux

LAYERS = [
    "session",
    "limits",
    "not dumpable",
    "no capabilities",
    "Landlock",
    "seccomp",
    "descriptors",
    "scratch folder",
]
STEPS = {
    "namespaces": (19, [*LAYERS, "namespaces"]),
    "no namespaces": (15, [*LAYERS, "lifeline"]),
}
"""How many steps the way in has, those that silence descriptors counted as one, and to which layers they belong."""

# The app is imported in the zygote, so it can break what its executors will do. Each of them counts itself in memory
# that all share: the first of a branch is the probe; then every other one fails, at one step after the other.
SHOP = """
import mmap, os
from narrowboat import App
from narrowboat.executor import child

INDICES = {indices}
app = App("shop")
count = mmap.mmap(-1, 5)  # executors; the one in which a step failed; the number of steps
layers = []

def number():
    return int.from_bytes(count[:2], "big")

def main(*args, real=child.main):
    count[:2] = (number() + 1).to_bytes(2, "big")
    return real(*args)

def way_in(*args, real=child.way_in):
    steps = real(*args)
    layers[:] = [layer for layer, _ in steps]
    numbers = [number for number, layer in enumerate(layers) if layer != "descriptors" or layers[number - 1] != layer]
    count[4] = len(numbers)
    for index, number in enumerate(numbers):
        layer, step = steps[number]
        steps[number] = layer, fragile(index, layer, step)
    return steps

child.main, child.way_in = main, way_in

def fragile(index, layer, real):
    def step():
        if index in INDICES and number() == 2 + 2 * INDICES.index(index):
            count[2:4] = number().to_bytes(2, "big")
            raise OSError(f"step {{index}}, {{layer}}, fails")
        return real()
    return step

@app.task(memory="100MB")
def run() -> tuple[int, int, int, list[str]]:
    return number(), int.from_bytes(count[2:4], "big"), count[4], sorted(set(layers))
"""


@pytest.mark.parametrize("where", STEPS)
def test_a_step_that_fails_ends_the_executor_and_the_job_is_run_once_by_the_next(where: str) -> None:
    number, _ = STEPS[where]
    parts = [range(start, number, 6) for start in range(6)]  # side by side, since a worker waits after each such death
    with ThreadPoolExecutor(len(parts)) as threads:
        for done in [threads.submit(check, list(part), where) for part in parts]:
            done.result()


def check(indices: list[int], where: str) -> None:
    number, layers = STEPS[where]
    with (
        machine(SHOP.format(indices=indices), restricted=where != "namespaces") as there,
        running_worker("shop:app", there.url, there.folder, "-n", "1", "--max-jobs", "1", host=there.host) as worker,
    ):
        app = App("shop", url=there.url)
        for place, index in enumerate(indices):
            record = app.enqueue_by_name("shop.run").wait(60).record
            failed, ran = 2 + 2 * place, 3 + 2 * place
            found = json.loads(record.result or b"null")
            assert found == [ran, failed, number, sorted(layers)], f"{index}: {record} {worker.output()[-3000:]}"
            assert (record.attempts, record.crashes) == (1, 0), index
        said = worker.output()
        assert app.backend.audit() == []
        app.close()
    assert said.count("an executor died before its first job (exit code 1)") == len(indices)
    for index in indices:
        assert f"OSError: step {index}, " in said


def test_a_worker_does_not_start_with_walls_that_cannot_be_raised() -> None:
    broken = "from narrowboat.sandbox import system\n\ndef fail(*_):\n    raise OSError('the step fails')\n\n"
    for step in ("give_up_privileges", "capset", "Filter.load"):
        source = (
            f"{broken}system.{step} = fail\nfrom narrowboat import App\napp = App('shop')\n@app.task\ndef one(): pass\n"
        )
        with machine(source) as there:
            done = there.cli("worker", "shop:app", "--url", there.url)
        assert done.returncode == 1
        assert "the step fails" in done.stderr


@pytest.fixture(params=[None, USER], ids=["root or whoever this is", "an ordinary user"])
def user(request: pytest.FixtureRequest) -> int | None:
    """Who the worker is."""
    if request.param is not None and (os.geteuid() != 0 or not everyones_python()):
        pytest.skip("only root can be somebody else, with an interpreter that every user can run")
    return request.param


FAILS = "raise OSError('the step fails')"
RAISED = ["walls.Walls._limit_all", "walls.start_init", "landlock.ruleset", "seccomp.build"]


def as_less(user: int | None) -> list[str]:
    """Steps without which a host is as one without namespaces."""
    return ["root.build", *(["walls.Walls._become_user"] if user is None and os.geteuid() == 0 else [])]


def test_a_worker_that_requires_all_walls_does_not_start_without_one(user: int | None) -> None:
    with ThreadPoolExecutor(3) as threads:
        steps = [*RAISED, *as_less(user)]
        ended = [(step, threads.submit(ends, "require", step, FAILS, user)) for step in steps]
        for step, done in ended:
            status, said = done.result()
            refusal = "this host cannot keep all of it" if step in as_less(user) else "the step fails"
            assert (status, refusal in said) == (1, True), f"{step}: {said}"
        status, said = threads.submit(ends, "require", "system.Filter.load", "pass", user).result()
    assert status == 1
    assert "this host cannot keep all of it" in said and "network" in said  # the probe has noticed, without an error


def test_a_worker_that_takes_what_there_is_does_not_start_with_a_wall_half_raised(user: int | None) -> None:
    with ThreadPoolExecutor(3) as threads:
        ended = [(step, threads.submit(ends, "best", step, FAILS, user)) for step in RAISED]
        for step, done in ended:
            status, said = done.result()
            assert (status, "the step fails" in said) == (1, True), f"{step}: {said}"


@pytest.mark.parametrize(
    ("step", "what", "missing"),
    [("root.build", FAILS, "processor"), ("system.Filter.load", "pass", "network")],
    ids=["a host without namespaces", "a wall that does not hold"],
)
def test_a_worker_that_takes_what_there_is_says_what_is_missing(
    user: int | None, step: str, what: str, missing: str
) -> None:
    with (
        machine(broken(step, what), user=user) as there,
        running_worker("shop:app", there.url, there.folder, "-n", "1", host=there.host) as worker,
    ):
        app = App("shop", url=there.url)
        assert app.enqueue_by_name("shop.one").wait(30).state == "succeeded"
        said = worker.output()
        app.close()
    assert f"{missing} (" in said.partition("the sandbox of tasks: not enforced: ")[2], said


def broken(step: str, what: str) -> str:
    """An app beside which a step does something else."""
    return (
        "from narrowboat.sandbox import landlock, root, seccomp, system, walls\n"
        f"def other(*_, **__):\n    {what}\n{step} = other\n"
        "from narrowboat import App\napp = App('shop')\n@app.task\ndef one(): pass\n"
    )


def ends(mode: str, step: str, what: str, user: int | None) -> tuple[int, str]:
    """How such a worker ends, and what it says."""
    with machine(broken(step, what), user=user) as there:
        done = there.cli("worker", "shop:app", "--url", there.url, "--sandbox", mode)
    return done.returncode, done.stderr
