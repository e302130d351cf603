"""An app that cannot be imported ends the worker at once, with the app's own traceback and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import WorkerProcess, running_worker

HEAD = "import os\nfrom narrowboat import App\n"


def outcome_of(folder: Path, source: str, target: str = "shop:app") -> str:
    """What the worker prints before it ends with status 1."""
    (folder / "shop.py").write_text(source)
    worker = WorkerProcess(target, f"sqlite:///{folder / 'shop.db'}", folder, env={"SECRET_KEY": "the real one"})
    assert worker.process.wait(60) == 1
    return worker.output()


def test_the_traceback_is_the_apps_own(tmp_path: Path) -> None:
    said = outcome_of(tmp_path, HEAD + "app = App('shop')\ndef f():\n    1 / 0\nf()\n")
    assert 'shop.py", line 6, in <module>' in said
    assert 'shop.py", line 5, in f' in said
    assert "ZeroDivisionError" in said
    assert "narrowboat/executor" not in said
    assert "importlib" not in said


@pytest.mark.parametrize(
    "reading", ["os.environ['SECRET_KEY']", "os.getenv('SECRET_KEY').lower()", "os.environ.get('SECRET_KEY') + ''"]
)
def test_a_missing_variable_is_named_with_its_line_and_the_remedy(tmp_path: Path, reading: str) -> None:
    said = outcome_of(tmp_path, HEAD + f"app = App('shop')\nKEY = {reading}\n")
    assert f"{tmp_path / 'shop.py'}:4 wanted the environment variable SECRET_KEY" in said
    assert 'import_env={"SECRET_KEY": "withheld"}' in said


def test_a_placeholder_lets_the_import_pass(tmp_path: Path) -> None:
    source = (
        HEAD
        + "app = App('shop', import_env={'SECRET_KEY': 'withheld'})\nassert os.environ['SECRET_KEY'] == 'withheld'\n"
    )
    (tmp_path / "shop.py").write_text(source)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with running_worker("shop:app", url, tmp_path, env={"SECRET_KEY": "the real one"}) as worker:
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("", "shop:app", "module shop has no app"),
        (HEAD + "boat = App('shop')\n", "shop:app", "did you mean shop:boat?"),
        ("app = 3\n", "shop:app", "shop:app is a int, not a narrowboat.App"),
        ("", "nowhere:app", "start the worker in the project's folder"),
        ("import os\nos._exit(7)\n", "shop:app", "ended with status 7"),
    ],
)
def test_what_cannot_be_an_app_is_said(tmp_path: Path, source: str, target: str, expected: str) -> None:
    assert expected in outcome_of(tmp_path, source, target)


def test_threads_and_connections_from_the_import_are_named(tmp_path: Path) -> None:
    source = HEAD + (
        "import socket, threading, time\napp = App('shop')\n"
        "def tick():\n    time.sleep(60)\n"
        "threading.Thread(target=tick, name='ticker', daemon=True).start()\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "connection = socket.create_connection(listener.getsockname())\n"
    )
    (tmp_path / "shop.py").write_text(source)
    with running_worker("shop:app", f"sqlite:///{tmp_path / 'shop.db'}", tmp_path) as worker:
        said = worker.output()
    assert "thread 'ticker' (runs shop.tick) was started while the app was imported" in said
    assert "a connection" in said
    assert "127.0.0.1" in said
