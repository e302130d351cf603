"""What a hostile task meets in a real worker, and what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat import App
from narrowboat.core.job import Job
from tests.support.processes import ROOT, running_worker, wait_for

pytestmark = pytest.mark.linux
SHOP = """
import ctypes, os, socket, subprocess, tempfile
from narrowboat import App, Needs, Retry

app = App("shop")
ONCE = Retry(attempts=1)
KEPT = []; KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}

@app.task(retry=Retry(attempts=5, delay=0))
def trace():
    ctypes.CDLL(None).ptrace(0, 0, 0, 0)

@app.task(retry=Retry(attempts=5, delay=0), untrusted=True)
def crash_untrusted():
    ctypes.string_at(0)

@app.task(retry=Retry(attempts=2, delay=0))
def crash():
    ctypes.string_at(0)

@app.task(untrusted=True)
def remember(text: str) -> list[str]:
    KEPT.append(text)
    found = [*KEPT, *os.listdir(".")]
    open("left", "w").close()
    return found

@app.task
def scratch() -> list[str]:
    found = os.listdir(tempfile.gettempdir())
    os.makedirs("deep/er")
    open("deep/er/file", "w").close()
    return found

@app.task
def move_about() -> list[str]:
    os.makedirs("a/b")
    open("a/b/file", "w").close()
    os.mkdir("c")
    os.rename("a/b/file", "c/file")
    os.link("c/file", "a/linked")
    found = sorted(os.listdir("a") + os.listdir("c"))
    try:
        open(os.path.join("..", "beside"), "w")
    except OSError:
        return found
    return ["a file beside the scratch folder"]

@app.task(needs=Needs(secrets=["SMTP_PASSWORD"]))
def with_secret() -> list[str]:
    return [os.environ["SMTP_PASSWORD"], *sorted(set(os.environ) & {"OTHER", "NARROWBOAT_URL"})]

@app.task
def without_secret() -> str:
    return os.environ.get("SMTP_PASSWORD", "nothing")

@app.task(needs=Needs.trusted())
def trusted() -> list[str]:
    return sorted(set(os.environ) & {"OTHER", "SMTP_PASSWORD", "NARROWBOAT_URL"})

@app.task(needs=Needs.trusted())
def trusted_with_keys() -> list[str]:
    return sorted(set(os.environ) & KEYS)

@app.task(needs=Needs.trusted(secrets=["AWS_ACCESS_KEY_ID"]))
def trusted_with_a_named_key() -> list[str]:
    return sorted(set(os.environ) & KEYS)

@app.task(retry=ONCE)
def connect():
    socket.create_connection(("10.0.0.3", 587), 1)

@app.task(retry=ONCE)
def run():
    subprocess.run(["convert", "a", "b"])

@app.task(retry=ONCE)
def read():
    open("/etc/shadow")

@app.task(retry=ONCE)
def write():
    open("/usr/lib/planted", "w")

@app.task(retry=ONCE)
def variable():
    os.environ["DATABASE_URL"]

@app.task(needs=Needs(programs=["/usr/bin/sort"]))
def sort() -> str:
    return subprocess.run(["/usr/bin/sort"], input="b\\na\\n", capture_output=True, text=True, check=True).stdout

@app.task(retry=ONCE, needs=Needs(programs=["/usr/bin/sort"]))
def not_sort():
    subprocess.run(["/bin/sh", "-c", "true"], check=True)

@app.task(retry=ONCE, cpu=1, timeout=60)
def spin():
    while True:
        pass
"""


class Shop:
    """A project with hostile tasks, and a worker for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"sqlite:///{folder / 'shop.db'}"
        (folder / "shop.py").write_text(SHOP)
        self.app = App("shop", url=self.url)

    def run(self, task: str, *args: object) -> Job:
        """The record of a job that has ended."""
        return self.app.enqueue_by_name(f"shop.{task}", *args).wait(70).record


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    env = {"SMTP_PASSWORD": "hunter2", "OTHER": "x", "NARROWBOAT_FILES": "s3://photos?endpoint=http://127.0.0.1:9"}
    env |= {"AWS_REGION": "eu-west-1", **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "hunter3")}
    with running_worker("shop:app", shop.url, shop.folder, "-n", "2", env=env):
        yield shop
    shop.app.close()


def test_a_call_that_no_task_makes_ends_the_job_at_once_and_says_where(shop: Shop) -> None:
    record = shop.run("trace")
    assert (record.state, record.crashes) == ("dead", 1)
    assert record.reason.startswith("crashed: SIGSYS")
    assert 'shop.py", line 11 in trace' in record.history[0].error.traceback


