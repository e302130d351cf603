"""ImageTragick and its kin do harm in the open, and none in a worker's executors; honest pictures come out of both."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from ctypes.util import find_library

import pytest

from narrowboat import App

from . import pictures, table
from .pictures import CASES, CRASHES, NO_LONGER, POLICY, REFUSED, WAYS, WORKS, Found, Ground

HAS_IMAGEMAGICK = shutil.which("convert-im6.q16") and find_library("MagickWand-6.Q16")
pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can put another policy over ImageMagick's own"),
    pytest.mark.skipif(
        not HAS_IMAGEMAGICK and os.environ.get("CI") != "true",
        reason="ImageMagick 6 is not installed (Debian: apt install imagemagick libmagickwand-6.q16-6)",
    ),
]
# What Debian's 6.9.11-60 does not do any more, even where its policy allows it.
REMEDIED = {
    "the talk's picture": NO_LONGER,
    "the same, with https": NO_LONGER,
    "a script that writes": CRASHES,
    "a file that is removed when read": NO_LONGER,
    "a local server asked, by a picture": NO_LONGER,
}
SIZES = {"photo.png": [80, 60], "photo.jpg": [80, 60], "photo.webp": [80, 60]}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with pictures.ground_for_pictures() as ground:
        yield ground


@pytest.fixture(scope="module")
def open_(ground: Ground) -> Found:
    return pictures.in_the_open(ground)


@pytest.fixture(scope="module", params=[False, True], ids=["default", "no namespaces"])
def worker(ground: Ground, request: pytest.FixtureRequest) -> Iterator[App]:
    with pictures.gallery(ground, is_container=request.param) as app:
        yield app


def test_in_the_open_they_do_harm_but_for_what_this_version_does_not_do_any_more(open_: Found) -> None:
    expected = {case.name: REMEDIED.get(case.name, WORKS) for case in CASES}
    assert open_ == dict.fromkeys(WAYS, expected)


def test_in_a_worker_none_does_harm(ground: Ground, worker: App) -> None:
    expected = {case.name: CRASHES if REMEDIED.get(case.name) == CRASHES else REFUSED for case in CASES}
    assert pictures.inside(ground, worker) == dict.fromkeys(WAYS, expected)


def test_it_is_the_sandbox_that_makes_the_difference(ground: Ground) -> None:
    harmful = [case for case in CASES if case.name not in REMEDIED and case.name != "a bomb"]
    with pictures.gallery(ground, "--sandbox", "off") as app:
        found = pictures.inside(ground, app, harmful)
    assert found == dict.fromkeys(WAYS, dict.fromkeys((case.name for case in harmful), WORKS))


@pytest.mark.parametrize("way", WAYS)
def test_honest_pictures_come_out(worker: App, way: str) -> None:
    sizes = worker.enqueue_by_name(f"gallery.honest_{way}").wait(60).result
    width, height = sizes.pop("text")
    assert sizes == SIZES
    assert width > height > 5


def test_the_policy_in_there_allows_everything(worker: App) -> None:
    record = worker.enqueue_by_name("gallery.policy").wait(30).record
    assert json.loads(record.result) == POLICY


def test_the_page_about_security_shows_what_a_run_found(ground: Ground, open_: Found) -> None:
    results = [open_]
    for is_container in (False, True):
        with pictures.gallery(ground, is_container=is_container) as app:
            results.append(pictures.inside(ground, app))
    assert pictures.table(*results) in table.PAGE.read_text(), "run `make security`"
