"""What other programs may send, and the schema in docs/ that says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from narrowboat.core.message import UNREAD, Message, Options, read_arguments, read_message, refusal, refused
from narrowboat.core.task import TaskSpec

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "message.schema.json").read_text())
TASK = "shop.mail.send"
SPEC = TaskSpec(name=TASK, queue="mail", priority=3)
ULID = "01J8ZQ5Y7RAEKXB0N3TS4M6WCD"
EVERYTHING: dict[str, Any] = {
    "id": ULID, "priority": -5, "delay_s": 1.5, "key": "k", "summary": "s", "tags": ["a", "b"], "client": "ann",
}  # fmt: skip
GOOD_OPTIONS: list[dict[str, Any]] = [
    {},
    EVERYTHING,
    {"id": None, "priority": None, "key": None},
    {"priority": 100},
    {"priority": -100},
    {"delay_s": -3},
    {"tags": []},
]
BAD_OPTIONS: list[dict[str, Any]] = [
    {"id": "7"},
    {"id": ULID.lower()},
    {"id": 7},
    {"priority": 101},
    {"priority": -101},
    {"priority": 1.5},
    {"priority": "1"},
    {"delay_s": "5"},
    {"key": 1},
    {"summary": None},
    {"tags": "a"},
    {"tags": [1]},
    {"client": None},
    {"prio": 1},
]
GOOD_JOBS = [{"v": 1, "task": TASK, **options} for options in GOOD_OPTIONS] + [
    {"v": 1, "task": TASK, "args": {"to": "ann", "n": [1, {"x": None}]}},
    {"v": 1, "task": "lonely"},
]
BAD_JOBS: list[Any] = [{"v": 1, "task": TASK, **options} for options in BAD_OPTIONS] + [
    {"task": TASK},
    {"v": 2, "task": TASK},
    {"v": "1", "task": TASK},
    {"v": 1},
    {"v": 1, "task": 7},
    {"v": 1, "task": "not a name"},
    {"v": 1, "task": "t" * 201},
    {"v": 1, "task": TASK, "args": [1]},
    {"v": 1, "task": TASK, "args": None},
    {"v": 1, "task": TASK, "queue": "other"},
    [],
    7,
]


def valid(value: Any, which: str) -> bool:
    return jsonschema.Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{which}"}]}).is_valid(value)


@pytest.mark.parametrize("value", GOOD_JOBS, ids=json.dumps)
def test_a_good_job_is_good_by_the_schema_and_by_the_reader(value: dict[str, Any]) -> None:
    job, reason = read_message(json.dumps(value).encode(), "images", {TASK: SPEC})
    assert reason == ""
    assert valid(value, "job")
    assert (job.task, job.queue, json.loads(job.args)) == (value["task"], "images", value.get("args", {}))


@pytest.mark.parametrize("value", BAD_JOBS, ids=lambda value: json.dumps(value)[:60])
def test_a_bad_job_is_bad_by_the_schema_and_by_the_reader(value: Any) -> None:
    job, reason = read_message(json.dumps(value).encode(), "images", {TASK: SPEC})
    assert "a message in the queue images cannot be read" in reason
    assert not valid(value, "job")
    assert job.queue == "images"
    assert json.loads(job.args) == {"message": json.dumps(value)}


@pytest.mark.parametrize("options", GOOD_OPTIONS, ids=json.dumps)
def test_good_arguments_are_good_by_the_schema_and_by_the_reader(options: dict[str, Any]) -> None:
    value = {"to": "ann", "$job": options}
    job, reason = read_arguments(json.dumps(value).encode(), TASK, SPEC)
    assert reason == ""
    assert valid(value, "arguments")
    assert (job.task, job.queue, json.loads(job.args)["to"]) == (TASK, "mail", "ann")


@pytest.mark.parametrize(
    "value", [{"$job": options} for options in BAD_OPTIONS] + [[], {"$job": 7}, {"$job": None}], ids=json.dumps
)
def test_bad_arguments_are_bad_by_the_schema_and_by_the_reader(value: Any) -> None:
    _, reason = read_arguments(json.dumps(value).encode(), TASK, SPEC)
    assert f"a message in the inbox of {TASK} cannot be read" in reason
    assert not valid(value, "arguments")


def test_what_a_message_says_of_its_job_is_in_the_job() -> None:
    wanted = (f"{TASK}:{ULID}", -5, 1.5, "k", "s", ("a", "b"), "ann")
    for job, _ in (
        read_message(json.dumps({"v": 1, "task": TASK, **EVERYTHING}).encode(), "images", {TASK: SPEC}),
        read_arguments(json.dumps({"$job": EVERYTHING}).encode(), TASK, SPEC),
    ):
        assert (job.id, job.priority, job.delay_s, job.key, job.summary, job.tags, job.client) == wanted
    plain, _ = read_message(b'{"v": 1, "task": "shop.mail.send"}', "images", {TASK: SPEC})
    assert plain.priority == 3, "the task's own"


def test_the_schema_names_every_field() -> None:
    fields = {field.name for field in msgspec.structs.fields(Options)}
    assert set(SCHEMA["$defs"]["arguments"]["properties"]["$job"]["properties"]) == fields
    assert set(SCHEMA["$defs"]["job"]["properties"]) == {field.name for field in msgspec.structs.fields(Message)}
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_message_that_names_no_task_is_a_job_of_a_task_for_such() -> None:
    for body in (b"hello", b"\xff\xfe", b'{"v": 1}', b"{" * 2_000):
        job, reason = read_message(body, "images", {})
        assert (job.task, job.queue) == (UNREAD, "images")
        assert "cannot be read" in reason


def test_a_message_as_large_as_no_job_may_be_is_refused() -> None:
    body = b'{"v": 1, "task": "shop.mail.send", "args": {"text": "%s"}}' % (b"x" * 300_000)
    _, reason = read_message(body, "images", {TASK: SPEC})
    assert "limit" in reason


def test_a_refused_job_says_why_until_its_arguments_are_others() -> None:
    job = refused(*read_message(b"hello", "images", {}))
    assert "cannot be read" in (refusal(job.args) or "")
    assert json.loads(job.args)["message"] == "hello"
    assert refusal(b'{"message":"hello"}') is None
    assert refusal(b'{"$refused":7}') is None


def test_the_messages_that_the_guide_shows_are_good() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "transports.md").read_text()
    shown = re.findall(r"^```json\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    assert len(shown) == 4
    for text in shown:
        value = json.loads(text)
        which = "job" if "v" in value else "arguments"
        assert valid(value, which)
        read = read_message(text.encode(), "q", {}) if which == "job" else read_arguments(text.encode(), TASK, SPEC)
        assert read[1] == ""
