"""`python -m examples.transfer N`: the transfers from 1 to N, those that were not made before."""

from __future__ import annotations

import os
import random
import sys

from .bank import balances, open_accounts, opened, transfer

PEOPLE = {"ann": 100_00, "bob": 100_00, "cleo": 100_00, "dan": 100_00}


def order(number: int) -> tuple[str, str, int]:
    """Who pays how much to whom, always the same for a number."""
    rng = random.Random(number)
    source, target = rng.sample(sorted(PEOPLE), 2)
    return source, target, rng.randint(1, 5_00)


def main(n: int) -> None:
    """Make them, in an order of this process's own, and say what everybody has."""
    engine = opened(os.environ["NARROWBOAT_URL"])
    open_accounts(engine, PEOPLE)
    for number in random.sample(range(1, n + 1), n):
        transfer(engine, number, *order(number))
    held = balances(engine)
    print(", ".join(f"{name} has {cents / 100:.2f}" for name, cents in sorted(held.items())))
    print(f"{sum(held.values()) / 100:.2f} in all")


if __name__ == "__main__":
    main(int(sys.argv[1]))
