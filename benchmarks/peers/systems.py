"""What is compared, and at which settings: those that each one's own documentation advises for throughput.

Where it advises nothing, the default stands, or what its own benchmark uses. No worker logs a line for each job.
"""

from __future__ import annotations

from dataclasses import replace

from .system import Again, Command, System

AT_ONCE = 1000
GEVENT = "gevent==26.9.*"
HIREDIS = ("redis[hiredis]",)


_OPEN = (
    "import sys; from narrowboat.app.app import App; from narrowboat.core.errors import NarrowboatError\n"
    "try: App('bench').backend.close()\n"
    "except NarrowboatError as error: sys.exit(str(error))"
)


def _narrowboat(server: str, rough: int) -> System:
    return System(
        name=f"Narrowboat, {server}",
        app="narrowboat_app",
        server=server,
        again=Again(True, "within seconds on one machine, else after a lease of 30 s", "docs/promises.md"),
        short=Command(("-m", "narrowboat.cli", "worker", "{apps}.narrowboat_app:app", "-n", "{n}", "--url", "{url}")),
        waiting=Command(
            ("-m", "narrowboat.cli", "worker", "{apps}.narrowboat_app:app", "-n", "{n}", "--url", "{url}"), AT_ONCE
        ),
        settings="defaults: sandboxed executors, a task's own concurrency of 1,000 where it waits",
        kept="a record for a day",
        rough=rough,
        rough_waiting=10_000,
        prepare=(("-c", _OPEN),),
    )


NARROWBOAT_REDIS = _narrowboat("redis", 20_000)
NARROWBOAT_POSTGRESQL = _narrowboat("postgresql", 5_000)
NARROWBOAT_SQLITE = _narrowboat("sqlite", 20_000)

CELERY = System(
    name="Celery",
    app="celery_app",
    server="redis",
    again=Again(
        False,
        "lost: acknowledged before it runs",
        "https://docs.celeryq.dev/en/stable/userguide/optimizing.html#reserve-one-task-at-a-time",
    ),
    short=Command(("-m", "celery", "-A", "{apps}.celery_app", "worker", "-c", "{n}", "-l", "WARNING")),
    waiting=Command(
        (
            *("-m", "celery", "-A", "{apps}.celery_app", "worker", "-P", "gevent", "-c", "{at_once}"),
            *("-n", "w{name}@%h", "-l", "WARNING"),
        ),
        AT_ONCE,
        is_for_each=True,
    ),
    settings="prefork, prefetch multiplier 128; jobs that wait: gevent, 1,000 greenlets, multiplier 1",
    kept="nothing",
    rough=1_000,
    rough_waiting=1_000,
    packages=("celery[redis]==5.7.*", "hiredis", GEVENT),
)
CELERY_LATE = replace(
    CELERY,
    name="Celery, acks late",
    again=Again(
        True,
        "after the visibility timeout of 1 h",
        "https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html#visibility-timeout",
    ),
    settings=f"{CELERY.settings}; task_acks_late, task_reject_on_worker_lost",
    env={"BENCH_ACKS_LATE": "1"},
)

_RQ_LOST = Again(
    False,
    "ends among the failed jobs, as abandoned, unless it was enqueued with retries",
    "https://python-rq.org/docs/exceptions/#abandonedjoberror",
)
_RQ = ("-m", "rq.cli", "worker-pool", "-n", "{n}", "--url", "{url}", "--quiet", "-w")
RQ = System(
    name="RQ",
    app="rq_app",
    server="redis",
    again=_RQ_LOST,
    short=Command((*_RQ, "{apps}.rq_app.Worker")),
    waiting=Command((*_RQ, "{apps}.rq_app.Worker")),
    settings="worker-pool, a fork for each job, the tasks' module imported before",
    kept="the job and its result for 500 s",
    rough=80,
    rough_waiting=15,
    packages=("rq==3.0.*", *HIREDIS),
)
RQ_SIMPLE = replace(
    RQ,
    name="RQ, SimpleWorker",
    short=Command((*_RQ, "{apps}.rq_app.SimpleWorker")),
    waiting=Command((*_RQ, "{apps}.rq_app.SimpleWorker")),
    settings="worker-pool, SimpleWorker: no fork (not advised for production by its documentation)",
    rough=500,
)

