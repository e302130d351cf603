"""What a relay knows of one worker of this process."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from ...core.controls import kind_of
from ...core.task import TaskSpec
from ..base import Want
from ..transport import Delivery
from .notices import channel_of, inbox_of

MOST = 1000  # deliveries at once
NO_SPECS: Mapping[str, TaskSpec] = {}


class Desk:
    """held: deliveries that are neither accepted nor given back. owed: notices of jobs that this worker has claimed
    without having taken one, which lie in the transport and tell of nothing.
    """

    def __init__(self) -> None:
        self.held: deque[Delivery] = deque()
        self.owed = 0
        self.is_roused = self.is_waiting = False
        self.has_looked = False  # what the last wait found, nobody had told of
        self._specs = NO_SPECS
        self._frees: dict[str, frozenset[str]] = {}

    def learn(self, specs: Mapping[str, TaskSpec]) -> None:
        """The tasks that this worker knows, by every name."""
        self._specs = specs
        queues: defaultdict[str, set[str]] = defaultdict(set)
        for spec in specs.values():
            for control in spec.controls:
                queues[f"{kind_of(control)}:{control.key}"].add(spec.queue)
        self._frees = {
            name: frozenset(queue for control in spec.controls for queue in queues[f"{kind_of(control)}:{control.key}"])
            for name, spec in specs.items()
            if spec.controls
        }

    def channels(self, wants: Sequence[Want]) -> list[str]:
        """Where to receive: the queues that it wants jobs of, and the inboxes of tasks whose jobs go there."""
        queues = {want.queue for want in wants}
        tasks = {task for want in wants for task in want.tasks}
        inboxes = {task for task in tasks if task not in self._specs or self._specs[task].queue in queues}
        return [*map(channel_of, sorted(queues)), *map(inbox_of, sorted(inboxes))]

    def freed(self, tasks: Iterable[str | None]) -> set[str]:
        """The queues in which others may begin, when attempts of these tasks have ended: their gates have room."""
        return {queue for task in tasks if task in self._frees for queue in self._frees[task]}

    def taken(self) -> list[Delivery]:
        """All that is held, for good: the caller accepts it or gives it back."""
        found: list[Delivery] = []
        while self.held:
            found.append(self.held.popleft())
        return found