def test_a_crash_is_final_for_untrusted_input_only(shop: Shop) -> None:
    assert shop.run("crash_untrusted").crashes == 1
    assert shop.run("crash").crashes == 2


def test_nothing_is_kept_for_the_next_untrusted_attempt(shop: Shop) -> None:
    for text in ("one", "two"):
        assert shop.run("remember", text).result == f'["{text}"]'.encode()


def test_the_scratch_folder_is_empty_for_each_attempt(shop: Shop) -> None:
    assert [shop.run("scratch").result for _ in range(3)] == [b"[]"] * 3


def test_files_move_within_the_scratch_folder_and_none_comes_to_be_beside_it(shop: Shop) -> None:
    assert shop.run("move_about").result == b'["b","file","linked"]'


def test_a_secret_goes_to_the_tasks_that_name_it(shop: Shop) -> None:
    assert shop.run("with_secret").result == b'["hunter2"]'
    assert shop.run("without_secret").result == b'"nothing"'
    assert shop.run("trusted").result == b'["OTHER","SMTP_PASSWORD"]'


def test_keys_of_the_file_store_go_to_trusted_tasks_only_by_name(shop: Shop) -> None:
    assert shop.run("trusted_with_keys").result == b'["AWS_REGION"]'
    assert shop.run("trusted_with_a_named_key").result == b'["AWS_ACCESS_KEY_ID","AWS_REGION"]'


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("connect", "shop.connect tried to connect to 10.0.0.3:587; to allow it, declare needs=Needs(network=[587])"),
        ("run", 'task shop.run tried to run convert; to allow it, declare needs=Needs(programs=["/usr/bin/convert"])'),
        ("read", '/etc/shadow is not there for task shop.read; if it is there outside, declare needs=Needs(read=["/'),
        ("write", "task shop.write tried to write to /usr/lib/planted; it may write to its scratch folder"),
        ("variable", "task shop.variable wanted the environment variable DATABASE_URL; executors have none of"),
        ("not_sort", "task shop.not_sort tried to run /bin/sh"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_tried_and_what_to_declare(shop: Shop, task: str, said: str) -> None:
    assert said in shop.run(task).reason + shop.run(task).history[0].error.message


def test_a_declared_program_runs(shop: Shop) -> None:
    assert shop.run("sort").result == b'"a\\nb\\n"'


def test_processor_time_is_limited(shop: Shop) -> None:
    assert shop.run("spin").reason == "crashed: its processor time was over (cpu=1 s)"


def cli(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command line in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "narrowboat.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_missing_secret_stops_the_worker_at_start(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    done = cli(tmp_path, "worker", "shop:app")
    assert done.returncode == 1
    assert "a task needs the secret SMTP_PASSWORD, which is neither in the worker's environment nor" in done.stderr


def test_require_refuses_a_host_that_cannot_keep_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from narrowboat import App\napp = App('shop')\n@app.task\ndef one(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.docker", sys.executable, "-m", "narrowboat.cli", "worker", "shop:app",
         "--url", f"sqlite:///{tmp_path}/n.db", "--sandbox", "require"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "and this host cannot keep all of it. not enforced: " in done.stderr


def test_doctor_tells_what_holds_here_and_in_a_container(tmp_path: Path) -> None:
    here = cli(tmp_path, "doctor")
    assert here.returncode == 0 and "all of it is enforced" in here.stdout
    there = subprocess.run(
        [sys.executable, "-m", "tests.security.docker", sys.executable, "-m", "narrowboat.cli", "doctor"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert there.returncode == 1, there.stderr
    states = {line[:15].strip(): line[15:25].strip() for line in there.stdout.splitlines() if line[15:16].isalpha()}
    weak = {name for name, state in states.items() if state in ("partial", "missing")}
    assert weak == {"processor", "clean-up"}
    assert "no namespaces: " in there.stdout


def test_a_need_that_opens_the_folder_of_the_database_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "shop.py").write_text(
        "from pathlib import Path\nfrom narrowboat import App, Needs\napp = App('shop')\nHERE = Path(__file__).parent\n"
        "@app.task(needs=Needs(write=[HERE]))\ndef wide(): pass\n"
        "@app.task(needs=Needs(write=[HERE / 'out']))\ndef narrow(): pass\n"
    )
    with running_worker("shop:app", f"sqlite:///{tmp_path}/n.db", tmp_path) as worker:
        said = f"task shop.wide may write to {tmp_path}, and with it {tmp_path}/n.db: keep them apart"
        wait_for("the warning", lambda: said in worker.output())
        assert "shop.narrow may" not in worker.output()
