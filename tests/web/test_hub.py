"""One watcher for all streams: what it asks of the backend, and what each stream gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from narrowboat import App, BackendUnavailable
from narrowboat.core.ids import new_job_id
from narrowboat.web.document import no_words
from narrowboat.web.hub import Hub, Subscription
from narrowboat.web.reader import Reader

from .hand import Hand

MANY = 300
PROMPT_S = 30


class Asked:
    """The backend's own verbs, counted, and failing while the test says so."""

    def __init__(self, backend: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.is_away = False
        for verb in ("watch", "get", "places", "ended"):
            setattr(backend, verb, self._counted(verb, getattr(backend, verb)))

    def _counted(self, verb: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.counts[verb] += 1
            if self.is_away:
                raise BackendUnavailable("away for the test")
            return ask(*args, **kwargs)

        return counted


class Yard:
    def __init__(self, folder: Path) -> None:
        self.app = App("shop", url=f"sqlite:///{folder / 'shop.db'}")
        self.resize = self.app.task(name="shop.resize", queue="images")(_resize)
        self.hand = Hand(self.app.backend)
        self.asked = Asked(self.app.backend)
        self.hub = Hub(Reader(self.app, "/jobs", no_words))

    def enqueue(self, n: int = 1) -> list[str]:
        return [job.id for job in self.app.enqueue_many([self.resize.job(f"{i}.jpg") for i in range(n)])]

    async def act(self, act: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return await asyncio.to_thread(act, *args, **more)


def _resize(photo: str, width: int = 320) -> str:
    return f"{photo} at {width}"


@pytest.fixture
def yard(tmp_path: Path) -> Generator[Yard]:
    yard = Yard(tmp_path)
    yield yard
    yard.app.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 120))


async def until(stream: Subscription, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What a stream has shown of its jobs, once that meets a condition."""
    shown: dict[str, Any] = {}
    async with asyncio.timeout(PROMPT_S):
        while True:
            shown |= stream.take()
            if condition(shown):
                return shown
            await stream.wait()


def test_hundreds_of_streams_cost_one_wait_at_the_backend(yard: Yard) -> None:
    async def work() -> None:
        ids = yard.enqueue(MANY)
        claims = yard.hand.take(MANY)
        with ExitStack() as stack:
            streams = [stack.enter_context(yard.hub.subscribed([job_id])) for job_id in ids]
            for job_id, stream in zip(ids, streams, strict=True):
                await until(stream, lambda shown, id_=job_id: id_ in shown)
            await yard.act(yard.hand.report, claims[7], done=1, total=2)
            shown = await until(streams[7], lambda shown: bool(shown))
            assert shown[ids[7]].progress.done == 1
            assert [n for n, stream in enumerate(streams) if stream.take()] == []
        assert sum(yard.asked.counts.values()) < 20, yard.asked.counts

    run(work())


def test_a_stream_that_joins_a_watched_job_costs_nothing(yard: Yard) -> None:
    async def work() -> None:
        [job_id] = yard.enqueue()
        yard.hand.take()
        with yard.hub.subscribed([job_id]) as first:
            await until(first, bool)
            before = yard.asked.counts["get"]
            with ExitStack() as stack:
                for _ in range(MANY):
                    assert stack.enter_context(yard.hub.subscribed([job_id])).take()[job_id] is not None
            assert yard.asked.counts["get"] == before

    run(work())


def test_a_new_stream_does_not_wait_for_the_watch_that_is_under_way(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narrowboat.web.hub.WATCH_S", 20.0)

    async def work() -> None:
        first, second = yard.enqueue(2)
        yard.hand.take(2)
        with yard.hub.subscribed([first]) as one:
            await until(one, bool)
            began = asyncio.get_running_loop().time()
            with yard.hub.subscribed([second]) as two:
                await until(two, bool)
            assert asyncio.get_running_loop().time() - began < 10, "the watch sleeps for 20 s"

    run(work())


def test_an_unknown_job_is_shown_as_none(yard: Yard) -> None:
    async def work() -> None:
        never = new_job_id("shop.resize")
        with yard.hub.subscribed([never]) as stream:
            assert await until(stream, bool) == {never: None}

    run(work())


def test_a_place_in_line_moves_though_the_job_itself_does_not(yard: Yard) -> None:
    async def work() -> None:
        *_, last = yard.enqueue(3)
        with yard.hub.subscribed([last]) as stream:
            shown = await until(stream, bool)
            assert shown[last].place == 2
            await yard.act(yard.hand.take, 2)
            shown = await until(stream, lambda shown: last in shown and shown[last].place == 0)
            assert shown[last].words == "Waiting, next in line"

    run(work())


def test_streams_live_through_an_outage_of_the_backend(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        [job_id] = yard.enqueue()
        [claim] = yard.hand.take()
        with yard.hub.subscribed([job_id]) as stream:
            await until(stream, bool)
            yard.asked.is_away = True
            await yard.act(yard.hand.report, claim, done=1, total=2)
            before = yard.asked.counts["watch"]
            async with asyncio.timeout(PROMPT_S):
                while yard.asked.counts["watch"] < before + 2:
                    await asyncio.sleep(0.01)
            yard.asked.is_away = False
            shown = await until(stream, bool)
            assert shown[job_id].progress.done == 1
        assert [record.levelname for record in caplog.records] == ["WARNING"]

    run(work())


def test_it_rests_when_the_last_stream_has_gone(yard: Yard) -> None:
    async def work() -> None:
        [job_id] = yard.enqueue()
        yard.hand.take()
        for _ in range(3):
            with yard.hub.subscribed([job_id]) as stream:
                await until(stream, bool)
            async with asyncio.timeout(PROMPT_S):
                while not yard.hub.is_resting:
                    await asyncio.sleep(0.01)
        assert yard.hub.streams == 0

    run(work())


def test_a_stream_holds_only_the_latest_of_each_job(yard: Yard) -> None:
    async def work() -> None:
        [job_id] = yard.enqueue()
        [claim] = yard.hand.take()
        with yard.hub.subscribed([job_id]) as slow, yard.hub.subscribed([job_id]) as quick:
            await until(quick, bool)
            for done in range(1, 6):
                await yard.act(yard.hand.report, claim, done=done, total=5)
                await until(quick, lambda shown, done=done: bool(shown) and shown[job_id].progress.done == done)
            assert slow.take()[job_id].progress.done == 5  # type: ignore[union-attr]
            assert slow.take() == {}

    run(work())


def test_closing_ends_every_stream_and_those_to_come(yard: Yard) -> None:
    async def work() -> None:
        [job_id] = yard.enqueue()
        with yard.hub.subscribed([job_id]) as stream:
            yard.hub.close()
            await stream.wait()
            assert stream.is_over
        with yard.hub.subscribed([job_id]) as late:
            assert late.is_over

    run(work())
