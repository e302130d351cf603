"""Everything that the sandbox forbids is tried: in the open, where it works, and inside, where it does not."""

from __future__ import annotations

import platform
import re
import signal
from pathlib import Path

import pytest

from . import table
from .attacks import ATTACKS, IMPOSSIBLE
from .ground import EXECUTOR_USER, USER, ground_for, run_attacks
from .marks import NEEDS_PYTHON, TAKES_TURNS

pytestmark = [*TAKES_TURNS, NEEDS_PYTHON]
NAMES = [name for group in ATTACKS.values() for name in group]

# What an ordinary user cannot do anyway, or this kernel does not let even root do: no claim is made of these.
BEYOND_A_USER = {
    "make_a_device",
    "open_by_handle",
    "open_a_packet_socket",
    "type_into_a_terminal",
    "mount_something",
    "read_the_kernel_log",
    "become_root_again",
}
# What may not be there at all, on the processors that have it; that the filter stops it is seen in any case.
NOT_IN_EVERY_KERNEL = {"make_a_call_of_x32"}
# What namespaces alone hold back. docs/security.md says so.
OPEN_WITHOUT_NAMESPACES = {
    "see_whether_a_file_exists",
    "execute_a_written_file",
    "fill_the_scratch_folder",
    "thread_bomb",
}


def succeeded(results: dict[str, str]) -> set[str]:
    """Those that did what they set out to do."""
    broken = {name: text for name, text in results.items() if text.startswith("error")}
    assert not broken, broken
    assert set(results) == set(NAMES)
    return {name for name, text in results.items() if text and not text.startswith(("killed", IMPOSSIBLE))}


def test_there_are_enough_attacks_and_each_says_what_it_is() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 50
    assert all(function.__doc__ for group in ATTACKS.values() for function in group.values())


@pytest.mark.parametrize("user", [0, USER], ids=["root", "user"])
def test_in_the_open_the_attacks_work(user: int) -> None:
    with ground_for(user) as ground:
        results, _ = run_attacks(NAMES, ground, user=user, walls=False)
    impossible = {name for name, text in results.items() if text.startswith(IMPOSSIBLE)}
    assert impossible <= NOT_IN_EVERY_KERNEL
    assert set(NAMES) - succeeded(results) - impossible <= (BEYOND_A_USER if user else set())


@pytest.mark.parametrize("user", [0, USER], ids=["root", "user"])
def test_inside_none_of_them_works(user: int) -> None:
    with ground_for(user) as ground:
        results, layers = run_attacks(NAMES, ground, user=user, walls=True)
        assert Path(ground["secret_file"]).read_text() == Path(ground["open_file"]).read_text() == "a secret"
        assert {path.name for path in Path(ground["open_folder"]).iterdir()} == {"file", "victim", "mover"}
    assert re.fullmatch(r"namespaces and a root of its own, Landlock \d+, seccomp", layers)
    assert succeeded(results) == set()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have one table of calls")
def test_calls_by_another_table_are_the_end() -> None:
    """Though they are made: behind all walls, no code of one's own can be run, and so no such call be tried."""
    names = ["make_a_32_bit_call", "make_a_call_of_x32"]
    with ground_for(0) as ground:
        results, _ = run_attacks(names, ground, user=0, walls=True, only=["seccomp"])
    assert results == dict.fromkeys(names, f"killed by signal {int(signal.SIGSYS)}")


@pytest.mark.parametrize("user", [0, USER], ids=["root", "user"])
def test_without_namespaces_exactly_what_is_documented_works(user: int) -> None:
    with ground_for(user) as ground:
        results, layers = run_attacks(NAMES, ground, user=user, walls=True, restricted=True)
    assert layers.startswith("Landlock") and layers.endswith("seccomp")
    assert succeeded(results) == OPEN_WITHOUT_NAMESPACES


def test_the_page_about_security_shows_what_a_run_found() -> None:
    with ground_for(0) as ground:
        in_the_open, _ = run_attacks(NAMES, ground, user=0, walls=False)
    with ground_for(0) as ground:
        inside, _ = run_attacks(NAMES, ground, user=0, walls=True)
    with ground_for(0) as ground:
        floor, _ = run_attacks(NAMES, ground, user=0, walls=True, restricted=True)
    assert table.of(in_the_open, inside, floor) in table.PAGE.read_text(), "run `make security`"


def test_executors_of_a_root_worker_are_nobody() -> None:
    import pwd

    with pytest.raises(KeyError):
        pwd.getpwuid(EXECUTOR_USER)
