"""The venue's budgets as a strategy sees them: client.budget. Reads only; nothing is taken here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mexcfast.core.throttle import Lane
from mexcfast.net.executor import Executor
from mexcfast.net.slots import Queued


@dataclass(frozen=True, slots=True)
class LaneBudget:
    """One lane of one group. queued: requests waiting in it.

    next_slot_ns: nanoseconds until a newcomer of this lane would leave, those before it counted; 0
    when it could leave now. What enters later in a lane before it delays it.
    """

    lane: Lane
    queued: int
    next_slot_ns: int


class Budget:
    """Slots, queues and bans of one account and address.

    name: a route of core/rest.ROUTES, such as "create", "amend", "cancel"; it stands for its group.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def __repr__(self) -> str:
        return f"<Budget {self.free()} orders now, {len(self.queue)} waiting>"

    def free(self, name: str = "create") -> int:
        """How many requests of this group could leave now."""
        return self._executor.free(name)

    def next_slot_ns(self, name: str = "create", lane: Lane = Lane.OPEN) -> int:
        """LaneBudget.next_slot_ns of one lane."""
        return self.lanes(name)[lane].next_slot_ns

    def lanes(self, name: str = "create") -> Mapping[Lane, LaneBudget]:
        """Every lane of the group, the first to leave first."""
        return {lane: LaneBudget(lane, queued, wait_ns) for lane, (queued, wait_ns) in
                self._executor.forecast(name).items()}

    @property
    def groups(self) -> Mapping[str, tuple[int, Mapping[Lane, int]]]:
        """Every group used so far: its free slots, and how many requests wait in each lane."""
        return {group: (free, {lane: queued for lane, (queued, _) in lanes.items()})
                for group, (free, lanes) in self._executor.groups().items()}

    @property
    def closings(self) -> Mapping[str, int]:
        """How often the venue has closed something for us in this run, by what (see bans)."""
        return self._executor.closings

    @property
    def queue(self) -> tuple[Queued, ...]:
        """Everything that waits for a slot, in the order of leaving."""
        return self._executor.queue()

    @property
    def bans(self) -> Mapping[str, int]:
        """What the venue has closed for us -> until when, wall clock in ms.

        "rate <group>" after 510 or 429, "edge GET" and "edge POST" after the firewall's page,
        "opening" after 6026. A journal remembers them over restarts.
        """
        return self._executor.penalties.open_ms(self._executor.clock.wall_ms())
