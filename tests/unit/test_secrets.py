"""Which variables of the worker's environment tasks get, and which its own services keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from narrowboat.backends.gearman import open_transport as open_gearman
from narrowboat.backends.memory import MemoryBackend
from narrowboat.backends.postgres import PostgresBackend
from narrowboat.backends.relay.backend import RelayBackend
from narrowboat.backends.sqs import open_transport as open_sqs
from narrowboat.core.errors import ConfigError
from narrowboat.core.needs import Needs, Reach
from narrowboat.worker.secrets import Secrets

TRUSTED = Reach(trusted=True)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s%26cret@db",
        "gearman://app:s%26cret@a:4730,b:4730",
        "postgresql://db/jobs?schema=x&password=s%26cret",
        "amqp://app:s%26cret@rabbit/%2F",
    ],
)
def test_trusted_tasks_get_no_variable_with_the_password_of_a_backend(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for name, value in {"AS_WRITTEN": "s%26cret", "AS_MEANT": "x s&cret x", "WHOLE": url, "OTHER": "x"}.items():
        monkeypatch.setenv(name, value)
    environment = Secrets([url]).environment_for(TRUSTED)
    assert environment.keys() & {"AS_WRITTEN", "AS_MEANT", "WHOLE", "OTHER"} == {"OTHER"}


def test_variables_that_a_service_reads_go_only_to_tasks_that_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryBackend()
    store.variables = PostgresBackend.variables
    relay = RelayBackend(open_sqs("sqs://eu-west-1"), store)
    named = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "PGPASSWORD",
             "PGPASSFILE"}  # fmt: skip
    for name in (*named, "AWS_REGION", "PGHOST"):
        monkeypatch.setenv(name, "x")
    secrets = Secrets(relay.urls, variables=relay.variables)
    assert secrets.environment_for(TRUSTED).keys() & {*named, "AWS_REGION", "PGHOST"} == {"AWS_REGION", "PGHOST"}
    reach = Needs.trusted(secrets=["PGPASSWORD"]).policy("shop.old").reach
    assert secrets.environment_for(reach).keys() & named == {"PGPASSWORD"}
    assert reach.in_words() == "trusted: the worker's environment, network and files; secrets PGPASSWORD"
    assert RelayBackend(open_gearman("gearman://a"), MemoryBackend()).variables == ()


def test_a_trusted_task_names_nothing_but_secrets() -> None:
    with pytest.raises(ConfigError, match="has everything already"):
        Needs(network=True, is_trusted=True).policy("shop.old")


def test_a_secret_is_a_variable_or_else_a_file_and_only_for_those_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, names in (("credentials", ("B",)), ("mounted", ("A", "B", "C"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text(f"{name} of {folder}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("A", "A of the environment")
    secrets = Secrets(folders=[str(tmp_path / "nowhere"), str(tmp_path / "mounted")])
    found = secrets.environment_for(Reach(secrets=("A", "B", "C")))
    assert [found[name] for name in "ABC"] == ["A of the environment", "B of credentials", "C of mounted"]
    assert not secrets.environment_for(Reach(secrets=("B",))).keys() & {"A", "C"}
    assert not secrets.environment_for(Reach()).keys() & {"A", "B", "C", "CREDENTIALS_DIRECTORY"}
    assert str(tmp_path / "credentials") in secrets.folders  # and so hidden from tasks


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    with pytest.raises(ConfigError, match=f"the secret A cannot be read from {tmp_path / 'A'}: Is a directory"):
        Secrets(folders=[str(tmp_path)]).environment_for(Reach(secrets=("A",)))
    with pytest.raises(ConfigError, match=f"the secret B, which is neither .* nor a file in {tmp_path}"):
        Secrets(folders=[str(tmp_path)]).environment_for(Reach(secrets=("B",)))
