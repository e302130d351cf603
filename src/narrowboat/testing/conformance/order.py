"""Order: priority, then lanes in turn, then oldest first."""

from __future__ import annotations

from ...backends.base import TURN
from ...core.job import Claim
from .bench import OTHER_TASK, TASK, Bench, BenchWorker, failed, released

BOTH = (TASK, OTHER_TASK)


def _one_by_one(worker: BenchWorker, n: int) -> list[Claim]:
    return [claim for _ in range(n) for claim in worker.claim(1)]


def test_a_lane_is_first_in_first_out(bench: Bench) -> None:
    ids = [bench.add() for _ in range(5)] + bench.add_many(5)
    worker = bench.worker()
    assert [claim.id for n in (1, 4, 5) for claim in worker.claim(n)] == ids


def test_higher_priority_goes_first(bench: Bench) -> None:
    low, normal, high = bench.add(priority=-100), bench.add(), bench.add(priority=100)
    assert [claim.id for claim in _one_by_one(bench.worker(), 3)] == [high, normal, low]


def test_one_claim_takes_high_priority_before_low_as_well(bench: Bench) -> None:
    low, high, middle = bench.add(priority=-1), bench.add(priority=9), bench.add(priority=3)
    assert [claim.id for claim in bench.worker().claim(3)] == [high, middle, low]


def test_priority_counts_across_lanes(bench: Bench) -> None:
    many = bench.add_many(20)
    urgent = bench.add(OTHER_TASK, priority=1)
    later = bench.add(OTHER_TASK)
    claims = bench.worker(tasks=BOTH).claim(22)
    assert claims[0].id == urgent
    assert {claim.id for claim in claims} == {urgent, later, *many}


def test_a_long_lane_does_not_starve_a_short_one(bench: Bench) -> None:
    bench.add_many(1000)
    short = bench.add_many(3, OTHER_TASK)
    for n in (1, 3, TURN):
        worker = bench.worker(f"w{n}", tasks=BOTH)
        order = [claim.id for _ in range(-(-2 * TURN // n)) for claim in worker.claim(n)]
        assert order.index(short[0]) <= TURN, f"in claims of {n}"
        worker.leave()


def test_one_large_claim_takes_turns_of_the_lanes(bench: Bench) -> None:
    bench.add_many(100)
    bench.add_many(100, OTHER_TASK)
    claims = bench.worker(tasks=BOTH).claim(4 * TURN)
    assert len(claims) == 4 * TURN
    assert [claim.task for claim in claims] == [t for _ in range(2) for t in BOTH for _ in range(TURN)]


def test_three_lanes_are_served_in_a_circle(bench: Bench) -> None:
    for key in ("a", "b", "c"):
        bench.add_many(40, lane_key=key)
    worker = bench.worker()
    served = [{bench.job(claim.id).lane_key for claim in worker.claim(TURN)} for _ in range(6)]
    assert served == [{"a"}, {"b"}, {"c"}] * 2


def test_lanes_of_a_high_priority_are_served_again_before_one_of_a_low(bench: Bench) -> None:
    low = bench.add_many(5, lane_key="low")
    one, other = (bench.add_many(TURN + 4, lane_key=key, priority=1) for key in ("one", "other"))
    claims = bench.worker().claim(2 * TURN + 13)
    assert [claim.id for claim in claims] == [*one[:TURN], *other[:TURN], *one[TURN:], *other[TURN:], *low]


def test_many_lanes_are_served_in_a_circle_by_large_claims(bench: Bench) -> None:
    for key in "0123456789":
        bench.add_many(TURN + 2, lane_key=key)
    worker = bench.worker()
    served = ["".join(dict.fromkeys(bench.job(c.id).lane_key for c in worker.claim(2 * TURN + 8))) for _ in range(4)]
    assert served == ["012", "345", "678", "9012345"]


def test_a_lane_that_is_alone_gives_more_than_a_turn(bench: Bench) -> None:
    ids = bench.add_many(3 * TURN)
    assert [claim.id for claim in bench.worker().claim(3 * TURN)] == ids


def test_a_turn_takes_only_the_highest_priority_of_a_lane(bench: Bench) -> None:
    bench.add_many(2, priority=5)
    bench.add_many(5)
    bench.add_many(2, OTHER_TASK, priority=5)
    claims = bench.worker(tasks=BOTH).claim(5)
    assert [claim.priority for claim in claims] == [5, 5, 5, 5, 0]
    assert [claim.task for claim in claims[:4]] == [TASK, TASK, OTHER_TASK, OTHER_TASK]


def test_jobs_of_one_task_with_other_lane_keys_are_other_lanes(bench: Bench) -> None:
    bench.add_many(200, lane_key="slow.example")
    quick = bench.add(lane_key="quick.example")
    claims = bench.worker().claim(TURN + 1)
    assert quick in {claim.id for claim in claims}


def test_a_released_job_has_its_place_in_line_again(bench: Bench) -> None:
    ids = bench.add_many(4)
    worker = bench.worker()
    first, second = worker.claim(2)
    worker.settle(released(second), released(first))
    assert [claim.id for claim in worker.claim(4)] == ids


def test_a_failed_job_has_its_place_in_line_again_when_it_is_due(bench: Bench) -> None:
    ids = bench.add_many(3)
    worker = bench.worker()
    worker.settle(failed(worker.claim_one(), delay_s=5.0))
    bench.later(5)
    assert [claim.id for claim in worker.claim(3)] == ids
