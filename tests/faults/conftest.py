"""A folder with the app in it, a database, and a way to enqueue into it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from narrowboat import App
from narrowboat.backends import urls
from narrowboat.backends.base import Backend
from narrowboat.core.job import Job
from tests.support import postgres_server
from tests.support.carriers import CARRIERS, Carrier
from tests.support.processes import HERE, ROOT, Host
from tests.support.servers import shared_redis


@dataclass
class Harbour:
    """The app `harbour` of harbour.py, on a database of its own."""

    folder: Path
    url: str
    module: ModuleType

    @property
    def app(self) -> App:
        return self.module.app

    @property
    def backend(self) -> Backend:
        return self.app.backend

    def job(self, job_id: str) -> Job:
        [found] = self.backend.get([job_id])
        assert found is not None
        return found

    def audit(self) -> None:
        assert self.backend.audit() == []


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty place in each store that workers share."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
    elif request.param == "redis":
        yield shared_redis().namespace()
    else:
        postgres_server.require()
        server, schema = postgres_server.shared_server(), postgres_server.new_schema()
        yield f"{server.url}&schema={schema}"
        postgres_server.drop(server, [schema])


@pytest.fixture
def harbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harbour]:
    yield from moored(tmp_path, monkeypatch, f"sqlite:///{tmp_path / 'harbour.db'}")


@contextlib.contextmanager
def brought_in(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Generator[ModuleType]:
    """An app that lies beside this, copied and imported from there, with its jobs at a URL; audited at the end."""
    shutil.copy(Path(__file__).with_name(f"{name}.py"), folder / f"{name}.py")
    folder.chmod(0o777)  # executors of a worker that is root have a user of their own
    monkeypatch.setenv("NARROWBOAT_URL", url)
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    assert module.app.backend.audit() == []
    module.app.close()
    del sys.modules[name]


def moored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[Harbour]:
    """For a fixture: the app in a folder, with its jobs at a URL."""
    monkeypatch.chdir(tmp_path)
    with brought_in("harbour", tmp_path, monkeypatch, url) as module:
        yield Harbour(tmp_path, url, module)
    for handler in module.logging.getLogger("harbour.import").handlers:
        handler.close()
    module.logging.getLogger("harbour.import").handlers.clear()


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Carrier]:
    carrier = CARRIERS[request.param](tmp_path)
    for name, value in carrier.environment.items():
        monkeypatch.setenv(name, value)
    yield carrier
    carrier.stop()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Where `narrowboat` knows the transport of the tests, too."""
    folder = tmp_path / "site"
    folder.mkdir()
    text = 'from narrowboat.backends import urls\nurls.TRANSPORTS["loopback"] = "tests.support.loopback"\n'
    (folder / "sitecustomize.py").write_text(text)
    return Host(path=f"{folder}{os.pathsep}{HERE.path}{os.pathsep}{ROOT}")


@pytest.fixture
def quay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carrier: Carrier) -> Iterator[Harbour]:
    """The app, with its jobs in SQLite and the news of them by the carrier."""
    monkeypatch.setitem(urls.TRANSPORTS, "loopback", "tests.support.loopback")
    monkeypatch.setenv("NARROWBOAT_STORE", f"sqlite:///{tmp_path / 'harbour.db'}")
    yield from moored(tmp_path, monkeypatch, carrier.url)
