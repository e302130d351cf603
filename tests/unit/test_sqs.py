"""Amazon SQS without a service: names, batches, policies, URLs."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrowboat.backends.sqs import address_of, open_transport
from narrowboat.backends.sqs.acl import ROLES, policy
from narrowboat.backends.sqs.messages import LARGEST, body_of, entry_for
from narrowboat.backends.sqs.names import queue_name
from narrowboat.backends.sqs.service import MOST_BYTES, batches
from narrowboat.backends.transport import Notice
from narrowboat.core.errors import BackendUnavailable, ConfigError, PayloadTooLarge


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("queue:images", "nb-queue-images"),
        ("queue:high-priority_2", "nb-queue-high-priority_2"),
        ("task:studio.images.text_to_image", "nb-task-studio--images--text_to_image"),
    ],
)
def test_names_can_be_read(channel: str, name: str) -> None:
    assert queue_name("nb-", channel) == name


def test_a_line_that_is_cut_while_it_is_sealed_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with line:
                        line.recv(4096)

        threading.Thread(target=hang_up, daemon=True).start()
        endpoint = f"https%3A//127.0.0.1%3A{server.getsockname()[1]}"
        transport = open_transport(f"sqs://eu-west-1?endpoint_url={endpoint}")
        with pytest.raises(BackendUnavailable):
            transport.publish([Notice("queue:a", "t:1", b"{}", 0)])
        transport.close()
        server.shutdown(socket.SHUT_RDWR)


CHANNELS = st.one_of(
    st.text(max_size=120),
    st.tuples(st.sampled_from(["queue", "task"]), st.text("ab.-_é", max_size=90)).map(":".join),
    st.text("a.-", max_size=4).map(lambda name: f"queue:{name}"),
)


@given(CHANNELS, CHANNELS)
def test_no_two_channels_have_one_name_and_every_name_is_allowed(one: str, two: str) -> None:
    names = [queue_name("shop-", channel) for channel in (one, two)]
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,80}", name) for name in names)
    assert "shop-dead" not in names
    assert (names[0] == names[1]) == (one == two)


@pytest.mark.parametrize(
    "channel", ["queue:a--b", "queue:Bilder für Ada", f"task:{'long.' * 30}end", "nothing", "queue:", "a:b"]
)
def test_what_a_name_cannot_hold_is_hashed_and_no_channel_can_take_a_hashed_name(channel: str) -> None:
    name = queue_name("nb-", channel)
    assert re.fullmatch("nb-(queue|task|other)-.*-[0-9a-f]{16}", name)
    kind, _, rest = name.removeprefix("nb-").partition("-")
    assert queue_name("nb-", f"{kind}:{rest}") != name


def test_a_request_has_ten_messages_at_most_and_no_more_bytes_than_fit() -> None:
    assert [len(batch) for batch in batches([{"MessageBody": "x"}] * 25)] == [10, 10, 5]
    large = [{"MessageBody": "ü" * 50_000}] * 5
    assert [len(batch) for batch in batches(large)] == [2, 2, 1]
    assert all(sum(len(one["MessageBody"].encode()) for one in batch) <= MOST_BYTES for batch in batches(large))


@given(st.one_of(st.binary(min_size=1, max_size=50), st.text(min_size=1, max_size=50).map(str.encode)))
def test_every_body_travels_as_text_that_xml_can_carry(body: bytes) -> None:
    entry = entry_for(Notice("queue:a", "a:1", body))
    text = entry["MessageBody"]
    assert not re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    assert body_of({"Body": text, "MessageAttributes": entry.get("MessageAttributes", {})}) == body


def test_json_travels_as_it_is_and_an_attribute_of_others_does_no_harm() -> None:
    assert entry_for(Notice("queue:a", "a:1", '{"a":"ü"}'.encode())) == {"MessageBody": '{"a":"ü"}'}
    assert (
        body_of({"Body": "no base64!", "MessageAttributes": {"encoding": {"StringValue": "base64"}}}) == b"no base64!"
    )


@pytest.mark.parametrize("body", [b"x" * (LARGEST + 1), b"\0" * LARGEST])
def test_a_body_that_is_too_large_is_refused_before_anything_is_sent(body: bytes) -> None:
    transport = open_transport("sqs://eu-west-1?endpoint_url=http://127.0.0.1:1")
    with pytest.raises(PayloadTooLarge, match=f"a:1 has .* SQS is given at most {LARGEST}"):
        transport.publish([Notice("queue:a", "a:0", b"{}"), Notice("queue:a", "a:1", body)])


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqs://eu-west-1?prefx=a", "there is no setting 'prefx'; known: prefix, endpoint_url, visibility"),
        ("sqs://eu-west-1?prefix=a.b", "a prefix has 1 to 40 letters"),
        ("sqs://eu-west-1/queue", "write sqs://eu-west-1"),
        ("sqs://me:secret@eu-west-1", r"sqs://me:\*\*\*@eu-west-1.*write sqs://eu-west-1"),
        ("sqs://?endpoint_url=localhost:9324", "begins with https:// or http://"),
        ("sqs://?visibility=0", "visibility is a number of seconds, 1 to 43200"),
        ("sqs://?visibility=43201", "visibility is a number of seconds"),
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_with_what_to_write(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_transport(url)


def test_what_people_see_has_no_password() -> None:
    transport = open_transport("sqs://?endpoint_url=http://me:secret@localhost:9324&prefix=a")
    assert "secret" not in transport.location


def test_policies_name_the_queues_of_their_prefix_and_nothing_else() -> None:
    for role in ROLES:
        for statement in policy(address_of("sqs://cn-north-1?prefix=shop-"), role)["Statement"]:
            if statement["Action"] != ["sqs:ListQueues"]:
                assert all(name.startswith("arn:aws-cn:sqs:cn-north-1:*:shop-") for name in statement["Resource"])
                assert not any("*" in action for action in statement["Action"])
    actions = {
        role: {a for s in policy(address_of("sqs://"), role)["Statement"] for a in s["Action"]} for role in ROLES
    }
    assert actions["sender"] == {"sqs:GetQueueUrl", "sqs:SendMessage"}
    assert not {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:CreateQueue"} & actions["web"]
    assert not {"sqs:DeleteQueue", "sqs:PurgeQueue", "sqs:SetQueueAttributes"} & actions["worker"]
