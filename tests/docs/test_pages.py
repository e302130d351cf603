"""The docs say what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import narrowboat
from docs.generate import PAGES
from tests.support import postgres_server
from tests.support.aws_server import ENVIRONMENT, REGION, AwsServer
from tests.support.processes import ROOT, running_worker
from tests.support.servers import program

from . import pages

MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run `make docs`"


def test_the_lines_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    code, test = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "shop.py").write_text(code)
    (tmp_path / "test.py").write_text("from shop import app, greet\n" + test)
    (tmp_path / "pyproject.toml").write_text("")
    url = f"sqlite:///{tmp_path / 'narrowboat.db'}"
    with running_worker("shop:app", url, tmp_path, "-n", "1"):
        done = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("Hello, Ada!Hello, Ada!\n", "")
    subprocess.run([sys.executable, "test.py"], cwd=tmp_path, check=True, timeout=120)


SERVERS = {"redis.md": ("redis-server", "redis-cli"), "postgresql.md": ("psql",), "sqs.md": ("curl",)}
RUN = [page for page in MARKDOWN if any(map(pages.is_run, pages.blocks(page)))]


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What a page says that its reader has."""
    name = request.getfixturevalue("page").name
    if name == "sqs.md":
        aws = AwsServer()
        yield {**ENVIRONMENT, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL_SQS": aws.url}
        aws.kill()
        return
    if name not in ("postgresql.md", "transactions.md"):
        yield {}
        return
    server = postgres_server.shared_server()
    with server.connect() as connection:
        connection.execute("CREATE DATABASE shop")
        yield {"NARROWBOAT_URL": f"postgresql:///shop?host={server.folder}", "PGUSER": "postgres"}
        connection.execute("DROP DATABASE shop WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS app")


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    for name in SERVERS.get(page.name, ()):
        program(name)
    assert pages.Session(tmp_path, environment).run(page) > 0


def test_the_guides_are_among_the_pages_that_are_run() -> None:
    guides = {
        "async",
        "backends",
        "browser",
        "changing-a-task",
        "development",
        "enqueueing",
        "files",
        "hooks",
        "postgresql",
        "redis",
        "sqs",
        "testing",
        "the-talk",
        "transactions",
        "tutorial",
        "workers",
    }
    assert {f"{name}.md" for name in guides} <= {page.name for page in RUN}


def test_the_runner_of_pages_sees_what_is_wrong(tmp_path: Path) -> None:
    for text in ("$ echo a\nb", "$ exit 3", "$ echo a\n...b", "$ sleep 60 &\nnever"):
        page = tmp_path / "page.md"
        page.write_text(f"```console\n{text}\n```\n")
        session = pages.Session(tmp_path)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(pages, "PATIENCE_S", 0.3)
            session.run(page)
    page.write_text("```console\n$ printf 'a\\nbcd\\ne\\n'\na\nb...d\n...\n$ exit 3  # status 3\n```\n")
    assert pages.Session(tmp_path).run(page) == 1


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.name)
def test_files_that_pages_name_exist(page: Path) -> None:
    for target in re.findall(r"`((?:src|tests|examples|benchmarks|docs|narrowboat)/[\w./-]+)`", page.read_text()):
        assert (ROOT / target).exists() or (ROOT / "src" / target).exists(), target


@pytest.mark.parametrize("name", [n for n in narrowboat.__all__ if n != "__version__"])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert (getattr(narrowboat, name).__doc__ or "").strip()


def test_every_module_says_what_it_is() -> None:
    for file in (ROOT / "src").rglob("*.py"):
        assert ast.get_docstring(ast.parse(file.read_text())), file
