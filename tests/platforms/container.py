"""Runs in a container with the engine's defaults, as root: what holds there, a worker of either user, the attacks."""

from __future__ import annotations

from report import end, follow, introduce, say, sh
from steps import OPEN_WITHOUT_NAMESPACES, attacks, doctor, jobs

MISSING = "no namespaces"


def rules() -> None:
    """What the engine leaves: a filter (2), capabilities."""
    say(sh("grep -E '^(Seccomp|NoNewPrivs|CapEff|CapBnd)' /proc/self/status"))


def main() -> None:
    introduce()
    follow(
        (rules,),
        (doctor, "root", MISSING),
        (doctor, "shop", MISSING),
        (jobs, "root"),
        (jobs, "shop"),
        (attacks, "root", OPEN_WITHOUT_NAMESPACES),
        (attacks, "shop", OPEN_WITHOUT_NAMESPACES),
    )
    end()


if __name__ == "__main__":
    main()
