"""Which variables of the worker's environment tasks get, and which its own services keep."""

from __future__ import annotations

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
