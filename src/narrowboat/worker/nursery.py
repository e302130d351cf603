"""Keeps executors to be had: one tree of zygotes in use, another beside it while code changes or a zygote has died."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Sequence

from .. import kernel
from ..core.codec import printable
from ..core.errors import ConfigError
from ..core.needs import Limits, Reach
from ..core.task import Manifest, TaskSpec
from ..executor import wire
from ..sandbox.findings import Finding, Questions, in_words, lacking
from ..sandbox.walls import Layers, Order
from .executors import Executor
from .groups import Group, Groups
from .pool import Pool
from .secrets import Secrets
from .tree import PROBE_MEMORY, ImportFailed, Tree
from .yard import Yard
from .zygote import Branch, Zygote

log = logging.getLogger("narrowboat.worker")
REQUIRE, BEST, OFF = "require", "best", "off"
PROBE_LIMITS = Limits(memory=PROBE_MEMORY)
AGAIN_S = 1.0  # at least, between two imports because an executor has died of something suspicious


class Grower:
    """What trees need: starts zygotes with what is theirs, and says what walls are wanted.

    sandbox: "require" refuses walls with a gap, "best" tells of them, "off" wants none.
    serves: whether a task is run here. groups: for the probes, as for executors.
    """

    def __init__(
        self,
        start: Callable[[dict[str, str]], Zygote],
        secrets: Secrets,
        yard: Yard,
        order: Order,
        sandbox: str,
        serves: Callable[[TaskSpec], bool],
        groups: Groups,
    ) -> None:
        self._start, self._secrets, self.yard, self._order = start, secrets, yard, order
        self._sandbox, self._serves, self._groups = sandbox, serves, groups
        self._probes = 0

    def start_zygote(self, reach: Reach) -> Zygote:
        """With the environment of tasks of this reach. Raises ConfigError for a missing secret."""
        return self._start(self._secrets.environment_for(reach))

    def plant(self, zygote: Zygote, branch: Branch) -> None:
        """Have a zygote branch."""
        zygote.ask_for_branch(branch, self._order)

    def ask_for_probe(self, branch: Branch, layers: Layers, theirs: kernel.Channel, last_words: int) -> None:
        """Ask for an executor that tries to break out."""
        scratch = self.yard.probe_scratch(bool(layers.user)) if layers.namespaces else ""
        frame = wire.Fork(0, PROBE_LIMITS, 0, scratch, is_fresh=True, is_probe=True)
        branch.send_fork(frame, theirs, last_words)

    def confine(self, pid: int) -> Group | None:
        """Keep it within the limits of its kind, as other executors are."""
        self._probes += 1
        return confined(self._groups, pid, f"-probe-{self._probes}", PROBE_LIMITS)

    def questions(self, pid: int, group: Group | None) -> Questions:
        """What it is to try."""
        return self.yard.questions(is_grouped=group is not None, is_weighed=kernel.resident_bytes(pid) > 0)

    def release(self, group: Group) -> None:
        """It has answered."""
        self._groups.release(group)

    def wanted(self, manifest: Manifest) -> Sequence[TaskSpec]:
        """The tasks that this worker is to run."""
        return [spec for spec in manifest.tasks if self._serves(spec)]

    def accepts(self, reach: Reach, layers: Layers, findings: Sequence[Finding]) -> str:
        """Empty, or why the worker does not start with walls like these."""
        if self._sandbox != REQUIRE or reach.trusted or not lacking(findings):
            return ""
        return (
            f'sandbox="require", and this host cannot keep all of it. {in_words(findings)}. It has {layers.in_words()}'
        )


class Nursery:
    """Grows a tree, asks it for executors, and grows another when it withers or the code has changed.

    manifest: what the latest tree found; None until the first is grown. is_ready: whether forks can be asked for now.
    `moved` is called with each later manifest.
    """

    def __init__(
        self,
        grower: Grower,
        pool: Pool,
        selector: selectors.BaseSelector,
        moved: Callable[[Manifest], None],
    ) -> None:
        self._grower, self._pool, self._selector, self._moved = grower, pool, selector, moved
        self._current: Tree | None = None
        self._next: Tree | None = None  # beside the current one, until it is grown
        self._is_next_new_code = False
        self._generations = 0
        self._failures = 0
        self._planted_at = 0.0
        self._is_withered = False  # the current tree; told once
        self.manifest: Manifest | None = None
        self.retry_at: float | None = None

    @property
    def generation(self) -> int:
        """Counts the trees."""
        return self._generations

    @property
    def is_ready(self) -> bool:
        """Whether any executor can be had."""
        return self.manifest is not None and self._current is not None and bool(self._current.limbs)

    @property
    def is_reloading(self) -> bool:
        """Whether new code is on its way."""
        return self._next is not None and self._is_next_new_code

    def walls(self) -> dict[Reach, tuple[Layers, tuple[Finding, ...]]]:
        """What stands around executors, by the reach of their tasks, and what was found when it was attacked."""
        limbs = self._current.limbs if self._current else {}
        return {
            reach: (limb.layers, limb.findings)
            for reach, limb in limbs.items()
            if limb.layers is not None and limb.findings is not None
        }

    def start(self) -> None:
        """Grow a tree, since there is none, or none that is whole."""
        self.retry_at = None
        if self._next is not None:
            return
        tree = self._plant()
        if self._current is None:
            self._current = tree
        else:
            self._next, self._is_next_new_code = tree, False

    def reload(self) -> None:
        """Grow another beside the one that is there, and move over when it is grown.

        Nothing changes if it cannot be: the old code stays, and the log says why.
        """
        if self._next is not None:
            self._let_go(self._next)
        if self._current is None or self.manifest is None:
            self.retry_at = time.monotonic()  # nothing to keep: try at once
            return
        self._next, self._is_next_new_code = self._plant(), True

    def retire(self, why: str) -> None:
        """Grow another tree because of how an executor died: all of one tree have the same addresses and hash seeds."""
        if self._next is None and self.retry_at is None:
            log.warning("%s: its zygote, whose children all look alike inside, is replaced", why)
            self.retry_at = max(time.monotonic(), self._planted_at + AGAIN_S)

    def turn(self) -> None:
        """Look at how the trees are; called when any of them was heard of. Raises ImportFailed for the first."""
        for tree in (self._current, self._next):
            if tree is None:
                continue
            if tree.failure is not None:
                self._failed(tree)
            elif (tree is self._next or self.manifest is None) and tree.is_grown:
                self._is_grown(tree)
        if self._current is not None and self._current.is_withered and not self._is_withered and self.manifest:
            self._is_withered = True
            self._again("a zygote ended; running jobs go on, and another is started")

    def close(self) -> None:
        """Let the trees go."""
        for tree in (self._current, self._next):
            if tree is not None:
                tree.close()
        self._current = self._next = None

    def ask_for(self, executor: Executor) -> bool:
        """Ask for a fork; False when there is nobody to ask, yet."""
        tree = self._current
        if tree is None or self.manifest is None or executor.kind.generation != tree.number:
            return False
        limb = tree.limbs.get(executor.kind.reach)
        if limb is None and not tree.is_withered:
            tree.grow(executor.kind.reach)
        if limb is None or not limb.is_ready:
            return False
        if limb.layers is not None and limb.layers.namespaces:
            executor.scratch = self._grower.yard.scratch(executor.request, bool(limb.layers.user))
        try:
            limb.branch.ask_for(executor)
        except OSError:
            return False  # it is dead, or behind; both are noticed elsewhere, and the job in hand asks again
        return True

    def reap(self) -> None:
        """Children that have died: zygotes, executors of an earlier one, helpers of dead executors."""
        zygotes = {
            pid: (tree, root)
            for tree in (self._current, self._next)
            if tree is not None
            for pid, root in tree.zygotes().items()
        }
        while (found := kernel.reap(zygotes)) is not None:
            pid, status = found
            if pid in zygotes:
                tree, root = zygotes.pop(pid)
                tree.root_died(root)
            else:
                self._pool.exited(pid, status)
        self.turn()

    def _plant(self) -> Tree:
        self._generations += 1
        self._planted_at = time.monotonic()
        tree = Tree(self._generations, self._grower, self._selector, self._heard)
        tree.lost = lambda reach: self._lost(tree, reach)  # type: ignore[method-assign]
        tree.plant()
        return tree

    def _heard(self, frame: wire.FromZygote, descriptor: int) -> None:
        match frame:
            case wire.Forked(request, pid):
                self._pool.forked(request, kernel.Process(pid, descriptor))
            case wire.ForkFailed(request, error):
                log.error("an executor could not be started: %s", error)
                self._pool.fork_failed(request)
            case wire.Exited(pid, status):
                self._pool.exited(pid, status)
            case _:
                log.error("a zygote said %s, which it may not", type(frame).__name__)

    def _is_grown(self, tree: Tree) -> None:
        """It has imported the app, and its walls stand: from now on executors come from it."""
        manifest = tree.manifest
        assert manifest is not None
        self._grower.yard.stop_listening()
        is_new_code = True
        if tree is self._next:
            old, self._current, self._next = self._current, tree, None
            is_new_code = self._is_next_new_code or manifest != self.manifest
            if old is not None:
                self._pool.forget_starting(old.number)
                old.close()
        if is_new_code:
            for warning in tree.warnings:
                log.warning("%s", printable(warning))
        is_first, self.manifest = self.manifest is None, manifest
        self._is_withered = False
        self._failures = 0
        self._pool.move_on(tree.number)
        if not is_first and is_new_code:
            self._moved(manifest)

    def _failed(self, tree: Tree) -> None:
        failure = tree.failure
        assert failure is not None
        if self.manifest is None:
            raise ImportFailed(failure.text)
        if tree is self._next:
            is_new_code = self._is_next_new_code
            self._let_go(tree)
            if is_new_code:
                what = "imported" if failure.is_import else "used"
                log.error("the new code cannot be %s; the old code stays:\n%s", what, failure.text)
            else:
                self._again(f"the app cannot be had anew; what can be run goes on:\n{failure.text}")
            return
        # A branch that tasks of another queue need, or one that could not be made again.
        tree.failure = None
        log.error("%s", failure.text)
        for reach, limb in list(tree.limbs.items()):
            if limb.failure:
                del tree.limbs[reach]
        if not tree.limbs:
            self._again("no executor can be had")

    def _lost(self, tree: Tree, reach: Reach) -> None:
        if tree is not self._current:
            return
        log.error("a zygote ended; running jobs go on, and another is started")
        self._pool.forget_starting(tree.number, reach)
        if not tree.is_withered:
            tree.grow(reach)

    def _again(self, why: str) -> None:
        if self.retry_at is None and self._next is None:
            self._failures += 1
            self.retry_at = time.monotonic() + min(5.0, 0.05 * 2**self._failures)
            log.error("%s", why)

    def _let_go(self, tree: Tree) -> None:
        tree.close()
        if tree is self._next:
            self._next = None


def confined(groups: Groups, pid: int, name: str, limits: Limits) -> Group | None:
    """As Groups.confine, but what cannot be done is told, and the worker watches."""
    if groups.hindrance:  # and what the process has need not be read
        return None
    try:
        return groups.confine(pid, name, limits, kernel.resident_bytes(pid))
    except OSError as error:
        log.error("executor %d is in no cgroup of its own: %s", pid, error)
        return None


def mode_here(sandbox: str) -> str:
    """What is meant on this system. Raises ConfigError for what it cannot be."""
    if sandbox not in (REQUIRE, BEST, OFF):
        raise ConfigError(f"sandbox {sandbox!r}: give require, best or off")
    if kernel.HAS_WALLS:
        return sandbox
    if sandbox == REQUIRE:
        raise ConfigError('sandbox="require": only Linux has what it takes; "off" runs tasks with all that you may do')
    return OFF


def order_for(sandbox: str, yard: Yard, user: int | None, hidden: Sequence[str]) -> Order:
    """What zygotes are asked for."""
    return Order(is_on=sandbox != OFF, folder=str(yard.root), user=user, hidden=tuple(hidden))