DRAMATIQ = System(
    name="Dramatiq",
    app="dramatiq_app",
    server="redis",
    again=Again(
        True,
        "when other workers' upkeep finds it dead, 60 s without a heartbeat",
        "https://dramatiq.io/advanced.html#message-persistence",
    ),
    short=Command(("-m", "dramatiq", "{apps}.dramatiq_app", "-p", "{n}", "-t", "8"), 8),
    waiting=Command(("{bin}/dramatiq-gevent", "{apps}.dramatiq_app", "-p", "{n}", "-t", "{at_once}"), 250),
    settings="8 threads a process (default); jobs that wait: dramatiq-gevent, 250 greenlets",
    kept="nothing",
    rough=1_000,
    rough_waiting=1_000,
    packages=("dramatiq[redis]==2.2.*", "hiredis", GEVENT),
)

HUEY = System(
    name="Huey",
    app="huey_app",
    server="redis",
    again=Again(
        False,
        "lost: no acknowledgement",
        "https://huey.readthedocs.io/en/latest/consumer.html#consumer-shutdown",
    ),
    short=Command(
        ("{bin}/huey_consumer", "{apps}.huey_app.huey", "-k", "process", "-w", "{n}", "--quiet"),
    ),
    waiting=Command(
        ("{bin}/huey_consumer", "{apps}.huey_app.huey", "-k", "greenlet", "-w", "{at_once}", "--quiet"),
        500,
        is_for_each=True,
    ),
    settings="processes; jobs that wait: 500 greenlets",
    kept="nothing",
    rough=2_000,
    rough_waiting=1_500,
    packages=("huey==3.5.*", *HIREDIS, GEVENT),
)

_ARQ = ("-m", "arq", "{apps}.arq_app.WorkerSettings", "--custom-log-dict", "{apps}.arq_app.QUIET")
ARQ = System(
    name="arq",
    app="arq_app",
    server="redis",
    again=Again(
        True,
        "when its mark has expired, 310 s after it began",
        "https://arq-docs.helpmanual.io/#pessimistic-execution",
    ),
    short=Command(_ARQ, 100, is_for_each=True),
    waiting=Command(_ARQ, AT_ONCE, is_for_each=True),
    settings="poll_delay 10 ms, max_jobs 100; jobs that wait: 1,000",
    kept="its result for an hour",
    rough=800,
    rough_waiting=1_000,
    packages=("arq==0.28.*", "hiredis"),
)

_SAQ = ("-m", "saq", "{apps}.saq_app.settings", "--workers", "{n}")
SAQ = System(
    name="SAQ",
    app="saq_app",
    server="redis",
    again=Again(
        True,
        "by a sweep every 60 s, when its timeout of 10 s has passed; only with retries > 1",
        "https://saq-py.readthedocs.io/en/latest/_modules/saq/queue/redis.html",
    ),
    short=Command(_SAQ, 32),
    waiting=Command(_SAQ, AT_ONCE),
    settings="concurrency 32, retries 3; jobs that wait: 1,000",
    kept="the job and its result for 10 min",
    rough=1_500,
    rough_waiting=1_500,
    packages=("saq[redis,hiredis]==0.26.*", "typing_extensions"),
)

_TASKIQ = (
    *("-m", "taskiq", "worker", "{apps}.taskiq_app:broker", "--workers", "{n}", "--log-level", "WARNING"),
    *("--max-async-tasks", "{at_once}", "--max-prefetch", "{at_once}"),
)
TASKIQ = System(
    name="taskiq, stream",
    app="taskiq_app",
    server="redis",
    again=Again(
        True,
        "when it was idle for 10 min and another worker asks for such",
        "https://github.com/taskiq-python/taskiq-redis#stream",
    ),
    short=Command(_TASKIQ, 100),
    waiting=Command(_TASKIQ, AT_ONCE),
    settings="uvloop, orjson, 100 jobs at a time and as many ahead; jobs that wait: 1,000",
    kept="its message, and its result for 10 min",
    rough=1_500,
    rough_waiting=1_500,
    packages=("taskiq[uv,orjson]==0.13.*", "taskiq-redis==1.2.*", *HIREDIS),
)
TASKIQ_LIST = replace(
    TASKIQ,
    name="taskiq, list",
    again=Again(False, "lost: no acknowledgement", "https://github.com/taskiq-python/taskiq-redis#listqueue"),
    kept="its result for 10 min",
    env={"BENCH_LIST": "1"},
)

