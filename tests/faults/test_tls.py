"""Over TLS: a worker does its jobs, and a server that cannot show who it is gets none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from narrowboat.backends.urls import open_backend
from narrowboat.core.errors import BackendUnavailable, ConfigError
from narrowboat.core.job import NewJob
from tests.support.certificates import Certificates, issued
from tests.support.postgres_server import PostgresServer, programs, require
from tests.support.processes import running_worker
from tests.support.servers import RedisServer, free_port

from .conftest import Harbour, moored


@dataclass
class Sealed:
    """A server that takes TLS only. `url`: for who trusts its authority; `doubtful`: for who trusts another."""

    url: str
    doubtful: str
    plain: str


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def on_redis(tmp_path: Path, certificates: Certificates) -> Iterator[Sealed]:
    port = free_port()
    files = ("--tls-cert-file", certificates.certificate, "--tls-key-file", certificates.key)
    options = ("--tls-port", str(port), *map(str, files), "--tls-ca-cert-file", str(certificates.authority))
    server = RedisServer(tmp_path, *options, "--tls-auth-clients", "no")
    place = f"rediss://127.0.0.1:{port}"
    yield Sealed(
        f"{place}?ssl_ca_certs={certificates.authority}",
        f"{place}?ssl_ca_certs={certificates.stranger}",
        f"redis://127.0.0.1:{port}",
    )
    server.stop()


@pytest.fixture
def on_postgres(certificates: Certificates) -> Iterator[Sealed]:
    require()
    assert programs() is not None
    server = PostgresServer(address="127.0.0.1")
    for name, found in (("server.crt", certificates.certificate), ("server.key", certificates.key)):
        shutil.copy(found, server.data / name)
        (server.data / name).chmod(0o600)
        shutil.chown(server.data / name, server.user.pw_uid, server.user.pw_gid)
    rules = server.data / "pg_hba.conf"
    rules.write_text("local all all trust\nhostssl all all samenet trust\n")
    server.stop()
    server.serve(ssl="on")
    place = f"{server.url}&sslmode=verify-full&sslrootcert="
    yield Sealed(f"{place}{certificates.authority}", f"{place}{certificates.stranger}", f"{server.url}&sslmode=disable")
    server.remove()


@pytest.fixture(params=["redis", "postgres"])
def sealed(request: pytest.FixtureRequest) -> Sealed:
    return request.getfixturevalue(f"on_{request.param}")


@pytest.fixture
def harbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: Sealed) -> Iterator[Harbour]:
    yield from moored(tmp_path, monkeypatch, sealed.url)


def test_a_worker_does_its_jobs_over_tls(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2"):
        jobs = [harbour.module.nothing.enqueue() for _ in range(200)]
        states = [job.wait(30).state for job in jobs]
    assert states == ["succeeded"] * 200
    large = NewJob(id="harbour.nothing:large", task="harbour.nothing", args=b'["' + b"x" * 900_000 + b'"]')
    harbour.backend.enqueue([large])  # many records of TLS
    assert harbour.job(large.id).args == large.args


def test_a_server_that_cannot_show_who_it_is_gets_nothing_and_is_not_asked_again(sealed: Sealed) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match="certificate verify failed"):
        enqueue_one(sealed.doubtful)
    assert time.monotonic() - began < 4.8, "the time of a call, 5 s, was spent on trying again"


def test_nothing_goes_in_the_open_to_a_server_that_takes_tls_only(sealed: Sealed) -> None:
    with pytest.raises((ConfigError, BackendUnavailable)):
        enqueue_one(sealed.plain)
    enqueue_one(sealed.url)


def enqueue_one(url: str) -> None:
    backend = open_backend(url)
    try:
        backend.enqueue([NewJob(id="t:1", task="t")])
    finally:
        backend.close()
