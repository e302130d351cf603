"""What is known about the walls of this host, property by property, after attacking them from inside."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

ENFORCED, PARTIAL, MISSING, DECLARED = "enforced", "partial", "missing", "declared"
PROPERTIES = {
    "secrets": "reading the worker's environment and memory",
    "files read": "reading other people's uploads, keys, the database",
    "files written": "writing anywhere but into its scratch folder",
    "programs": "starting a shell, or a delegate of ImageMagick",
    "network": "reaching other hosts, local services, cloud metadata",
    "signals": "signals to the worker and other executors",
    "memory": "bombs that take the machine's memory",
    "processor": "loops that never end, floods of threads",
    "time": "attempts past their timeout",
    "clean-up": "helpers and files that outlive the attempt",
}


class Finding(msgspec.Struct, frozen=True):
    """One property. state: enforced, partial, missing, or declared: the task asked for it. why: for people."""

    name: str
    state: str
    why: str = ""


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """Harmless targets that the worker made. worker: its pid; read: a file; write: a folder; port: where it listens.

    is_grouped: the one who is asked is in a cgroup of its own; is_weighed: the worker can see how much memory it has.
    """

    worker: int
    read: str
    write: str
    port: int
    is_grouped: bool = False
    is_weighed: bool = False


def lacking(findings: Sequence[Finding]) -> list[Finding]:
    """Those that do not hold."""
    return [finding for finding in findings if finding.state in (PARTIAL, MISSING)]


def in_words(findings: Sequence[Finding]) -> str:
    """One line: what is enforced, and what is not."""
    weak = lacking(findings)
    if not weak:
        return "every property enforced"
    return "not enforced: " + "; ".join(f"{finding.name} ({finding.why})" for finding in weak)
