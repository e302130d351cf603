"""What one attempt leaves in its scratch folder is gone before the next one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from narrowboat.executor.scratch import Scratch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def scratch(folder: Path) -> Scratch:
    scratch = Scratch(str(folder))
    scratch.take_as_tidy()
    return scratch


def test_what_comes_right_after_a_tidying_is_gone_at_the_next(scratch: Scratch, folder: Path) -> None:
    for number in range(300):  # many within one tick of the clock of files
        (folder / f"left-{number}").touch()
        assert scratch.tidy()
        assert not any(folder.iterdir())


def test_a_time_that_was_set_back_hides_nothing(scratch: Scratch, folder: Path) -> None:
    before = folder.stat()
    (folder / "left").touch()
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert scratch.tidy()
    assert not any(folder.iterdir())


def test_a_folder_that_took_its_place_is_emptied_as_well(scratch: Scratch, folder: Path) -> None:
    folder.rmdir()
    folder.mkdir()
    (folder / "left").touch()
    assert scratch.tidy()
    assert not any(folder.iterdir())
    (folder / "left").touch()
    assert scratch.tidy()
    assert not any(folder.iterdir())


def test_a_folder_that_is_gone_is_not_tidy(scratch: Scratch, folder: Path) -> None:
    folder.rmdir()
    assert not scratch.tidy()
