"""Users of the server for each kind of process, with no more than it needs: by command, and by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_CONNECT = "ping time info client|id client|unblock client|setname client|getname select"
_SCRIPTS = "evalsha eval"
_READ = (
    "exists hget hmget hgetall hkeys hlen hexists hscan zrange zscore zcard zcount zrank smembers sismember"
    " scard lrange lindex pubsub|numsub"
)
_WRITE = (
    "hset hsetnx hdel hincrby incrby zadd zrem zpopmin zremrangebyrank sadd srem rpush lpop ltrim del unlink publish"
    " blpop subscribe unsubscribe"
)

# What enqueueing and cancelling write. Not: claims, workers, gates and what they remember, what tasks are known.
_LINES = (
    *("count", "counts", "clients:*", "job:*", "keys", "lane:*", "lanes:*", "open:*", "held", "lines:*"),
    *("scheduled", "bell*", "batch:*", "batches", "members:*"),
)
_GATES = ("gates", "meters", "breakers", "due-gates", "paused-schedules")
_CANCEL = ("done:*", "cancelling:*", "cancels")


class User(NamedTuple):
    """writes, pushes: keys; "" is the prefix alone, which every script names. reads: all keys, or those."""

    what_for: str
    commands: str
    writes: tuple[str, ...] = ()
    pushes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("*",)
    hears: bool = True


USERS = {
    "worker": User(
        "workers: everything under the keys of the namespace", f"{_CONNECT} {_SCRIPTS} {_READ} {_WRITE}", ("*",)
    ),
    "web": User(
        "web processes: enqueue, cancel, status",
        f"{_CONNECT} {_SCRIPTS} {_READ} {_WRITE}",
        ("", "jobs", *_LINES, *_CANCEL),
    ),
    "dashboard": User(
        "people: look, cancel, retry, pause, adjust",
        f"{_CONNECT} {_SCRIPTS} {_READ} {_WRITE}",
        ("", "dead:*", *_GATES, *_LINES, *_CANCEL),
    ),
    "inbox": User(
        "other languages: push messages, read how their jobs are",
        "ping rpush hget hmget hgetall exists",
        pushes=("inbox:*", "bell"),
        reads=("job:*",),
        hears=False,
    ),
}


def rules(prefix: str, passwords: Mapping[str, str]) -> list[str]:
    """An ACL SETUSER for each user of `passwords`, which is named after the namespace: <namespace>-<user>."""
    return [_rule(prefix, name, password) for name, password in passwords.items()]


def name_of(namespace: str, user: str) -> str:
    """What a user is called on the server."""
    return f"{namespace}-{user}"


def _rule(prefix: str, name: str, password: str) -> str:
    user = USERS[name]
    words = ["ACL SETUSER", name_of(prefix[4:-2], name), "reset", "on", f">{password}"]
    words += [f"%R~{prefix}{key}" for key in user.reads]
    words += [f"%RW~{prefix}{key}" for key in user.writes]
    words += [f"%W~{prefix}{key}" for key in user.pushes]
    words += [f"&{prefix}changed"] if user.hears else []
    words += [f"+{command}" for command in user.commands.split()]
    return " ".join(words)
