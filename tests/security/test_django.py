"""A stock Django project, whose settings read a secret when they are imported, runs its tasks inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from narrowboat import App
from tests.support.processes import running_worker

pytestmark = pytest.mark.linux
SECRET = "the-real-one-and-only-" + "x" * 40
JOBS = """
import os

import django

from narrowboat import App, Needs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = App("shop", import_env={"SECRET_KEY": "withheld"})
django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.template import Context, Template

@app.executor_start
def close_connections():
    from django.db import connections
    connections.close_all()

@app.task
def show(name: str) -> str:
    return Template("Dear {{ name }}, {{ key }}").render(Context({"name": name, "key": settings.SECRET_KEY}))

@app.task(needs=Needs(secrets=["SECRET_KEY"]))
def sign(text: str) -> str:
    return signing.dumps(text)

@app.task(needs=Needs(write=[settings.BASE_DIR / "var"]))
def join(name: str) -> int:
    User.objects.create_user(name)
    return User.objects.count()
"""


def run(folder: Path, *words: str) -> str:
    """One of Django's own commands."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "SECRET_KEY": SECRET, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stock_django_project_runs_its_tasks_inside(tmp_path: Path) -> None:
    run(tmp_path, "-m", "django", "startproject", "shop", ".")
    settings = tmp_path / "shop" / "settings.py"
    text = settings.read_text()
    start, end = text.index("SECRET_KEY = "), text.index("\n", text.index("SECRET_KEY = "))
    text = f'import os\n{text[:start]}SECRET_KEY = os.environ["SECRET_KEY"]{text[end:]}'
    settings.write_text(text.replace("BASE_DIR / 'db.sqlite3'", "BASE_DIR / 'var' / 'db.sqlite3'"))
    assert "'var'" in settings.read_text()
    (tmp_path / "shop" / "jobs.py").write_text(JOBS)
    (tmp_path / "var").mkdir()
    run(tmp_path, "manage.py", "migrate", "--verbosity", "0")
    for path in (tmp_path / "var", tmp_path / "var" / "db.sqlite3"):
        path.chmod(0o777)  # executors of a worker that is root have a user of their own
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    app = App("shop", url=url)
    with running_worker("shop.jobs:app", url, tmp_path, "-n", "2", env={"SECRET_KEY": SECRET}):
        assert app.enqueue_by_name("shop.jobs.show", "Ada").wait(30).result == "Dear Ada, withheld"
        signed = app.enqueue_by_name("shop.jobs.sign", "hello").wait(30).result
        joined = [app.enqueue_by_name("shop.jobs.join", name).wait(30).result for name in ("ada", "grace")]
    app.close()
    check = f"from django.core import signing; print(signing.loads({signed!r}))"
    assert run(tmp_path, "manage.py", "shell", "-c", check).strip().endswith("hello")
    assert joined == [1, 2]
