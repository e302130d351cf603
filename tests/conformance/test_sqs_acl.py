"""`narrowboat acl sqs`: each role does its own work, and what is another's is refused, by the action that it lacks.

moto looks at the actions of a policy and not at its resources, so those are any here; tests/unit looks at them. And it
takes a batch for an action of its own, where IAM asks for that of a single message.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from narrowboat.backends.sqs import SqsTransport, open_transport
from narrowboat.backends.transport import Notice
from narrowboat.core.errors import ConfigError
from tests.support.aws_server import ENVIRONMENT, REGION, AwsServer

CREATE = re.compile(r"aws iam create-policy --policy-name (\S+) --policy-document '(.*)'")


class Account:
    """A service that has made the printed policies, and users that have one each."""

    def __init__(self, server: AwsServer) -> None:
        self.url = f"sqs://{REGION}?prefix=shop-&endpoint_url={server.url}"
        command = [sys.executable, "-m", "narrowboat.cli", "acl", "sqs", "--url", self.url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        self.roles = [line.split()[0] for line in printed.stderr.splitlines()]
        self.keys: dict[str, dict[str, str]] = {}
        iam = server.client("iam")
        for line in printed.stdout.splitlines():
            found = CREATE.fullmatch(line)
            assert found, line
            name, document = found[1], json.loads(found[2])
            for statement in document["Statement"]:
                statement["Resource"] = "*"
                statement["Action"] += [f"{action}Batch" for action in statement["Action"]]
            made = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))
            iam.create_user(UserName=name)
            iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
            key = iam.create_access_key(UserName=name)["AccessKey"]
            self.keys[name] = {
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            }
        self._opened: list[SqsTransport] = []
        now_enforce = urllib.request.Request(
            f"{server.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST"
        )
        urllib.request.urlopen(now_enforce, timeout=30).close()

    def as_(self, role: str, patch: pytest.MonkeyPatch) -> SqsTransport:
        """A transport with the keys of a role."""
        for name, value in self.keys[f"shop-{role}"].items():
            patch.setenv(name, value)
        self._opened.append(open_transport(self.url))
        self._opened[-1].depths([])
        return self._opened[-1]

    def close(self) -> None:
        """All of them."""
        for transport in self._opened:
            transport.close()


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    server = AwsServer()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        made = Account(server)
    yield made
    made.close()
    server.kill()


def test_a_worker_makes_queues_and_does_all_that_workers_do(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = account.as_("worker", monkeypatch)
    worker.publish([Notice("queue:images", "a:1", b"1"), Notice("queue:images", "a:2", b"2")])
    deliveries = [*worker.receive("w", ["queue:images"], 1, 20.0), *worker.receive("w", ["queue:images"], 1, 20.0)]
    worker.accept(deliveries[:1])
    worker.give_back(deliveries[1:])
    assert worker.depths(["queue:images"])["queue:images"].waiting == 1
    assert worker.setup()[1][1].startswith("1 queue ")


def test_a_web_process_publishes_and_looks_and_receives_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.as_("worker", monkeypatch).publish([Notice("queue:images", "a:1", b"1")])
    web = account.as_("web", monkeypatch)
    web.publish([Notice("queue:images", "a:2", b"2")])
    assert "queue:images" in web.depths(["queue:images"])
    with pytest.raises(ConfigError, match="they lack the action sqs:ReceiveMessage"):
        web.receive("w", ["queue:images"], 1, 20.0)
    with pytest.raises(ConfigError, match=r"no queue shop-queue-new, .*sqs:CreateQueue.*start a worker that may"):
        web.publish([Notice("queue:new", "a:1", b"1")])
    assert web.doubts()[0].startswith("these credentials may not list queues")


def test_a_sender_sends_and_does_nothing_else(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = account.as_("worker", monkeypatch)
    worker.publish([Notice("task:shop.send", "a:1", b"1")])
    sender = account.as_("sender", monkeypatch)
    sender.publish([Notice("task:shop.send", "a:2", b"2")])
    refused: dict[str, Callable[[], object]] = {
        "ReceiveMessage": lambda: sender.receive("w", ["task:shop.send"], 1, 20.0),
        "GetQueueAttributes": lambda: sender.depths(["task:shop.send"]),
    }
    for action, attempt in refused.items():
        with pytest.raises(ConfigError, match=f"they lack the action sqs:{action}"):
            attempt()


def test_every_role_is_printed(account: Account) -> None:
    assert account.roles == ["worker", "web", "sender"]
    assert list(account.keys) == ["shop-worker", "shop-web", "shop-sender"]


def test_keys_that_aws_does_not_know_are_said_to_be_refused(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stranger = open_transport(account.url)
    with pytest.raises(ConfigError, match="AWS refuses these credentials"):
        stranger.publish([Notice("queue:images", "a:1", b"1")])
    stranger.close()


def test_another_url_is_refused() -> None:
    command = [sys.executable, "-m", "narrowboat.cli", "acl", "sqs", "--url", "redis://me:secret@localhost"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "redis://me:***@localhost is no SQS" in done.stderr
