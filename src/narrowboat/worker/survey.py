"""Import an app and raise its walls without a backend, for commands that look at tasks and at this machine."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Sequence
from typing import NamedTuple

from .. import kernel
from ..core.needs import Reach
from ..core.task import Manifest
from ..sandbox.findings import Finding
from ..sandbox.walls import Layers
from .groups import groups_here
from .nursery import BEST, Grower, mode_here, order_for
from .secrets import Secrets
from .tree import ImportFailed, Tree
from .yard import Yard
from .zygote import Zygote

PATIENCE_S = 120.0


class Survey(NamedTuple):
    """What was found. walls: by the reach of tasks, of those reaches that were asked for. no_cgroups: why, or empty."""

    manifest: Manifest
    walls: dict[Reach, tuple[Layers, tuple[Finding, ...]]]
    no_cgroups: str


def survey(app: str, user: int | None, hidden: Sequence[str] = (), only: Sequence[Reach] | None = None) -> Survey:
    """Import the app, and attack its walls. only: these reaches, not those of its tasks. Raises ImportFailed."""
    kernel.adopt_orphans()
    lifeline_read, lifeline = kernel.lifeline()
    yard, groups = Yard(user), groups_here()
    selector = selectors.DefaultSelector()

    def start(environment: dict[str, str]) -> Zygote:
        return Zygote(app, (os.getcwd(),), lifeline_read, environment)

    order = order_for(mode_here(BEST), yard, user, hidden)
    grower = Grower(start, Secrets(), yard, order, BEST, lambda spec: only is None, groups)
    tree = Tree(1, grower, selector, lambda frame, descriptor: None)
    try:
        tree.plant()
        until = time.monotonic() + PATIENCE_S
        is_asked = False
        while not (tree.is_grown and is_asked):
            if tree.failure is not None:
                raise ImportFailed(tree.failure.text)
            if time.monotonic() > until:
                raise ImportFailed(f"importing {app} takes more than {PATIENCE_S:.0f} s")
            for key, _ in selector.select(1.0):
                key.data()
            if tree.manifest is not None and not is_asked:
                is_asked = True
                for reach in only or ():
                    tree.grow(reach)
        assert tree.manifest is not None
        walls = {
            reach: (limb.layers, limb.findings)
            for reach, limb in tree.limbs.items()
            if limb.layers is not None and limb.findings is not None
        }
        return Survey(tree.manifest, walls, groups.hindrance)
    finally:
        tree.close()
        groups.close()
        yard.close()
        os.close(lifeline)
        os.close(lifeline_read)
