"""One import of the app: a zygote for each set of secrets, and on each its branches, one for every reach of a task."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from .. import kernel
from ..core.codec import printable
from ..core.errors import NarrowboatError
from ..core.needs import Reach
from ..core.task import Manifest, TaskSpec
from ..executor import wire
from ..sandbox.findings import Finding, Questions
from ..sandbox.walls import Layers
from .executors import ProtocolViolation
from .groups import Group
from .zygote import Branch, Control, Zygote

PROBE_MEMORY = 256 * 1024 * 1024
NOTHING = Reach()


class ImportFailed(NarrowboatError):
    """The app could not be imported, or its executors not be made; the text says what and the remedy."""


class Failed(NamedTuple):
    """Why a tree cannot be."""

    text: str
    is_import: bool = False


class Soil(Protocol):
    """What trees need of the worker."""

    def start_zygote(self, reach: Reach) -> Zygote:
        """With the environment of tasks of this reach. Raises ConfigError for a missing secret."""
        ...

    def plant(self, zygote: Zygote, branch: Branch) -> None:
        """Have a zygote branch."""
        ...

    def ask_for_probe(self, branch: Branch, layers: Layers, theirs: kernel.Channel, last_words: int) -> None:
        """Ask a branch for an executor that tries to break out."""
        ...

    def confine(self, pid: int) -> Group | None:
        """Keep it within the limits of its kind, as other executors are."""
        ...

    def questions(self, pid: int, group: Group | None) -> Questions:
        """What it is to try."""
        ...

    def release(self, group: Group) -> None:
        """It has answered."""
        ...

    def wanted(self, manifest: Manifest) -> Sequence[TaskSpec]:
        """The tasks that this worker is to run."""
        ...

    def accepts(self, reach: Reach, layers: Layers, findings: Sequence[Finding]) -> str:
        """Empty, or why the worker does not start with walls like these."""
        ...


class Root:
    """A zygote, and what it has told so far."""

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote
        self.found: list[TaskSpec] = []
        self.is_ready = False
        self.waiting: list[Limb] = []  # branches to ask for when it is ready


class Limb:
    """A branch on its way, and then in use. findings: of the probe in it."""

    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        self.layers: Layers | None = None
        self.findings: tuple[Finding, ...] | None = None
        self.probe: kernel.Channel | None = None
        self.group: Group | None = None  # of the probe
        self.last_words = -1
        self.failure = ""

    @property
    def is_ready(self) -> bool:
        """Whether forks can be asked for."""
        return self.findings is not None and not self.failure


class Tree:
    """`grown` is called when every task's executors can be had, `failed` when the tree cannot be, `died` when a part is
    gone; `heard` takes the frames about executors.
    """

    def __init__(
        self,
        number: int,
        soil: Soil,
        selector: selectors.BaseSelector,
        heard: Callable[[wire.FromZygote, int], None],
    ) -> None:
        self.number = number
        self._soil, self._selector, self._heard = soil, selector, heard
        self.manifest: Manifest | None = None
        self.warnings: tuple[str, ...] = ()
        self.limbs: dict[Reach, Limb] = {}
        self.failure: Failed | None = None
        self.is_closed = self.is_withered = False  # the latter: a zygote is gone, and no branch can be made on it
        self._roots: dict[tuple[tuple[str, ...], bool], Root] = {}
        self._requests = -1  # of branches; those of executors are positive
        self._watched: set[int] = set()

    @property
    def is_grown(self) -> bool:
        """Whether it has imported the app and every branch is ready that was asked for."""
        return self.manifest is not None and all(limb.is_ready for limb in self.limbs.values())

    def plant(self) -> None:
        """Start the first zygote."""
        self._root_for(NOTHING)

    def grow(self, reach: Reach) -> None:
        """Have a branch for tasks of this reach."""
        limb = self.limbs[reach] = Limb(Branch(self._requests, reach))
        self._requests -= 1
        try:
            root = self._root_for(reach)
        except NarrowboatError as error:
            self._fail(limb, str(error))
            return
        if root.is_ready:
            self._ask(root, limb)
        else:
            root.waiting.append(limb)

    def zygotes(self) -> dict[int, Root]:
        """By pid, those that this process started itself."""
        return {root.zygote.pid: root for root in self._roots.values()}

    def close(self) -> None:
        """Let all of it go."""
        self.is_closed = True
        for root in self._roots.values():
            self._forget(root.zygote, root.zygote.watched)
            root.zygote.close()
        for limb in self.limbs.values():
            self._drop(limb)
        self._roots.clear()
        self.limbs.clear()

    def root_died(self, root: Root) -> None:
        """A zygote is gone. Its branches live on; no new one can be made on it."""
        if self.is_closed or root not in self._roots.values():
            return
        self._read(root.zygote, lambda frame, got: self._hear_root(root, frame, got))  # its last words come first
        if self.is_closed or root not in self._roots.values():
            return
        status = root.zygote.reap()
        self._forget(root.zygote, root.zygote.watched)
        root.zygote.close()
        self._roots = {key: other for key, other in self._roots.items() if other is not root}
        self.is_withered = True
        if self.failure is None and (self.manifest is None or root.waiting):
            self.failure = Failed(f"the process that imports the app ended with status {status}", is_import=True)

    # Within.

    def _root_for(self, reach: Reach) -> Root:
        key = (reach.secrets, reach.trusted)
        if key not in self._roots:
            root = self._roots[key] = Root(self._soil.start_zygote(reach))
            self._watch(
                root.zygote,
                lambda frame, got: self._hear_root(root, frame, got),
                lambda: self.root_died(root),
            )
            if root.zygote.watched.descriptor >= 0:
                self._add(root.zygote.watched.descriptor, lambda: self.root_died(root))
        return self._roots[key]

    def _hear_root(self, root: Root, frame: wire.FromZygote, descriptor: int) -> None:
        match frame:
            case wire.Found(tasks):
                root.found += tasks
            case wire.Ready(app, url, warnings, on_dead):
                root.is_ready = True
                if self.manifest is None:
                    self.warnings = warnings
                    self.manifest = Manifest(app=app, url=url, tasks=tuple(root.found), on_dead=on_dead)
                    for spec in self._soil.wanted(self.manifest):
                        if spec.needs.reach not in self.limbs:
                            self.grow(spec.needs.reach)
                for limb in root.waiting:
                    self._ask(root, limb)
                root.waiting.clear()
            case wire.ImportFailed(text, remedy):
                self.failure = Failed(printable(f"{text}\n{remedy}".strip("\n")), is_import=True)
            case wire.Forked(request, pid):
                self._branch_forked(request, kernel.Process(pid, descriptor))
            case wire.ForkFailed(request, error):
                for limb in [limb for limb in self.limbs.values() if limb.branch.request == request]:
                    self._fail(limb, f"a zygote could not be forked: {error}")
            case _:
                self._heard(frame, descriptor)

    def _ask(self, root: Root, limb: Limb) -> None:
        branch = limb.branch
        self._watch(branch, lambda frame, got: self._hear_limb(limb, frame, got), lambda: self._limb_died(limb))
        try:
            self._soil.plant(root.zygote, branch)
        except OSError as error:
            self._fail(limb, str(error))

    def _branch_forked(self, request: int, process: kernel.Process) -> None:
        limb = next((limb for limb in self.limbs.values() if limb.branch.request == request), None)
        if limb is None:
            process.close()
            return
        limb.branch.process = process
        if process.descriptor >= 0:
            self._add(process.descriptor, lambda: self._limb_died(limb))

    def _hear_limb(self, limb: Limb, frame: wire.FromZygote, descriptor: int) -> None:
        match frame:
            case wire.Branched(layers):
                limb.layers = layers
                self._probe(limb, layers)
            case wire.BranchFailed(error):
                self._fail(limb, printable(error))
            case wire.Forked(0, pid):
                kernel.Process(pid, descriptor).close()
                self._question(limb, pid)
            case wire.ForkFailed(0, error):
                self._fail(limb, f"no process could be forked: {error}")
            case _:
                self._heard(frame, descriptor)

    def _probe(self, limb: Limb, layers: Layers) -> None:
        ours, theirs = wire.pair()
        ours.setblocking(False)
        limb.probe, limb.last_words = ours, kernel.scratch("last-words")
        self._add(ours.fileno(), lambda: self._hear_probe(limb))
        try:
            self._soil.ask_for_probe(limb.branch, layers, theirs, limb.last_words)
        except OSError as error:
            self._fail(limb, str(error))
        finally:
            theirs.close()

    def _question(self, limb: Limb, pid: int) -> None:
        """The probe is there. It begins when it has been told what to try."""
        if limb.probe is None:
            return
        limb.group = self._soil.confine(pid)
        try:
            limb.probe.send(wire.encode(self._soil.questions(pid, limb.group)))
        except OSError:
            pass  # it is dead, which its channel tells, too

    def _hear_probe(self, limb: Limb) -> None:
        if limb.probe is None or limb.layers is None:
            return
        try:
            data = limb.probe.recv(wire.MAX_FRAME)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        words = os.pread(limb.last_words, 4_000, 0).decode(errors="replace")
        self._end_probe(limb)
        if not data:
            self._fail(limb, f"an executor could not be locked in: {printable(words.strip()) or 'it died'}")
            return
        findings = wire.from_probe.decode(data).findings
        refusal = self._soil.accepts(limb.branch.reach, limb.layers, findings)
        limb.findings = findings
        if refusal:
            self._fail(limb, refusal)

    def _limb_died(self, limb: Limb) -> None:
        """A branch is gone; its executors live on, as this process's children. Another is asked for when need be."""
        if self.is_closed or self.limbs.get(limb.branch.reach) is not limb:
            return
        if limb.branch.control.fileno() not in self._watched:
            return  # both its channel and its process tell, perhaps in one turn, and it was dropped for the first
        self._read(limb.branch, lambda frame, got: self._hear_limb(limb, frame, got))
        if not limb.is_ready and not limb.failure:
            self._fail(limb, "the zygote ended before its executors could be had")
        if limb.is_ready:
            self._drop(limb)
            del self.limbs[limb.branch.reach]
            self.lost(limb.branch.reach)
        else:
            self._drop(limb)

    def lost(self, reach: Reach) -> None:
        """A branch that was in use is gone; replaced by whoever keeps the tree."""

    def _fail(self, limb: Limb, error: str) -> None:
        limb.failure = error
        if self.failure is None:
            self.failure = Failed(error)

    # Descriptors.

    def _watch(self, control: Control, hear: Callable[[wire.FromZygote, int], None], died: Callable[[], None]) -> None:
        def readable() -> None:
            if not self.is_closed and control.control.fileno() in self._watched:
                self._read(control, hear)
                if control.has_hung_up:
                    died()

        self._add(control.control.fileno(), readable)

    def _read(self, control: Control, hear: Callable[[wire.FromZygote, int], None]) -> None:
        try:
            frames = control.read()
        except ProtocolViolation as violation:
            self.failure = self.failure or Failed(f"a zygote broke the protocol: {violation}")
            if isinstance(control, Zygote | Branch):
                control.kill()
            return
        for frame, descriptor in frames:
            hear(frame, descriptor)

    def _add(self, descriptor: int, react: Callable[[], object]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)
        self._watched.add(descriptor)

    def _remove(self, descriptor: int) -> None:
        if descriptor in self._watched:
            self._watched.remove(descriptor)
            self._selector.unregister(descriptor)

    def _forget(self, control: Control, process: kernel.Process | None) -> None:
        self._remove(control.control.fileno())
        if process is not None:
            self._remove(process.descriptor)

    def _end_probe(self, limb: Limb) -> None:
        if limb.probe is not None:
            self._remove(limb.probe.fileno())
            limb.probe.close()
            limb.probe = None
            os.close(limb.last_words)
        if limb.group is not None:
            self._soil.release(limb.group)
            limb.group = None

    def _drop(self, limb: Limb) -> None:
        self._end_probe(limb)
        if limb.branch.control.fileno() >= 0:
            self._forget(limb.branch, limb.branch.process)
            limb.branch.close()