_STREAQ = ("-m", "streaq", "run", "{apps}.streaq_app:worker", "--workers", "{n}")
STREAQ = System(
    name="streaQ",
    app="streaq_app",
    server="redis",
    again=Again(
        True,
        "when it was idle for 60 s",
        "https://streaq.readthedocs.io/en/latest/worker.html#other-configuration-options",
    ),
    short=Command(_STREAQ, 32),
    waiting=Command(_STREAQ, AT_ONCE),
    settings="coredis optimized, uvloop, concurrency 32; jobs that wait: 1,000",
    kept="its result for 5 min",
    rough=1_500,
    rough_waiting=1_000,
    packages=("streaq==7.2.*", "uvloop"),
)

_PROCRASTINATE = ("-m", "procrastinate", "--log-level", "warning", "--app", "{apps}.procrastinate_app.app")
PROCRASTINATE = System(
    name="Procrastinate",
    app="procrastinate_app",
    server="postgresql",
    again=Again(
        True,
        "by a periodic task that one adds oneself, 30 s without a heartbeat",
        "https://procrastinate.readthedocs.io/en/stable/howto/production/retry_stalled_jobs.html",
    ),
    short=Command((*_PROCRASTINATE, "worker", "--concurrency", "{at_once}"), 30, is_for_each=True),
    waiting=Command((*_PROCRASTINATE, "worker", "--concurrency", "{at_once}"), AT_ONCE, is_for_each=True),
    settings="asynchronous tasks, concurrency 30; jobs that wait: 1,000",
    kept="the job, for ever",
    rough=300,
    rough_waiting=300,
    packages=("procrastinate==3.10.*", "psycopg[binary,pool]==3.3.*"),
    prepare=((*_PROCRASTINATE, "schema", "--apply"),),
)

_PGQUEUER = ("-m", "pgqueuer", "run", "{apps}.pgqueuer_app:main", "--log-level", "WARNING", "--batch-size")
PGQUEUER = System(
    name="PgQueuer",
    app="pgqueuer_app",
    server="postgresql",
    again=Again(True, "30 s without a heartbeat", "https://pgqueuer.readthedocs.io/en/latest/guides/heartbeat/"),
    short=Command((*_PGQUEUER, "100", "--max-concurrent-tasks", "{at_once}"), 200, is_for_each=True),
    waiting=Command((*_PGQUEUER, "100", "--max-concurrent-tasks", "{at_once}"), AT_ONCE, is_for_each=True),
    settings="asyncpg, uvloop, batches of 100, `pgq autovac`, durable tables",
    kept="rows of its log, for ever",
    rough=1_500,
    rough_waiting=1_500,
    packages=(
        "pgqueuer==1.6.*",
        "asyncpg==0.32.*",
        "uvloop",
        "typer==0.21.*",
    ),  # `pgq run` of 1.6.0 fails with typer 0.29
    prepare=(
        ("-m", "pgqueuer", "--pg-dsn", "{url}", "install"),
        ("-m", "pgqueuer", "--pg-dsn", "{url}", "autovac"),
    ),
)

ALL = (
    *(NARROWBOAT_REDIS, CELERY, CELERY_LATE, RQ, RQ_SIMPLE, DRAMATIQ, HUEY, ARQ, SAQ, TASKIQ, TASKIQ_LIST, STREAQ),
    *(NARROWBOAT_POSTGRESQL, PROCRASTINATE, PGQUEUER),
)
"""In the order of the tables; Narrowboat on SQLite is measured only when it is asked for by name."""
ON_DEMAND = (NARROWBOAT_SQLITE,)
